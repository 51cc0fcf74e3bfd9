// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/json_lines.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/field_reader.h"

namespace handover {

namespace {

/// An object or array that is open where the scan stands.
struct Open {
  bool object;
  std::string pointer;
  std::string value_pointer;  ///< of the value that comes next
  bool key_next;
  std::size_t index;
};

/// The length of the string that begins at `start`, both quotes included.
std::size_t string_length(std::string_view text, std::size_t start) {
  std::size_t i = start + 1;
  while (i < text.size() && text[i] != '"') i += text[i] == '\\' ? 2 : 1;
  return std::min(i + 1, text.size()) - start;
}

}  // namespace

JsonLines::JsonLines(std::string_view text) {
  std::vector<Open> open;
  const auto value_pointer = [&open] {
    return open.empty() ? std::string() : open.back().value_pointer;
  };
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '\n':
        ++line;
        break;
      case '{':
        open.push_back({true, value_pointer(), "", true, 0});
        break;
      case '[': {
        const std::string pointer = value_pointer();
        open.push_back({false, pointer, child_pointer(pointer, std::size_t{0}), false, 0});
        break;
      }
      case '}':
      case ']':
        if (!open.empty()) open.pop_back();
        break;
      case ',':
        if (open.empty()) break;
        open.back().key_next = open.back().object;
        if (!open.back().object) {
          open.back().value_pointer = child_pointer(open.back().pointer, ++open.back().index);
        }
        break;
      case '"': {
        const std::size_t length = string_length(text, i);
        if (!open.empty() && open.back().key_next) {
          const auto key = nlohmann::json::parse(text.substr(i, length), nullptr, false);
          if (key.is_string()) {
            Open& here = open.back();
            here.key_next = false;
            here.value_pointer = child_pointer(here.pointer, key.get_ref<const std::string&>());
            const bool is_new = lines_.emplace(here.value_pointer, line).second;
            if (!is_new && !repeated_) repeated_ = here.value_pointer;
          }
        }
        i += length - 1;
        break;
      }
      default:
        break;
    }
  }
}

std::optional<std::size_t> JsonLines::line_of(std::string_view pointer) const {
  while (!pointer.empty()) {
    if (const auto found = lines_.find(pointer); found != lines_.end()) return found->second;
    pointer = pointer.substr(0, pointer.rfind('/'));
  }
  return std::nullopt;
}

}  // namespace handover
