// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/small_files.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <sstream>

#include "system/files.h"
#include "system/regular_file.h"

namespace handover::system {

namespace {

constexpr std::uint64_t most_bytes = UINT64_C(1) << 20;
constexpr std::size_t most_names = 65'536;

}  // namespace

std::string text_in(const std::string& path) {
  const auto fd = open_regular(path);
  if (!fd) return {};
  auto text = read_fd(fd->get(), most_bytes).value_or("");
  const auto last = text.find_last_not_of(" \t\n");
  text.erase(last == std::string::npos ? 0 : last + 1);
  return text;
}

std::vector<std::string> names_in_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(path, error);
  for (const std::filesystem::directory_iterator end;
       !error && entry != end && names.size() < most_names; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string target_of_link(const std::string& path) {
  std::error_code error;
  return std::filesystem::read_symlink(path, error).string();
}

}  // namespace handover::system
