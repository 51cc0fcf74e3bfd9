// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/abi_scan.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/ascii.h"

namespace handover::system {
namespace {

constexpr std::array<std::string_view, 3> prefixes = {"kho-v", "luo-v", "memfd-v"};
constexpr std::string_view banner_start = "Linux version ";
/// Longer than anything looked for, with the byte before it: a banner has a release and a version
/// of at most 64 bytes each (__NEW_UTS_LEN, include/uapi/linux/utsname.h), who built it, and with
/// which compiler and linker.
constexpr std::size_t longest = 1024;
constexpr std::size_t longest_release = 64;

bool is_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

}  // namespace

void AbiScan::feed(std::string_view bytes) {
  // First the end of the last piece together with the beginning of this one, then this piece as it
  // is: so it is not copied. What begins in the kept end is at most `longest` bytes long, and all
  // of it is in that first window.
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
  look_for_banner(window);
}

void AbiScan::look_for_banner(std::string_view window) {
  if (!banner_.empty()) return;
  for (std::size_t at = window.find(banner_start); at != std::string_view::npos;
       at = window.find(banner_start, at + 1)) {
    const std::size_t start = at + banner_start.size();
    const std::size_t end = window.find(' ', start);
    // Other texts that begin so go on with a letter or a format.
    if (start >= window.size() || !is_digit(window[start]) || end == std::string_view::npos ||
        end - start > longest_release) {
      continue;
    }
    release_ = window.substr(start, end - start);
    // It may be cut here: the window over the border has all of it.
    const std::size_t newline = window.find('\n', end);
    if (newline == std::string_view::npos || newline - at >= longest) return;
    const std::string_view banner = window.substr(at, newline - at);
    // init/version.c has one without the build's number, for the first pass of the link; that of
    // init/version-timestamp.c is what runs.
    const std::size_t number = banner.find(" #");
    if (number == std::string_view::npos || number + 2 >= banner.size() ||
        !is_digit(banner[number + 2])) {
      continue;
    }
    banner_ = banner;
    return;
  }
}

}  // namespace handover::system
