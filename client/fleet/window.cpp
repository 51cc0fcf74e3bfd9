// SPDX-License-Identifier: LGPL-2.1-or-later
#include "window.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>

#include "pause.h"

namespace handover::fleet {
namespace {

struct Span {
  std::uint64_t begin, end;
};

std::optional<std::uint64_t> parse_time(const std::string& text, const char* format) {
  std::tm parts = {};
  const char* end = strptime(text.c_str(), format, &parts);
  if (end == nullptr || *end != '\0') return {};
  const auto seconds = timegm(&parts);
  if (seconds < 0) return {};
  return static_cast<std::uint64_t>(seconds) * usec_per_second;
}

}  // namespace

WindowState look_at_windows(const std::vector<Elapses>& windows, std::uint64_t now) {
  WindowState state;
  state.limited = !windows.empty();
  std::vector<Span> spans;
  for (const auto& window : windows) {
    for (const auto at : window.at) spans.push_back({at, at + window.length_usec});
  }
  std::sort(spans.begin(), spans.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  for (const auto& span : spans) {
    const bool goes_on = state.closes ? span.begin <= *state.closes : span.begin <= now;
    if (goes_on && span.end > now) {
      state.closes = std::max(state.closes.value_or(0), span.end);
    } else if (span.begin > now) {
      state.opens = span.begin;
      break;
    }
  }
  return state;
}

std::string window_veto(const WindowState& state, std::uint64_t now, bool must_end_within,
                        std::uint64_t expected_usec) {
  const std::string next = state.opens ? "the next one opens at " + utc(*state.opens)
                                       : std::string("none opens any more");
  if (!state.open()) return "No maintenance window is open; " + next + ".";
  if (!state.limited || !must_end_within || now + expected_usec <= *state.closes) return "";
  return "The maintenance window closes at " + utc(*state.closes) + ", and an update takes " +
         std::to_string(expected_usec / usec_per_second) + " s; " + next + ".";
}

std::string freeze_veto(const std::optional<WindowState>& state, const std::string& failure,
                        std::uint64_t now, bool must_end_within, std::uint64_t expected_usec) {
  if (!state) {
    const std::string why = failure.empty() ? "nobody has looked at them yet" : failure;
    return "The maintenance windows cannot be told: " + why + ".";
  }
  if (!state->open_at(now)) return "The maintenance window has closed.";
  return window_veto(*state, now, must_end_within, expected_usec);
}

client::Result<std::vector<std::uint64_t>> parse_elapses(std::string_view output) {
  std::vector<std::string> said;
  while (!output.empty()) {
    const auto line = output.substr(0, output.find('\n'));
    output.remove_prefix(std::min(line.size() + 1, output.size()));
    const auto colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    const auto title = line.substr(0, colon);
    const std::string text(line.substr(colon + 2));
    if (title.ends_with("Next elapse") || title.find("Iter") != std::string_view::npos) {
      if (text != "never") said.push_back(text);
    } else if (title.ends_with("(in UTC)") && !said.empty()) {
      said.back() = text;
    }
  }
  std::vector<std::uint64_t> at;
  for (const auto& text : said) {
    // Without a line in UTC the host's zone is UTC, by whatever name ("GMT").
    const auto usec = parse_time(text.substr(0, text.rfind(' ')), "%a %Y-%m-%d %H:%M:%S");
    if (!usec) {
      return client::Error{"", "systemd-analyze says '" + text + "' where a time should be.",
                           EBADMSG};
    }
    at.push_back(*usec);
  }
  return at;
}

std::string utc(std::uint64_t usec) {
  const auto seconds = static_cast<std::time_t>(usec / usec_per_second);
  std::tm parts = {};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text = {};
  const auto length = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

std::optional<std::uint64_t> parse_utc(std::string_view text) {
  return parse_time(std::string(text), "%Y-%m-%dT%H:%M:%SZ");
}

std::optional<std::uint64_t> duration_of_last(const std::string& history) {
  const auto records = nlohmann::json::parse(history, nullptr, false);
  if (!records.is_array()) return {};
  for (const auto& record : records) {
    if (!record.is_object()) continue;
    const auto outcome = record.find("outcome");
    if (outcome == record.end() || (*outcome != "done" && *outcome != "done-with-losses")) continue;
    const auto parts = record.find("phases");
    if (parts == record.end() || !parts->is_array()) continue;
    std::uint64_t sum = 0;
    for (const auto& phase : *parts) {
      const auto usec = phase.find("usec");
      // Between a plain prepare and its update anybody may have slept over it.
      const bool waiting = phase.contains("name") && phase["name"] == "wait";
      if (usec != phase.end() && usec->is_number_unsigned() && !waiting) {
        sum += usec->get<std::uint64_t>();
      }
    }
    if (sum > 0) return sum;
  }
  return {};
}

}  // namespace handover::fleet
