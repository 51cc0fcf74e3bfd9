// SPDX-License-Identifier: LGPL-2.1-or-later
// A host with a kernel, PID 1, clients, and the engine of whatever process of the daemon runs now.
// Time passes only as far as something is due. The daemon can die, and PID 1 starts it again with
// what the fd store kept; a kexec takes everybody into the next kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "../backend/fake_liveupdate.h"
#include "../backend/fake_tracker.h"
#include "core/config.h"
#include "engine/engine.h"
#include "fake_client.h"
#include "fake_host.h"
#include "fake_outside.h"
#include "machine.h"

namespace handover::engine::test {

class World final : public Daemon {
 public:
  struct Options {
    bool emulated = false;
    std::uint64_t seed = 0;  ///< of the pool's order
    bool luo = true;         ///< the kernel has /dev/liveupdate
    bool module = false;     ///< the companion module is loaded
  };
  World() : World(Options{}) {}
  explicit World(Options options);
  ~World() override;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // ---- what it is made of
  Machine machine;
  std::shared_ptr<backend::test::FakeLiveupdate> kernel;
  std::shared_ptr<backend::test::FakeTracker> tracker;
  /// Errnos with which the kernel refuses to give an incoming session, by its name.
  std::map<std::string, int> refused_sessions;
  PidOne pid_one;
  Announced announced;
  Config config;
  std::string config_text;
  /// The configuration's file cannot be used.
  std::optional<Error> config_problem;
  std::string config_missing;
  /// PID 1 starts a daemon that has died again.
  bool restarts = true;
  /// What runs before each step.
  std::function<void()> before_step;

  /// Makes it at the first call.
  FakeClient& client(const std::string& name);
  [[nodiscard]] const FakeOutside::Clients& clients() const { return clients_; }

  // ---- the daemon
  /// Starts daemon and clients, and waits until everybody has what he wants.
  void boot();
  void start_daemon();
  /// kill -9.
  void kill_daemon();
  [[nodiscard]] bool daemon_is_here() const { return engine_ != nullptr; }
  [[nodiscard]] bool ready() const { return ready_; }
  Engine& engine() { return *engine_; }
  FakeHost& host() { return *host_; }
  FakeOutside& outside() { return *outside_; }
  /// The bus answers what is open at a connection that is gone.
  void answer_for(const std::string& connection);
  /// From now on the pool does not come to put the manifest into preserved memory: an update stays
  /// frozen.
  void keep_frozen();
  void let_go();
  /// What kexec.target does once every unit is stopped.
  void finish_orderly_kexec();
  /// Somebody boots the next kernel without asking the daemon.
  void kexec_by_hand();
  /// The daemon's process and the kernel with all that is in it, but for the disk.
  void power_cut();
  /// Tokens of the session that kernel and module preserve, or still hold from the earlier kernel;
  /// nullopt: neither has such a session.
  [[nodiscard]] std::optional<std::set<std::uint64_t>> outgoing(const std::string& session);
  [[nodiscard]] std::optional<std::set<std::uint64_t>> incoming(const std::string& session);
  /// Why the daemon ended by itself, if it did.
  std::optional<Error> failed;
  /// The daemon said that it uses another configuration than the file's.
  bool config_borrowed = false;
  bool settled = false;  ///< the daemon said that nothing is left to restore
  unsigned processes = 0;
  unsigned kernels = 1;

  // ---- time
  /// Until nothing is left to do now. No time passes.
  void settle();
  void run_for(std::uint64_t usec);
  /// False if it has not come true when so much time has passed.
  bool run_until(const std::function<bool()>& come_true, std::uint64_t limit_usec = hour);
  static constexpr std::uint64_t second = 1'000'000;
  static constexpr std::uint64_t hour = 3600 * second;

  // ---- what root asks for
  void call(const std::function<void(Engine&)>& what);
  /// Asks, and waits for the answer: the job's id.
  Result<std::uint64_t> request(JobType type, const UpdateOptions& options = {});
  /// A whole update, until it is over: its outcome, or the error that refused it.
  std::string update(const UpdateOptions& options = {});
  /// Asks, and waits until that state is reached.
  bool update_until(State state, const UpdateOptions& options = {});
  Result<void> cancel();
  /// A session of root's that belongs to no client, with memory under tokens 1 to `tokens`.
  void make_session(const std::string& name, std::uint64_t tokens);
  /// More of a client's memory, and waits for the answer.
  Result<void> preserve(const FakeClient& client, const std::string& session, std::uint64_t token);
  /// Waits until no update runs, and says how the last one ended.
  std::string outcome();
  [[nodiscard]] std::string reason() const;
  std::vector<HistoryEntry> history();
  [[nodiscard]] std::uint64_t statistic(const std::string& name) const;

  // ---- what is expected
  /// Nothing is under way any more, nor owed to anybody.
  bool calm();
  /// Waits for that.
  bool calm_down(std::uint64_t limit_usec = hour);
  /// What is wrong with a calm world, a line each: clients that stand still, memory that is neither
  /// here nor told lost, what is kept or charged and belongs to nobody.
  std::vector<std::string> wrong();
  [[nodiscard]] bool everybody_runs() const;
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  [[nodiscard]] bool lost_anything() const { return !announced.losses.empty(); }

 private:
  // Daemon
  Clock& clock() override { return machine.clock; }
  void send(std::function<void(Engine&)> what) override;
  std::string connect(bool direct) override;
  void disconnect(const std::string& connection) override;
  void complain(const std::string& what) override { complaints_.push_back(what); }

  Result<void> preserve(const Caller& caller, const std::string& session, std::uint64_t token);
  bool step(std::uint64_t limit_usec);
  void ended(ProcessEnded::Why why);
  void destroy_daemon();
  void next_kernel();
  [[nodiscard]] backend::Keepers make_keepers();
  void reboot_kernel();
  void tell_of_closed_connections();

  Options options_;
  FakeOutside::Clients clients_;
  std::unique_ptr<FakeHost> host_;
  std::unique_ptr<FakeOutside> outside_;
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<bool> process_ = std::make_shared<bool>(false);
  bool ready_ = false;
  bool emulated_kexec_ = false;
  std::vector<NamedDescriptor> executed_with_;
  std::uint64_t connections_ = 0;
  std::set<std::string> open_connections_;
  std::set<std::string> closed_meanwhile_;
  std::uint64_t steps_ = 0;
  std::vector<std::string> complaints_;
};

}  // namespace handover::engine::test
