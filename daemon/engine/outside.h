// SPDX-License-Identifier: LGPL-2.1-or-later
// What the engine asks of the world beyond it: clients to call, watchers to tell. bus/ implements
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"
#include "core/manifest.h"

namespace handover::engine {

/// The methods of org.handover1.Client.
enum class ClientCall { prepare, cancel, freeze, thaw, restore };

struct ClientCallArguments {
  std::uint64_t generation = 0;
  std::uint64_t timeout_usec = 0;
  std::string kernel_release;  ///< of the target; Prepare
  std::string reason;          ///< Thaw, Cancel
};

class Outside {
 public:
  virtual ~Outside() = default;

  /// Calls the client; `done` runs later, exactly once, from the loop: vetoed with the client's
  /// sentence for an error reply, timed_out, client_gone.
  virtual void call_client(const ClientRecord& client, ClientCall call,
                           const ClientCallArguments& arguments,
                           std::function<void(Result<void>)> done) = 0;
  /// Starts kexec.target through PID 1 and watches its job. `failed` runs later, from the loop, and
  /// at most once: kexec_failed, when PID 1 refused or the job ended with no kexec, be it minutes
  /// later. There is no word of success: the machine goes.
  virtual void start_orderly_kexec(std::function<void(Error)> failed) = 0;

  /// Sends what is queued: this process is about to be replaced or the kernel with it.
  virtual void flush() = 0;

  // Announcements; each is a signal or a property change on the bus.
  virtual void manager_changed(const char* property) = 0;
  virtual void session_changed(const std::string& session, const char* property) = 0;
  virtual void session_added(const std::string& session) = 0;
  virtual void session_removed(const std::string& session) = 0;
  virtual void client_added(const std::string& client) = 0;
  virtual void client_removed(const std::string& client) = 0;
  virtual void client_changed(const ClientRecord& client) = 0;
  virtual void job_added(std::uint64_t id) = 0;
  virtual void job_changed(std::uint64_t id) = 0;
  virtual void job_removed(std::uint64_t id, const std::string& result,
                           const std::string& reason) = 0;
  virtual void update_finished(const std::string& outcome, const std::string& reason,
                               std::uint64_t generation) = 0;
  virtual void state_lost(const std::string& session, const std::string& client,
                          const std::string& reason) = 0;
};

}  // namespace handover::engine
