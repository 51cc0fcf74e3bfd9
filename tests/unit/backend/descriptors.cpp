// SPDX-License-Identifier: LGPL-2.1-or-later
#include "descriptors.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

namespace handover::backend::test {
namespace {

UniqueFd checked(int fd, const char* what) {
  if (fd < 0) throw std::runtime_error(std::string("the test cannot make ") + what);
  return UniqueFd(fd);
}

}  // namespace

UniqueFd memfd(std::string_view contents) {
  UniqueFd fd = checked(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), "a memfd");
  if (::write(fd.get(), contents.data(), contents.size()) !=
      static_cast<ssize_t>(contents.size())) {
    throw std::runtime_error("the test cannot write to a memfd");
  }
  return fd;
}

UniqueFd pipe_end() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) < 0) throw std::runtime_error("the test cannot make a pipe");
  const UniqueFd other(ends[1]);
  return UniqueFd(ends[0]);
}

UniqueFd socket_end() {
  return checked(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "a socket");
}

UniqueFd regular_file() {
  return checked(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "a regular file");
}

UniqueFd directory() {
  return checked(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "a directory");
}

UniqueFd character_device() {
  return checked(::open("/dev/null", O_RDWR | O_CLOEXEC), "a character device");
}

UniqueFd event_counter() { return checked(::eventfd(0, EFD_CLOEXEC), "an eventfd"); }

UniqueFd named_tmpfs_file() {
  std::string path = "/dev/shm/handover-test.XXXXXX";
  UniqueFd fd = checked(::mkostemp(path.data(), O_CLOEXEC), "a file in /dev/shm");
  struct Remover {
    std::string path;
    ~Remover() { ::unlink(path.c_str()); }
  };
  static Remover remover;
  if (!remover.path.empty()) ::unlink(remover.path.c_str());
  remover.path = path;
  return fd;
}

UniqueFd hugetlb_memfd() { return UniqueFd(::memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB)); }

std::string contents(int fd) {
  std::string text;
  char chunk[4096];
  for (;;) {
    const ssize_t got = ::pread(fd, chunk, sizeof(chunk), static_cast<off_t>(text.size()));
    if (got <= 0) return text;
    text.append(chunk, static_cast<std::size_t>(got));
  }
}

bool same_file(int a, int b) {
  struct stat status_a = {};
  struct stat status_b = {};
  return ::fstat(a, &status_a) == 0 && ::fstat(b, &status_b) == 0 &&
         status_a.st_dev == status_b.st_dev && status_a.st_ino == status_b.st_ino;
}

bool close_on_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

}  // namespace handover::backend::test
