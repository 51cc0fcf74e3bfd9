// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/mountinfo.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>

namespace handover {

namespace {

std::string_view next_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

/// "\040" stands for a blank, and so on (proc(5), /proc/PID/mounts).
std::string without_escapes(std::string_view word) {
  std::string text;
  while (!word.empty()) {
    unsigned code = 0;
    if (word[0] == '\\' && word.size() >= 4 &&
        std::from_chars(word.data() + 1, word.data() + 4, code, 8).ptr == word.data() + 4) {
      text += static_cast<char>(code);
      word.remove_prefix(4);
    } else {
      text += word[0];
      word.remove_prefix(1);
    }
  }
  return text;
}

std::optional<Mount> parse_mount(std::string_view line) {
  Mount mount;
  mount.id = next_word(line);
  mount.parent = next_word(line);
  mount.device = next_word(line);
  next_word(line);  // the root within the file system
  mount.point = without_escapes(next_word(line));
  while (!line.empty() && next_word(line) != "-") {
  }
  mount.type = next_word(line);
  mount.source = without_escapes(next_word(line));
  const std::string_view options = next_word(line);
  mount.read_only = options == "ro" || options.starts_with("ro,");
  if (options.empty()) return std::nullopt;
  return mount;
}

}  // namespace

std::vector<Mount> parse_mountinfo(std::string_view text) {
  std::vector<Mount> mounts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (auto mount = parse_mount(text.substr(0, end))) mounts.push_back(std::move(*mount));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return mounts;
}

}  // namespace handover
