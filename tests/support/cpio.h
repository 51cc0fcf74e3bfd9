// SPDX-License-Identifier: LGPL-2.1-or-later
// cpio archives ("newc") for tests of what reads them.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace handover::test {

inline std::string cpio_entry(const std::string& name, const std::string& contents = "") {
  std::string entry = "070701";
  const auto field = [&entry](std::size_t value) {
    char text[9];
    std::snprintf(text, sizeof(text), "%08zX", value);
    entry += text;
  };
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
  // namesize, check
  for (const std::size_t value :
       {std::size_t{1}, std::size_t{0100644}, std::size_t{0}, std::size_t{0}, std::size_t{1},
        std::size_t{0}, contents.size(), std::size_t{0}, std::size_t{0}, std::size_t{0},
        std::size_t{0}, name.size() + 1, std::size_t{0}}) {
    field(value);
  }
  entry += name + '\0';
  entry.resize((entry.size() + 3) / 4 * 4);
  entry += contents;
  entry.resize((entry.size() + 3) / 4 * 4);
  return entry;
}

/// Files by name and contents, and the trailer.
inline std::string cpio(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string archive;
  for (const auto& [name, contents] : files) archive += cpio_entry(name, contents);
  return archive + cpio_entry("TRAILER!!!");
}

}  // namespace handover::test
