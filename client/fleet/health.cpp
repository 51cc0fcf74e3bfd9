// SPDX-License-Identifier: LGPL-2.1-or-later
#include "health.h"

#include "pause.h"
#include "program.h"
#include "text.h"

namespace handover::fleet {
namespace {

/// What it says of itself, on one line.
std::string said_by_program(const Ended& ended) {
  const auto& text = ended.complaint.empty() ? ended.output : ended.complaint;
  const auto line = one_line(text);
  return line.empty() ? "" : ": " + line;
}

/// "" if it passed.
std::string try_once(const Check& check, const std::vector<std::string>& environment,
                     const std::atomic<bool>& given_up) {
  auto ended = run_program(program_of(check), environment, check.timeout_usec, given_up);
  if (!ended) return check.what() + ": " + ended.error().message;
  if (ended->well) return "";
  if (!check.unit.empty()) {
    const auto state = one_line(ended->output);
    return check.what() + " is " + (state.empty() ? "unknown (" + ended->how + ")" : state);
  }
  return check.what() + " " + ended->how + said_by_program(*ended);
}

}  // namespace

std::vector<std::string> program_of(const Check& check) {
  if (check.unit.empty()) return check.command;
  return {"systemctl", "is-active", "--", check.unit};
}

std::string run_checks(const std::vector<Check>& checks,
                       const std::vector<std::string>& environment,
                       const std::atomic<bool>& given_up) {
  for (const auto& check : checks) {
    std::string failure;
    for (std::uint64_t i = 0; i <= check.retries; ++i) {
      if (i > 0 && !pause(check.retry_usec, given_up)) return "it was given up";
      failure = try_once(check, environment, given_up);
      if (failure.empty()) break;
    }
    if (!failure.empty()) return failure;
  }
  return "";
}

}  // namespace handover::fleet
