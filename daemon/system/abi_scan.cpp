// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/abi_scan.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace handover::system {
namespace {

constexpr std::array<std::string_view, 3> prefixes = {"kho-v", "luo-v", "memfd-v"};
constexpr std::string_view banner = "Linux version ";
/// Longer than anything looked for, with the byte before it: a release has at most 64 bytes
/// (__NEW_UTS_LEN, include/uapi/linux/utsname.h).
constexpr std::size_t longest = 128;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

}  // namespace

void AbiScan::feed(std::string_view bytes) {
  // The border first, then the piece itself where it lies: no large copy. The window over the
  // border holds twice `longest`, so whatever begins in the tail ends in it.
  if (!tail_.empty()) scan(tail_ + std::string(bytes.substr(0, longest)), !tail_is_cut_);
  scan(bytes, tail_.empty());
  tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), longest)));
  tail_is_cut_ = tail_is_cut_ || bytes.size() > longest || tail_.size() > longest;
  if (tail_.size() > longest) tail_.erase(0, tail_.size() - longest);
}

void AbiScan::scan(std::string_view window, bool from_start) {
  for (const std::string_view prefix : prefixes) {
    for (std::size_t at = window.find(prefix); at != std::string_view::npos;
         at = window.find(prefix, at + 1)) {
      std::size_t end = at + prefix.size();
      while (end < window.size() && is_digit(window[end])) ++end;
      const bool numbered = end > at + prefix.size() && end - at < longest;
      const bool ended = end < window.size() && window[end] == '\0';
      // What begins a later window was seen in the one before it, together with the byte before.
      const bool begins = at == 0 ? from_start : !is_word(window[at - 1]);
      if (numbered && ended && begins) abi_.emplace(window.substr(at, end - at));
    }
  }
  if (!release_.empty()) return;
  for (std::size_t at = window.find(banner); at != std::string_view::npos;
       at = window.find(banner, at + 1)) {
    const std::size_t start = at + banner.size();
    const std::size_t end = window.find(' ', start);
    // Other texts that begin so go on with a letter or a format.
    if (start < window.size() && is_digit(window[start]) && end != std::string_view::npos &&
        end - start < longest / 2 + 1) {
      release_ = window.substr(start, end - start);
      return;
    }
  }
}

}  // namespace handover::system
