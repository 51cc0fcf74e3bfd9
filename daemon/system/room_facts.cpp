// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/room_facts.h"

#include <sys/statvfs.h>

#include <charconv>
#include <string_view>

#include "system/small_files.h"

namespace handover::system {

namespace {

std::optional<std::uint64_t> number_from(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// One line an area (kernel/liveupdate/kexec_handover_debugfs.c).
std::vector<std::uint64_t> scratch_areas(const std::string& root) {
  std::vector<std::uint64_t> areas;
  for (const auto& word : words_of(text_in(root + "/sys/kernel/debug/kho/out/scratch_len"))) {
    const auto bytes = number_from(word);
    if (!bytes) return {};
    areas.push_back(*bytes);
  }
  return areas;
}

std::optional<std::uint64_t> available_memory(const std::string& root) {
  for (const auto& line : lines_of(text_in(root + "/proc/meminfo"))) {
    const auto words = words_of(line);
    if (words.size() < 2 || words[0] != "MemAvailable:") continue;
    const auto kibibytes = number_from(words[1]);
    if (kibibytes) return *kibibytes * 1024;
  }
  return std::nullopt;
}

/// What root may use, or what is full: quotas are not looked at.
std::optional<std::uint64_t> free_bytes(const std::string& directory) {
  struct statvfs status = {};
  if (::statvfs(directory.c_str(), &status) < 0 || status.f_blocks == 0) return std::nullopt;
  return std::uint64_t{status.f_bfree} * status.f_frsize;
}

}  // namespace

RoomFacts room_facts(const std::string& runtime_directory, const std::string& state_directory,
                     const std::string& root) {
  RoomFacts facts;
  facts.scratch_bytes = scratch_areas(root);
  facts.available_memory = available_memory(root);
  facts.runtime_directory = free_bytes(root + runtime_directory);
  facts.state_directory = free_bytes(root + state_directory);
  return facts;
}

}  // namespace handover::system
