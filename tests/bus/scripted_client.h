// SPDX-License-Identifier: LGPL-2.1-or-later
// A client of handoverd that keeps the protocol of docs/dbus.md, except where its script says not
// to.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connection.h"
#include "core/unique_fd.h"
#include "event_loop.h"
#include "journal.h"

namespace handover::test {

class ScriptedClient {
 public:
  enum class Behaviour {
    answer,
    veto,          ///< an error reply with the sentence "NAME does not want to", or another
    hold,          ///< does nothing, and does not answer, until let_go() or veto_held()
    leave,         ///< closes the connection instead of answering
    hold_answer,   ///< does what is asked, and does not answer until let_go()
    enroll_again,  ///< registers once more, and then answers
  };
  struct Setup {
    std::string name{};
    std::vector<std::string> needs{};
    bool required = true;
    std::uint64_t prepare_timeout_usec = 0;  ///< 0: not given
    std::uint64_t freeze_timeout_usec = 0;
    std::uint64_t restore_timeout_usec = 0;
  };
  /// One preserved memfd.
  struct Memory {
    std::string session;
    std::uint64_t token = 0;
    UniqueFd fd;  ///< the client's own; after a Restore the one that came back
    std::uint32_t checksum = 0;
    unsigned retrieved = 0;        ///< how often it came back
    std::uint64_t generation = 0;  ///< in which it came back last
  };

  ScriptedClient(EventLoop& loop, Journal& journal, Address address, Setup setup);
  ~ScriptedClient();
  ScriptedClient(const ScriptedClient&) = delete;
  ScriptedClient& operator=(const ScriptedClient&) = delete;

  [[nodiscard]] const Setup& setup() const { return setup_; }
  [[nodiscard]] const std::string& name() const { return setup_.name; }
  [[nodiscard]] Connection& connection() { return *connection_; }
  [[nodiscard]] bool connected() const { return connection_ != nullptr; }

  /// Once; from then on the client registers again by itself whenever the daemon comes back.
  void start();
  /// Runs the loop until it is registered, and its memory preserved.
  [[nodiscard]] bool started();
  /// Its memory is preserved, for all that it has heard.
  [[nodiscard]] bool preserved() const { return preserved_; }
  void on(Call call, Behaviour behaviour) { script_[call] = behaviour; }
  /// The next time only.
  void once(Call call, Behaviour behaviour) { once_[call] = behaviour; }
  /// Answers all that is held.
  void let_go();
  /// Vetoes by all that is held.
  void veto_held();
  void set_veto_sentence(std::string sentence) { veto_sentence_ = std::move(sentence); }
  [[nodiscard]] bool holds() const { return !held_.empty(); }
  /// As a process that dies: everything but what the test keeps of it is gone.
  void die();
  /// From now on it does not register by itself when the daemon comes back.
  void stay_away() { stays_away_ = true; }
  /// A client that died or stayed away is started again.
  void come_back();

  /// `bytes` of contents that follow from `seed` under `token` of `session`; preserved by start()
  /// and again after each Restore.
  void keep(const std::string& session, std::uint64_t token, std::uint64_t seed, std::size_t bytes);
  [[nodiscard]] const std::vector<Memory>& memory() const { return memory_; }
  /// What went wrong with its memory, in sentences: wrong contents, a call that was refused.
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }

  [[nodiscard]] bool frozen() const { return frozen_; }
  [[nodiscard]] bool prepared() const { return prepared_; }
  /// All that RegisterClient returned, in order.
  [[nodiscard]] const std::vector<std::string>& states() const { return states_; }
  /// Arguments of the latest call, as text: "timeout-usec" → "5000000".
  [[nodiscard]] const std::map<std::string, std::string>& arguments() const { return arguments_; }

 private:
  struct Held {
    Call call;
    MessagePtr message;
    bool done;  ///< it was done, and only its answer is held
  };

  static int on_call(sd_bus_message* message, void* userdata, sd_bus_error* error);
  static int on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*);
  static int on_disconnected(sd_bus_message*, void* userdata, sd_bus_error*);

  void connect();
  void connect_again();
  void disconnect();
  void enroll();
  int handle(Call call, sd_bus_message* message);
  [[nodiscard]] Behaviour take_behaviour(Call call);
  void act(Call call, MessagePtr message);
  void hold(Call call, sd_bus_message* message, bool done);
  void reply(Call call, sd_bus_message* message);
  void veto(Call call, sd_bus_message* message);
  void take_memory_back(MessagePtr restore);
  void came_back(Memory& memory, std::uint64_t generation, const Answer& answer);
  void preserve_memory();
  void complain(const std::string& what, const Answer& answer);
  void read_arguments(sd_bus_message* message);

  EventLoop& loop_;
  Journal& journal_;
  Address address_;
  Setup setup_;
  std::string veto_sentence_;
  std::map<Call, Behaviour> script_;
  std::map<Call, Behaviour> once_;
  std::unique_ptr<Connection> connection_;
  std::vector<SlotPtr> slots_;
  SourcePtr later_;
  std::vector<Held> held_;  ///< in the order in which they came
  bool hold_answer_ = false;
  std::vector<Memory> memory_;
  std::vector<std::string> complaints_;
  std::vector<std::string> states_;
  std::map<std::string, std::string> arguments_;
  bool registered_ = false;
  bool stays_away_ = false;
  bool preserved_ = false;
  bool frozen_ = false;
  bool prepared_ = false;
};

}  // namespace handover::test
