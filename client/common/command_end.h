// SPDX-License-Identifier: LGPL-2.1-or-later
// How COMMAND ended, and what that means for what is kept for it.
#pragma once

#include <csignal>
#include <string>

namespace handover::common {

struct CommandEnd {
  bool exited = true;  ///< false: by a signal
  int status = 0;      ///< of its exit, or the signal's number

  /// As shells have it.
  [[nodiscard]] int exit_code() const { return exited ? status : 128 + status; }
};

CommandEnd command_end(const siginfo_t& info);

/// It did not end of its own or anybody's will: its next start is to go on with what is kept.
/// `asked_to`: we passed a signal on that asks it to end. `at_terminal`: so can a key.
bool is_failure(const CommandEnd& end, bool asked_to, bool at_terminal);

/// "ended with exit status 1", "was killed by signal 11 (Segmentation fault)".
std::string describe(const CommandEnd& end);

}  // namespace handover::common
