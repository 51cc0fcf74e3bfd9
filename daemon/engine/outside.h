// SPDX-License-Identifier: LGPL-2.1-or-later
// The world that the engine talks to over D-Bus: clients to call, PID 1, and whoever watches. bus/
// implements it.
//
// Threads: every function is called from the loop, and calls back from the loop, never at once.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/kernel_ledger.h"
#include "core/manager_facts.h"
#include "core/manifest.h"
#include "engine/client_call.h"

namespace handover::engine {

struct ClientCallArguments {
  std::uint64_t generation = 0;
  std::uint64_t timeout_usec = 0;
  std::string kernel_release;   ///< of the target; Prepare
  std::string reason;           ///< Thaw, Cancel
  bool rehearsal = false;       ///< Prepare, Freeze: it ends before the reboot call
  bool stays_prepared = false;  ///< Thaw: Freeze may follow without another Prepare
  bool quiesced = true;         ///< Restore: the client had answered Freeze
};

class Outside {
 public:
  virtual ~Outside() = default;

  /// What came of a call: vetoed with the client's sentence for an error reply, timed_out,
  /// client_gone.
  struct Answer {
    Result<void> result;
    bool late = false;  ///< it comes after the time-out of the same call
  };
  /// Calls the client. `answered` runs once; after a timed_out it runs a second time, with `late`,
  /// if the answer comes after all.
  virtual void call_client(const ClientRecord& client, ClientCall call,
                           const ClientCallArguments& arguments,
                           std::function<void(const Answer&)> answered) = 0;
  /// Between the two the time limits of the calls to this connection stand still. By Clocks alone,
  /// which starts what it has stopped.
  virtual void stop_clock(const std::string& connection) = 0;
  virtual void start_clock(const std::string& connection) = 0;

  /// Starts kexec.target through PID 1 and watches its job. `failed` runs at most once:
  /// kexec_failed, when PID 1 refused or the job ended with no kexec, be it minutes later; the job
  /// is withdrawn by then. ETIMEDOUT in sys_errno: PID 1 has not answered for two minutes, neither
  /// to that nor to the withdrawal, which is waiting for it. There is no word of success: the
  /// machine goes.
  virtual void start_orderly_kexec(std::function<void(Error)> failed) = 0;
  /// Takes kexec.target's job back, also one that an earlier process of the daemon started.
  /// kexec_failed: the kexec may come still. ETIMEDOUT in sys_errno: PID 1 does not answer.
  virtual void withdraw_orderly_kexec(std::function<void(Result<void>)> done) = 0;
  /// Asks PID 1 whether the boot is over (SystemState). False while that cannot be found out; true
  /// where PID 1 is not systemd.
  virtual void boot_is_over(std::function<void(bool)> answer) = 0;
  /// Asks logind and PID 1 what preflight wants to know of them and of these units. `answer` runs
  /// once, within a second or so, with what is known by then.
  virtual void ask_managers(const std::vector<std::string>& units,
                            std::function<void(ManagerFacts)> answer) = 0;
  /// Keeps others from shutting the host down, or no longer. A request of ours is not held up by
  /// it.
  virtual void inhibit_shutdown(bool wanted) = 0;

  // Announcements; each is a signal or a property change on the bus.
  virtual void manager_changed(const char* property) = 0;
  virtual void session_changed(const std::string& session, const char* property) = 0;
  virtual void session_added(const std::string& session) = 0;
  virtual void session_removed(const std::string& session) = 0;
  virtual void token_added(const std::string& session, std::uint64_t token) = 0;
  virtual void token_removed(const std::string& session, std::uint64_t token) = 0;
  virtual void client_added(const std::string& client) = 0;
  virtual void client_removed(const std::string& client) = 0;
  virtual void client_changed(const ClientRecord& client) = 0;
  virtual void job_added(std::uint64_t id) = 0;
  virtual void job_changed(std::uint64_t id) = 0;
  virtual void job_removed(std::uint64_t id, Outcome result, const std::string& reason) = 0;
  virtual void update_finished(Outcome outcome, const std::string& reason,
                               std::uint64_t generation) = 0;
  virtual void kernel_judged(const std::string& release, KernelState state,
                             const std::string& reason, std::uint64_t generation) = 0;
  virtual void state_lost(const std::string& session, const std::string& client,
                          const std::string& reason) = 0;
};

}  // namespace handover::engine
