// SPDX-License-Identifier: LGPL-2.1-or-later
#include "temporary_directory.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace handover::test {

TemporaryDirectory::TemporaryDirectory() {
  // Not below TMPDIR: a socket's path has 107 bytes (unix(7)).
  std::string name = "/tmp/handover-test-XXXXXX";
  if (mkdtemp(name.data()) == nullptr || chmod(name.c_str(), 0711) != 0) {
    throw std::system_error(errno, std::generic_category(), name);
  }
  root_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // left-over files are no reason to end in a destructor
  std::filesystem::remove_all(root_, ignored);
}

std::string TemporaryDirectory::path(std::string_view below) const {
  return below.empty() ? root_.string() : (root_ / below).string();
}

std::string TemporaryDirectory::write(std::string_view below, std::string_view text) const {
  const std::filesystem::path file = root_ / below;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
  return file.string();
}

void TemporaryDirectory::link(std::string_view below, std::string_view target) const {
  std::filesystem::create_directories((root_ / below).parent_path());
  std::filesystem::create_symlink(target, root_ / below);
}

std::size_t TemporaryDirectory::entries() const {
  const std::filesystem::directory_iterator all(root_);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace handover::test
