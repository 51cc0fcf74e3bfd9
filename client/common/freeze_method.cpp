// SPDX-License-Identifier: LGPL-2.1-or-later
#include "freeze_method.h"

#include <charconv>
#include <csignal>
#include <cstring>

#include "command_line.h"

namespace handover::common {
namespace {

/// "USR1", "SIGUSR1" or "10" → 10; 0 if there is no such signal, or none that can be caught.
int signal_of(std::string_view text) {
  const auto catchable = [](int number) {
    return number > 0 && number < NSIG && number != SIGKILL && number != SIGSTOP;
  };
  if (text.substr(0, 3) == "SIG") text.remove_prefix(3);
  for (int number = 1; number < NSIG; ++number) {
    const char* name = sigabbrev_np(number);
    if (name && text == name) return catchable(number) ? number : 0;
  }
  int number = 0;
  const auto [rest, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = status == std::errc() && rest == text.data() + text.size();
  return whole && catchable(number) ? number : 0;
}

}  // namespace

client::Result<FreezeMethod> parse_freeze_method(std::string_view text) {
  using Kind = FreezeMethod::Kind;
  if (text == "auto") return FreezeMethod{Kind::automatic, 0, 0};
  if (text == "cgroup") return FreezeMethod{Kind::cgroup, 0, 0};
  if (text == "sigstop") return FreezeMethod{Kind::stop, 0, 0};

  constexpr std::string_view prefix = "signal:";
  if (text.substr(0, prefix.size()) != prefix) {
    return usage("Freeze method '" + std::string(text) +
                 "' is none of auto, cgroup, sigstop and signal:SIGNAL[,SIGNAL].");
  }
  const std::string_view names = text.substr(prefix.size());
  const auto comma = names.find(',');
  FreezeMethod method{Kind::signal, signal_of(names.substr(0, comma)), 0};
  if (method.freeze_signal == 0) {
    return usage("'" + std::string(names.substr(0, comma)) +
                 "' is no signal that COMMAND could handle (as USR1).");
  }
  if (comma != std::string_view::npos) {
    const auto thaw = names.substr(comma + 1);
    method.thaw_signal = signal_of(thaw);
    if (method.thaw_signal == 0) {
      return usage("'" + std::string(thaw) + "' is no signal that COMMAND could handle (as CONT).");
    }
    if (method.thaw_signal == SIGCONT) method.thaw_signal = 0;  // sent in any case
  }
  return method;
}

}  // namespace handover::common
