// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/deny_list.h"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace handover {

namespace {

constexpr std::size_t longest_pattern = 1024;
/// A pattern of many stars takes fnmatch(3) for ever.
constexpr std::ptrdiff_t most_stars = 16;
constexpr std::string_view reason_property = "REASON=";

std::string_view without_line_end(std::string_view line) {
  const auto last = line.find_last_not_of(" \t\r");
  return last == std::string_view::npos ? std::string_view{} : line.substr(0, last + 1);
}

class Parser {
 public:
  void take(std::string_view line) {
    ++line_;
    line = without_line_end(line);
    if (line.empty()) return end_record();
    const auto begin = line.find_first_not_of(" \t");
    if (line[begin] == '#') return;
    if (begin == 0) {
      pattern(line);
    } else {
      property(line.substr(begin));
    }
  }

  DenyList finish() {
    end_record();
    return std::move(list_);
  }

 private:
  void problem(std::string what) { list_.problems.push_back({line_, std::move(what)}); }

  void pattern(std::string_view line) {
    // Properties end the patterns: what follows is another record.
    if (!record_.reason.empty()) end_record();
    const bool bad = line.size() > longest_pattern ||
                     std::count(line.begin(), line.end(), '*') > most_stars ||
                     line.find('\0') != std::string_view::npos;
    if (bad) return problem("a pattern is too long, or has too many stars");
    if (line.find(':') == std::string_view::npos) {
      return problem(in_quotes(line) + " is no pattern: it has no \":\", as in dmi:*:svnAcme*");
    }
    if (record_.patterns.empty()) record_.line = line_;
    record_.patterns.emplace_back(line);
  }

  void property(std::string_view line) {
    if (line.find('=') == std::string_view::npos) {
      return problem(in_quotes(line) + " is no property (NAME=VALUE)");
    }
    if (!line.starts_with(reason_property)) {
      return problem("property " + in_quotes(line.substr(0, line.find('='))) + " is not known");
    }
    if (record_.patterns.empty()) return problem("a property has no pattern above it");
    line.remove_prefix(reason_property.size());
    if (line.empty()) return problem("REASON= says nothing");
    record_.reason = printable(line);
  }

  void end_record() {
    if (!record_.patterns.empty()) {
      if (record_.reason.empty()) record_.reason = "no reason is given";
      list_.records.push_back(std::move(record_));
    }
    record_ = {};
  }

  DenyList list_;
  DenyRecord record_;
  std::size_t line_ = 0;
};

}  // namespace

DenyList parse_deny_list(std::string_view text) {
  Parser parser;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    parser.take(line);
  }
  return parser.finish();
}

const DenyRecord* find_denied(const DenyList& list, const std::string& host) {
  for (const auto& record : list.records) {
    const auto fits = [&host](const std::string& pattern) {
      return ::fnmatch(pattern.c_str(), host.c_str(), FNM_NOESCAPE) == 0;
    };
    if (std::any_of(record.patterns.begin(), record.patterns.end(), fits)) return &record;
  }
  return nullptr;
}

}  // namespace handover
