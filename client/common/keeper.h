// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps COMMAND and what belongs to it: registers with handoverd, preserves, freezes, thaws and
// restores.
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include <cstdint>
#include <handover/handover.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "freeze_method.h"
#include "freezer.h"
#include "kept.h"
#include "loop.h"
#include "preservation.h"
#include "registration.h"

namespace handover::common {

inline constexpr int own_failure = 125;  ///< as timeout(1), nohup(1) and env(1) have it
inline constexpr int cannot_run = 126;
inline constexpr int not_found = 127;

struct KeeperOptions {
  std::string name;  ///< of the client and of its session
  std::vector<std::string> command;
  std::vector<std::string> needs;
  FreezeMethod freeze;
  bool optional = false;
  std::string backend;                     ///< "": the daemon's choice
  std::uint64_t wait_usec = 90'000'000;    ///< for the daemon, at the start
  std::uint64_t prepare_timeout_usec = 0;  ///< 0: as the daemon is configured
  std::uint64_t freeze_timeout_usec = 0;
  std::uint64_t restore_timeout_usec = 0;
};

class Keeper {
 public:
  /// The loop is the caller's and outlives the keeper; signals must be blocked before start().
  Keeper(KeeperOptions options, sd_event* event, client::Connection connection,
         std::unique_ptr<Kept> kept);
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  ~Keeper();

  /// Registers, and starts COMMAND unless it has to wait, for Restore or for what is kept. Then run
  /// the loop: its exit code is COMMAND's. `exit_code` tells what to exit with after an error.
  client::Result<void> start(int* exit_code);

 private:
  template <typename Owner>
  friend client::Result<client::Client> register_owner(Owner*, client::Connection&,
                                                       const std::string&,
                                                       const client::Client::Options&);

  client::Result<void> watch_signals();
  client::Result<void> begin(int* exit_code);
  client::Result<void> make();
  client::Result<void> run_command(bool restored);

  void on_prepare(client::Call call);
  void on_freeze(client::Call call);
  void on_thaw(client::Call call);
  void on_restore(client::Call call);
  void look_whether_ready();
  void restored(client::Call call, const client::Result<void>& outcome);
  client::Result<void> restore();
  void on_registered(client::Client::State state);
  void on_disconnected(const client::Error& error);

  void look_whether_still();
  client::Result<bool> come_to_rest();
  client::Result<void> thaw();
  void look_for_late_stop();
  void on_signal(int signal);
  void on_command_changed(const siginfo_t& info);
  void leave(int exit_code);

  KeeperOptions options_;
  sd_event* event_;
  client::Connection connection_;
  Preservation preservation_;
  std::unique_ptr<Freezer> freezer_;
  std::unique_ptr<Kept> kept_;
  pid_t child_ = 0;  ///< 0: COMMAND does not run
  enum class Motion { running, stopping, still };
  Motion motion_ = Motion::running;
  std::optional<client::Call> freeze_call_;
  std::optional<client::Call> restore_call_;  ///< waits for kept_ to be ready
  std::uint64_t freeze_deadline_ = 0;         ///< CLOCK_MONOTONIC
  std::uint64_t late_stop_poll_usec_ = 0;

  Signals signals_;
  Child watched_;
  Timer ready_timer_, still_timer_, late_stop_timer_, orphan_timer_;
  std::optional<client::Client> client_;  // last: its callbacks use the rest
};

}  // namespace handover::common
