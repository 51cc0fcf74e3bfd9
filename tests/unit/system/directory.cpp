// SPDX-License-Identifier: LGPL-2.1-or-later
#include "directory.h"

#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <stdexcept>

namespace handover::system::test {

Directory::Directory() {
  std::string path = (std::filesystem::temp_directory_path() / "handover-test.XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) {
    throw std::runtime_error("the test cannot make a directory");
  }
  root_ = path;
}

Directory::~Directory() {
  std::error_code ignored;  // a leftover in the temporary directory harms nobody
  std::filesystem::remove_all(root_, ignored);
}

std::string Directory::path(std::string_view below) const {
  return below.empty() ? root_.string() : (root_ / below).string();
}

std::string Directory::write(std::string_view below, std::string_view text) const {
  const std::filesystem::path file = root_ / below;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.flush()) throw std::runtime_error("the test cannot write " + file.string());
  return file.string();
}

void Directory::link(std::string_view below, std::string_view target) const {
  std::filesystem::create_symlink(target, root_ / below);
}

std::size_t Directory::entries() const {
  const std::filesystem::directory_iterator all(root_);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace handover::system::test
