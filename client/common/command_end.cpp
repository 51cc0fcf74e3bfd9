// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command_end.h"

#include <cstring>

namespace handover::common {

CommandEnd command_end(const siginfo_t& info) {
  return {info.si_code == CLD_EXITED, info.si_status};
}

bool is_failure(const CommandEnd& end, bool asked_to, bool at_terminal) {
  if (end.exit_code() == 0 || asked_to) return false;
  const bool by_key = !end.exited && (end.status == SIGINT || end.status == SIGQUIT);
  return !(at_terminal && by_key);
}

std::string describe(const CommandEnd& end) {
  if (end.exited) return "ended with exit status " + std::to_string(end.status);
  return "was killed by signal " + std::to_string(end.status) + " (" + strsignal(end.status) +
         ")";  // NOLINT(concurrency-mt-unsafe): one thread
}

}  // namespace handover::common
