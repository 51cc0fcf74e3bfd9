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
#include <set>
#include <string>
#include <vector>

#include "command.h"
#include "command_end.h"
#include "freeze_method.h"
#include "freezer.h"
#include "kept.h"
#include "loop.h"
#include "notify_socket.h"
#include "preservation.h"
#include "registration.h"
#include "restart_socket.h"
#include "wait_for.h"

namespace handover::common {

/// What is kept for COMMAND cannot be had now: another start finds it as this one did (EX_CONFIG).
inline constexpr int state_unusable = 78;
inline constexpr int own_failure = 125;  ///< as timeout(1), nohup(1) and env(1) have it
inline constexpr int cannot_run = 126;
inline constexpr int not_found = 127;

struct KeeperOptions {
  std::string name;  ///< of the client and of its session
  std::vector<std::string> command;
  std::vector<std::string> needs;
  FreezeMethod freeze;
  bool optional = false;
  /// What is kept stays preserved when COMMAND fails, for the next start; else it is given up.
  bool keep_on_failure = true;
  bool notify = false;                     ///< COMMAND says READY=1
  std::string user;                        ///< as whom COMMAND runs; "": as us
  std::string group;                       ///< "": the user's
  std::vector<WaitFor> wait_for;           ///< before COMMAND is started
  std::string runtime_directory;           ///< of the socket for request_restart(); "": none
  std::vector<Handed> inherited;           ///< handed on to COMMAND, in front of what is kept
  std::string backend;                     ///< "": the daemon's choice
  std::uint64_t wait_usec = 90'000'000;    ///< for the daemon, and for wait_for, at the start
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
  void abandon();
  client::Result<bool> all_is_there();
  client::Result<bool> take_or_make();
  client::Result<bool> take_back();
  client::Result<void> make();
  enum class Contents {
    fresh,
    as_frozen,   ///< COMMAND stood still when it was left
    unfinished,  ///< an earlier COMMAND was cut off, wherever it was
  };
  client::Result<void> run_command(Contents contents);
  void tell_running();
  void on_ready();

  void on_prepare(client::Call call);
  void look_for_strays();
  client::Result<std::vector<std::string>> strays_that_stay();
  [[nodiscard]] std::string about_stray(const std::string& stray) const;
  [[nodiscard]] std::string stray_is_in_the_way(const std::string& stray) const;
  void on_freeze(client::Call call);
  void on_thaw(client::Call call);
  void on_restore(client::Call call);
  void look_whether_ready();
  void settle_restore(client::Call call);
  void restored(client::Call call, const client::Result<void>& outcome);
  client::Result<void> restore(bool quiesced);
  void on_registered(client::Client::State state);
  void on_disconnected(const client::Error& error);

  void look_whether_still();
  client::Result<bool> come_to_rest();
  client::Result<void> thaw();
  void look_for_late_stop();
  void on_signal(int signal);
  void on_command_changed(const siginfo_t& info);
  void on_restart_requested(RestartRequest request);
  void restart_now(const CommandEnd& end, pid_t group);
  void leave_when_preserved(int exit_code);
  void look_whether_preserved();
  void leave(int exit_code);

  KeeperOptions options_;
  sd_event* event_;
  client::Connection connection_;
  Preservation preservation_;
  std::unique_ptr<Freezer> freezer_;
  std::unique_ptr<Kept> kept_;
  pid_t child_ = 0;  ///< 0: COMMAND does not run
  NotifySocket notify_;
  bool ready_ = false;  ///< COMMAND runs, and has said READY=1 if it is to
  RestartSocket restart_;
  std::optional<RestartRequest> restart_request_;  ///< waits for COMMAND to end
  bool asked_to_end_ = false;                      ///< by a signal that was passed on
  std::set<int> passed_on_;                        ///< signals, to this COMMAND
  bool told_missing_ = false;
  bool is_new_ = false;  ///< what is kept was made by this run
  enum class Motion { running, stopping, still };
  Motion motion_ = Motion::running;
  bool to_resume_ = false;  ///< COMMAND runs, but what is kept for it does not yet
  std::optional<client::Call> prepare_call_;  ///< waits for strays to end
  std::optional<client::Call> freeze_call_;
  std::optional<client::Call> restore_call_;  ///< waits for what must be there
  std::optional<client::Call> ready_call_;    ///< the same, waits for COMMAND to be ready
  std::uint64_t there_deadline_ = 0;          ///< CLOCK_MONOTONIC, for what must be there
  std::optional<int> leaving_;                ///< with this, once what is kept is preserved
  std::uint64_t leave_deadline_ = 0;
  std::uint64_t freeze_deadline_ = 0;  ///< CLOCK_MONOTONIC
  std::uint64_t late_stop_poll_usec_ = 0;
  std::optional<std::vector<std::string>> strays_;  ///< that were there at each look
  std::uint64_t stray_deadline_ = 0;                ///< CLOCK_MONOTONIC; 0: no stray in Freeze yet

  Signals signals_;
  Child watched_;
  Timer ready_timer_, still_timer_, stray_timer_, late_stop_timer_, orphan_timer_, leave_timer_,
      kill_timer_;
  std::optional<client::Client> client_;  // last: its callbacks use the rest
};

}  // namespace handover::common
