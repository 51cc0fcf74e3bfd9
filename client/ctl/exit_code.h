// SPDX-License-Identifier: LGPL-2.1-or-later
// The exit codes of handoverctl, which scripts may rely on, and which error gives which.
#pragma once

#include <string_view>

namespace handover::ctl {

enum class ExitCode : int {
  ok = 0,
  failed = 1,     ///< of an update: it is done, with losses; of preflight: warnings
  usage = 2,      ///< wrong command line, or an argument that the daemon calls malformed
  not_found = 3,  ///< no such session, client, token, backend or kernel
  access_denied = 4,
  busy = 5,           ///< an update runs
  update_failed = 6,  ///< refused, vetoed, timed out, or its kernel did not load
  cancelled = 7,
  unreachable = 8,  ///< no daemon, or it went away
  left = 9,         ///< an update that still runs, so that its end is not known
};

/// `name` is a full D-Bus error name; "" is an error of our own.
ExitCode exit_code_of(std::string_view name);

/// The same for an update that such an error refused: never `failed`, which says that it is done.
ExitCode update_exit_code_of(std::string_view name);

}  // namespace handover::ctl
