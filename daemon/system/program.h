// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs somebody's program to its end, within a time limit, and leaves nothing of it behind.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace handover::system {

struct Program {
  std::string path;
  std::vector<std::string> arguments = {};  ///< behind the path
  std::vector<std::string> environment;     ///< all of it, "NAME=VALUE"
  std::uint64_t limit_usec = 0;
};

struct ProgramEnd {
  enum class How {
    exited,     ///< with `status`
    killed,     ///< by signal `status`, which was not ours
    timed_out,  ///< killed at its limit
    stopped,    ///< killed, since `stop` was set
    failed,     ///< it was not started: errno `status`
  };
  How how = How::failed;
  int status = 0;
  std::uint64_t usec = 0;
};

/// Takes as long as the program does: a thread of the pool. Any thread. `output` gets what it
/// prints, piece by piece.
///
/// The program has a session and a process group of its own, "/" as working directory, no
/// descriptor but an empty input and its output, and no signal blocked. A copy of this process
/// stands between: it ends the program, and all that the program started and that is still there,
/// when the program ends, when its time is over, and when this process dies, however it dies.
ProgramEnd run_program(const Program& program, const std::atomic<bool>& stop,
                       const std::function<void(std::string_view)>& output);

}  // namespace handover::system
