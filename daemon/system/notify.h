// SPDX-License-Identifier: LGPL-2.1-or-later
// The service manager: readiness, status line, and the fd store.
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

/// sd_notify(); does nothing without NOTIFY_SOCKET.
void notify_ready(std::string_view status);
void notify_status(std::string_view status);

/// How many descriptors the fd store takes, if the service manager says so ($FDSTORE,
/// systemd.exec(5), systemd 254 and later). It drops what is too much without telling us.
std::optional<std::size_t> fd_store_limit();
/// Keeps `fd` in the fd store under `name` ([A-Za-z0-9-]+, unique per descriptor). Storing a name
/// anew needs forget_fd() before it. Nothing without NOTIFY_SOCKET. io.
Result<void> store_fd(const std::string& name, int fd);
Result<void> forget_fd(const std::string& name);
/// Returns when the service manager has handled all that was sent (sd_notify_barrier). io.
Result<void> notify_barrier(std::uint64_t timeout_usec);

/// execve() of this program again with `argv`, handing over `fds` by the LISTEN_FDS convention and
/// `environment` ("NAME=value") on top of the present one. Returns only on failure.
Error reexec(const std::vector<std::string>& argv, const std::vector<NamedFd>& fds,
             const std::vector<std::string>& environment);

}  // namespace handover::system
