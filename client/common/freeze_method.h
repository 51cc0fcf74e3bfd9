// SPDX-License-Identifier: LGPL-2.1-or-later
// How a client's COMMAND is made to stand still, as written on a command line or in a file.
#pragma once

#include <handover/handover.hpp>
#include <string_view>

namespace handover::common {

/// How COMMAND is made to stand still.
struct FreezeMethod {
  enum class Kind {
    automatic,  ///< the cgroup freezer where the cgroup is delegated to us, else stop
    cgroup,     ///< cgroup.freeze of a cgroup below ours
    stop,       ///< SIGSTOP to COMMAND's process group
    signal,     ///< a signal upon which COMMAND stops itself
  };
  Kind kind = Kind::automatic;
  int freeze_signal = 0;  ///< kind signal
  int thaw_signal = 0;    ///< kind signal: sent before SIGCONT; 0: SIGCONT alone
};

/// "cgroup", "sigstop", "signal:USR1", "signal:USR1,USR2".
client::Result<FreezeMethod> parse_freeze_method(std::string_view text);

}  // namespace handover::common
