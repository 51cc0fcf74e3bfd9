// SPDX-License-Identifier: LGPL-2.1-or-later
// System calls on files, with what they refuse as values.
#pragma once

#include <cstddef>
#include <handover/handover.hpp>
#include <string>

namespace handover::ctl {

/// How much is copied at once.
inline constexpr std::size_t chunk_bytes = std::size_t{1} << 20;

/// "<what>: <strerror(errno)>".
client::Error system_error(const std::string& what);

/// All of it; `where` names the file to a person.
client::Result<void> write_all(int fd, const char* data, std::size_t size,
                               const std::string& where);

/// Whether execvp(3) finds it. What can be seen to fail is looked at before anything is begun.
bool can_be_executed(const std::string& command);

}  // namespace handover::ctl
