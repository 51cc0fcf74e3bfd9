// SPDX-License-Identifier: LGPL-2.1-or-later
// A client that behaves: it registers by itself, preserves memory and goes on writing into it while
// it runs, stands still when it is frozen, and in the next kernel gets its memory back and looks
// whether it is as it was. A test scripts how it answers.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "clock.h"
#include "core/unique_fd.h"
#include "engine/engine.h"

namespace handover::engine::test {

/// What a client does when it is called.
enum class Does {
  answer,          ///< what it is asked for, and says so
  veto,            ///< an error with a sentence; it runs on
  nothing,         ///< no answer at all; answer_now() gives it after all
  leave,           ///< its process ends
  register_again,  ///< it registers again, and answers then
};

/// The daemon, as its clients reach it.
class Daemon {
 public:
  virtual ~Daemon() = default;
  virtual Clock& clock() = 0;
  /// A message: `what` runs in the daemon's loop a moment later, or never if the daemon is dead by
  /// then.
  virtual void send(std::function<void(Engine&)> what) = 0;
  /// A new connection to it. `direct`: not over the bus, it ends with either process.
  virtual std::string connect(bool direct) = 0;
  /// The connection is closed.
  virtual void disconnect(const std::string& connection) = 0;
  /// Something is wrong that no test expects.
  virtual void complain(const std::string& what) = 0;
};

class FakeClient {
 public:
  enum class Life {
    away,
    starting,  ///< it does not know yet whether there is something to get back
    running,
    frozen,
  };
  using Place = std::pair<std::string, std::uint64_t>;  ///< session and token

  /// `daemon_is_here`: it can be reached now.
  FakeClient(Daemon& daemon, std::string name, bool daemon_is_here);
  FakeClient(const FakeClient&) = delete;
  FakeClient& operator=(const FakeClient&) = delete;
  ~FakeClient();

  // ---- what it is; before it starts
  FakeClient& needs(std::vector<std::string> others);
  FakeClient& optional();
  FakeClient& direct();
  /// A session of its own, with memory under these tokens.
  FakeClient& preserves(const std::string& session, const std::set<std::uint64_t>& tokens,
                        std::optional<Keeper> keeper = std::nullopt);
  /// Of the same process as `other`, and its connection.
  FakeClient& lives_with(FakeClient& other);
  /// In the next kernel it forgets to ask for that.
  FakeClient& never_retrieves(const std::string& session, std::uint64_t token);

  // ---- its script
  /// The next `times` calls.
  FakeClient& does(ClientCall call, Does what, unsigned times = 1);
  FakeClient& always(ClientCall call, Does what);
  /// It takes so long over it before it answers; of Restore, after it has its memory.
  FakeClient& takes(ClientCall call, std::uint64_t usec);
  /// It starts so long after the daemon in the next kernel.
  FakeClient& starts_after(std::uint64_t usec);
  /// Whether it does so by itself when a new process of the daemon is there.
  FakeClient& registers_again(bool again);
  /// It does not start in the next kernel.
  FakeClient& stays_away();
  /// To what it left unanswered.
  void answer_now();

  // ---- what becomes of it
  void start();
  /// Its process ends, and with it all that lives there.
  void leave();
  /// Called by the world: the process has ended, the kernel is gone, the daemon has executed
  /// itself.
  void process_ended();
  void kernel_gone();
  void executed_again();
  void daemon_came();
  void daemon_gone();
  /// Writes into its memory, if it runs.
  void work();
  void call(ClientCall call, const ClientCallArguments& arguments,
            std::function<void(Result<void>)> answer);
  /// "": of every session.
  void state_lost(const std::string& session);
  /// Asks for what is not preserved (again).
  void preserve_what_is_missing();

  // ---- what a test looks at
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& connection() const { return *connection_; }
  [[nodiscard]] Caller caller() const;
  [[nodiscard]] Life life() const { return life_; }
  [[nodiscard]] bool runs() const { return life_ == Life::running; }
  /// It has nothing to ask the daemon for.
  [[nodiscard]] bool content() const { return registered_ && todo_.empty(); }
  [[nodiscard]] const std::vector<std::string>& registrations() const { return registrations_; }
  [[nodiscard]] std::set<std::string> sessions() const;
  /// What the daemon has acknowledged as preserved.
  [[nodiscard]] const std::set<Place>& preserved() const { return preserved_; }
  /// What was preserved at the last kexec, and has not come back.
  [[nodiscard]] const std::set<Place>& carried() const { return carried_; }
  /// With what Restore said of it.
  [[nodiscard]] bool restored_quiesced() const { return quiesced_; }
  [[nodiscard]] unsigned times_called(ClientCall call) const;

 private:
  struct Memory {
    UniqueFd fd;
    std::string text;  ///< what it wrote last, in whatever kernel
    std::optional<Keeper> keeper;
    bool forgotten = false;
  };
  struct Step {
    enum class Kind { discard, create, preserve };
    Kind kind = Kind::create;
    std::string session;
    std::uint64_t token = 0;
  };

  /// Runs unless this process ends before.
  void later(std::uint64_t usec, std::function<void()> what);
  void send(std::function<void(Engine&)> what);
  /// What the daemon answers; nothing if either process has ended since.
  template <typename T>
  Reply<T> reply(std::function<void(Result<T>)> then);
  void register_here();
  void registered(const std::string& state);
  void next_step();
  void step_done(const Result<void>& done);
  [[nodiscard]] Does next(ClientCall call);
  void act();
  void act_now();
  void run();
  void restore();
  void retrieve(const Place& place);
  void retrieved(const Place& place, Result<UniqueFd> fd);
  void restored();
  void make_memory(const Place& place);

  Daemon& daemon_;
  std::string name_;
  std::vector<std::string> needs_;
  bool required_ = true;
  bool direct_ = false;
  Owner owner_;
  std::shared_ptr<std::string> connection_ = std::make_shared<std::string>();
  std::map<Place, Memory> memory_;
  std::map<ClientCall, std::deque<Does>> script_;
  std::map<ClientCall, Does> always_;
  std::map<ClientCall, unsigned> called_;
  std::map<ClientCall, std::uint64_t> takes_usec_;
  std::uint64_t starts_after_usec_ = 100'000;
  bool stays_away_ = false;
  bool registers_again_ = true;

  Life life_ = Life::away;
  bool daemon_is_here_;
  bool registered_ = false;
  bool quiesced_ = true;
  bool afresh_ = true;  ///< this process has no memory that anybody holds
  bool step_sent_ = false;
  bool executed_ = false;  ///< the daemon has executed itself, and nothing was heard of it since
  unsigned tries_ = 0;
  std::uint64_t writes_ = 0;
  std::vector<std::string> registrations_;
  std::set<Place> preserved_;
  std::set<Place> carried_;
  std::deque<Step> todo_;
  std::size_t to_retrieve_ = 0;
  /// The call that it works on.
  struct Call {
    ClientCall what = ClientCall::prepare;
    std::function<void(Result<void>)> answer;
  };
  std::optional<Call> call_;
  /// Of this process, and of its dealings with this process of the daemon.
  std::shared_ptr<bool> process_ = std::make_shared<bool>(true);
  std::shared_ptr<bool> dealings_ = std::make_shared<bool>(true);
};

}  // namespace handover::engine::test
