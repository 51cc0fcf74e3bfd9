// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of handover-memfd as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace handover::memfd {

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

struct Options {
  std::string name;
  std::uint64_t size = 0;
  std::vector<std::string> needs;
  FreezeMethod freeze;
  bool optional = false;
  std::string backend;  ///< "": the daemon's choice
  std::uint64_t wait_usec = 90'000'000;
  std::vector<std::string> command;
};

/// A text for stdout and the end: --help, --version.
struct Information {
  std::string text;
};

/// The arguments without argv[0].
client::Result<std::variant<Options, Information>> parse_options(
    const std::vector<std::string>& arguments);

/// "cgroup", "sigstop", "signal:USR1", "signal:USR1,USR2".
client::Result<FreezeMethod> parse_freeze_method(std::string_view text);

}  // namespace handover::memfd
