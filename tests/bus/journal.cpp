// SPDX-License-Identifier: LGPL-2.1-or-later
#include "journal.h"

#include <algorithm>
#include <ostream>

namespace handover::test {

const char* to_string(Call call) {
  switch (call) {
    case Call::prepare:
      return "Prepare";
    case Call::cancel:
      return "Cancel";
    case Call::freeze:
      return "Freeze";
    case Call::thaw:
      return "Thaw";
    case Call::restore:
      return "Restore";
  }
  return "?";
}

void PrintTo(Call call, std::ostream* out) { *out << to_string(call); }

std::size_t Journal::count(const std::string& client, Call call) const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
        return entry.client == client && entry.call == call && !entry.answered;
      }));
}

std::size_t Journal::count(Call call) const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [&](const Entry& entry) { return entry.call == call && !entry.answered; }));
}

std::optional<std::size_t> Journal::find(const std::string& client, Call call,
                                         bool answered) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const auto& entry = entries_[i];
    if (entry.client == client && entry.call == call && entry.answered == answered) return i;
  }
  return std::nullopt;
}

std::string Journal::out_of_order(Call call, const Needs& needs, bool dependants_first) const {
  for (const auto& [name, needed] : needs) {
    for (const auto& other : needed) {
      const auto& first = dependants_first ? name : other;
      const auto& second = dependants_first ? other : name;
      const auto came = find(second, call, false);
      const auto answered = find(first, call, true);
      if (!came) continue;
      if (!answered || *answered > *came) {
        return std::string(to_string(call)) + " reached '" + second + "' before '" + first +
               "' had answered its own.";
      }
    }
  }
  return {};
}

}  // namespace handover::test
