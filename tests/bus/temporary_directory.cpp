// SPDX-License-Identifier: LGPL-2.1-or-later
#include "temporary_directory.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace handover::test {

TemporaryDirectory::TemporaryDirectory() {
  // Short: a socket's path has 107 bytes (unix(7)).
  std::string name = "/tmp/handover-bus-XXXXXX";
  if (mkdtemp(name.data()) == nullptr || chmod(name.c_str(), 0711) != 0) {
    throw std::system_error(errno, std::generic_category(), name);
  }
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // left-over files are no reason to end in a destructor
  std::filesystem::remove_all(path_, ignored);
}

void TemporaryDirectory::write(const std::string& name, const std::string& text) const {
  std::ofstream out(file(name));
  out << text;
  if (!out.flush()) throw std::runtime_error("cannot write " + file(name));
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace handover::test
