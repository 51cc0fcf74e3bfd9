// SPDX-License-Identifier: LGPL-2.1-or-later
// The service manager: what the daemon tells it, and the fd store. The protocol of sd_notify(3) is
// spoken here and not by libsystemd, which waits without end for a manager that does not read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::system {

struct NamedFd {
  std::string name;
  UniqueFd fd;
};

/// Takes the descriptors passed by LISTEN_FDS/LISTEN_FDNAMES (fd store, re-exec), sets CLOEXEC on
/// them and clears the variables. Call it first of all in main().
std::vector<NamedFd> take_listen_fds();

/// What is told to the service manager. None of these waits, and none does anything without
/// NOTIFY_SOCKET. A message that the manager has no room for now is kept, the newest of each kind,
/// and sent by notify_again(). Any thread.
void notify_ready(std::string_view status);   ///< "": the status stays as it was told
void notify_status(std::string_view status);  ///< one line for `systemctl status`
void notify_stopping(std::string_view status);
void notify_watchdog();
/// The manager waits `usec` longer, from now, before it takes a start or a stop for hung.
void notify_extend_timeout(std::uint64_t usec);
/// Sends what was kept; false while something is left. The loop calls it before it sleeps.
bool notify_again();

/// How many descriptors the fd store takes: $FDSTORE (systemd 254 and later, systemd.exec(5)), else
/// what our unit asks for; nullopt without a service manager. It drops what is too much without
/// telling us.
std::optional<std::size_t> fd_store_limit();
/// FileDescriptorStoreMax= in units/handoverd.service.in; a test compares them.
inline constexpr std::size_t unit_fd_store_limit = 8192;

/// Keeps `fd` in the fd store under `name` ([A-Za-z0-9-]+, unique per descriptor). Storing a name
/// anew needs forget_fd() before it. Waits for a manager that has no room for the message: a thread
/// of the pool. Nothing without NOTIFY_SOCKET. io; ETIMEDOUT after `patience_usec`.
Result<void> store_fd(const std::string& name, int fd, std::uint64_t patience_usec = 5'000'000);
Result<void> forget_fd(const std::string& name, std::uint64_t patience_usec = 5'000'000);

/// A pipe that hangs up (EPOLLHUP, nothing to read) when the service manager has handled all that
/// was sent before: BARRIER=1 of sd_notify(3). Does not wait; EAGAIN: the manager has no room for
/// the message. Without NOTIFY_SOCKET it has hung up already. io.
Result<UniqueFd> notify_barrier_fd();
/// Waits for that: a thread of the pool. io; ETIMEDOUT.
Result<void> notify_barrier(std::uint64_t timeout_usec);

/// execve() of this program again with `argv`, handing over `fds` by the LISTEN_FDS convention and
/// `environment` ("NAME=value") on top of the present one. The log is flushed before, for at most a
/// second; other threads must be at rest, since descriptors move. Returns only on failure.
Error reexec(const std::vector<std::string>& argv, const std::vector<NamedFd>& fds,
             const std::vector<std::string>& environment);

}  // namespace handover::system
