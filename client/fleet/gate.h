// SPDX-License-Identifier: LGPL-2.1-or-later
// The gate: performs the actions of the host's turn (turn.h), and feeds it events.
//
// Threads: the loop's; what takes long goes to its worker.
#pragma once

#include <systemd/sd-event.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <handover/handover.hpp>
#include <memory>
#include <optional>
#include <string>

#include "ask.h"
#include "common/loop.h"
#include "common/restart_socket.h"
#include "config.h"
#include "status.h"
#include "turn.h"
#include "worker.h"

namespace handover::fleet {

class Gate {
 public:
  struct Setup {
    std::string name;      ///< of the client
    std::string state;     ///< directory
    std::string runtime;   ///< directory
    std::string id, boot;  ///< of this host, and this boot
    std::string installation;
  };
  Gate(Setup setup, Config config, sd_event* event);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate();

  client::Result<void> start();

 private:
  client::Result<void> load();
  client::Result<void> connect();
  [[nodiscard]] client::Client::Callbacks callbacks();
  [[nodiscard]] Claim new_claim(std::uint64_t generation) const;

  void on_prepare(client::Call call);
  void on_restore(client::Call call);
  void on_plain(client::Call call, const Event& event);
  void on_registered(client::Client::State state);
  void on_release(common::RestartRequest request);

  void feed(const Event& event);
  /// False: what comes after it must not be done.
  bool perform(const Action& action, const Turn& before);
  bool persist(const Turn& before);
  void ask();
  void asked(const Answer& answer);
  void check_health();
  void release();
  [[nodiscard]] Lock lock_of_turn() const;
  void release_again();
  void released(const LockOutcome& outcome);
  void note_server(const LockOutcome& outcome);
  void look_at_windows();
  void looked(const client::Result<WindowState>& window);
  void publish();
  static void settle(std::optional<client::Call>& call, const std::string* refusal);

  Setup setup_;
  Config config_;
  sd_event* event_;
  Turn turn_;
  Status status_;
  std::optional<client::Connection> connection_;
  std::optional<client::Client> client_;
  std::optional<client::Call> call_, prepare_call_, restore_call_;
  std::optional<common::RestartRequest> person_;
  std::shared_ptr<std::atomic<bool>> asking_;
  std::uint64_t expected_usec_ = 0;  ///< how long the update will take, by the last Prepare
  std::uint64_t asked_count_ = 0;    ///< tells an answer that nobody waits for any more
  common::RestartSocket socket_;
  common::Timer release_timer_, window_timer_;
  std::uint64_t release_pause_usec_ = 0;
  Worker worker_;  ///< last: its jobs use what is above
};

}  // namespace handover::fleet
