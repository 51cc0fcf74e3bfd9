// SPDX-License-Identifier: LGPL-2.1-or-later
// A program that runs itself again, as the daemon does on the emulated backend. Exit 0: all came
// through. Started by system_reexec_test; the first argument is the stage.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "system/files.h"
#include "system/notify.h"

namespace handover::system {
namespace {

constexpr int count = 40;

int failed(const std::string& what) {
  std::fprintf(stderr, "reexec_probe: %s\n", what.c_str());
  return 1;
}

/// Many descriptors, some of which stand on the very numbers that the others must move to.
std::vector<NamedFd> descriptors() {
  std::vector<NamedFd> fds;
  for (int index = 0; index < count; ++index) {
    const std::string text = "contents of " + std::to_string(index);
    auto fd = memfd_with("probe", text);
    if (fd) fds.push_back(NamedFd{"part-" + std::to_string(index), std::move(*fd)});
  }
  // In reverse: every one has to move.
  return {std::make_move_iterator(fds.rbegin()), std::make_move_iterator(fds.rend())};
}

/// Below the highest number that this program uses.
int open_descriptors() {
  int open = 0;
  for (int fd = 0; fd < 4 * count; ++fd) open += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
  return open;
}

int first_stage(const char* program) {
  ::setenv("LISTEN_FDS", "7", 1);  // stale notes must not survive
  ::setenv("LISTEN_PIDFDID", "999", 1);
  ::setenv("REPLACED", "old", 1);
  ::setenv("KEPT", "kept", 1);
  const Error error =
      reexec({program, "second", std::to_string(::getpid())}, descriptors(), {"REPLACED=new"});
  return failed(error.message);
}

std::string_view variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

int second_stage(const std::string& pid) {
  if (pid != std::to_string(::getpid())) return failed("another process");
  if (variable("REPLACED") != "new" || variable("KEPT") != "kept") return failed("environment");
  if (::getenv("LISTEN_PIDFDID") != nullptr) return failed("LISTEN_PIDFDID is still there");
  const auto fds = take_listen_fds();
  if (fds.size() != count) return failed("got " + std::to_string(fds.size()) + " descriptors");
  for (const NamedFd& named : fds) {
    const auto text = read_fd(named.fd.get(), 100);
    if (!text || "part-" + text->substr(text->rfind(' ') + 1) != named.name) {
      return failed(named.name + " is " + text.value_or("unreadable"));
    }
    if ((::fcntl(named.fd.get(), F_GETFD) & FD_CLOEXEC) == 0) return failed("no FD_CLOEXEC");
  }
  if (::fcntl(3 + count, F_GETFD) >= 0) return failed("a descriptor leaked");
  if (::getenv("LISTEN_FDS") != nullptr) return failed("LISTEN_FDS is still there");
  return 0;
}

/// reexec() fails: no descriptor may have moved.
int failing_stage(const char* program) {
  std::vector<NamedFd> fds = descriptors();
  std::vector<std::string> before;
  before.reserve(fds.size());
  for (const NamedFd& named : fds) before.push_back(read_fd(named.fd.get(), 100).value());
  const int open_before = open_descriptors();
  // E2BIG: the arguments are larger than execve() takes.
  const Error error = reexec({program, "second", std::string(std::size_t{8} << 20, 'x')}, fds, {});
  if (error.sys_errno != E2BIG) return failed("unexpected: " + error.message);
  for (std::size_t index = 0; index < fds.size(); ++index) {
    if (read_fd(fds[index].fd.get(), 100).value_or("") != before[index]) return failed("moved");
    if ((::fcntl(fds[index].fd.get(), F_GETFD) & FD_CLOEXEC) == 0) return failed("FD_CLOEXEC lost");
  }
  if (open_descriptors() != open_before) return failed("a descriptor leaked");
  return 0;
}

}  // namespace
}  // namespace handover::system

int main(int argc, char** argv) {
  const std::string_view stage = argc > 1 ? argv[1] : "";
  if (stage == "first") return handover::system::first_stage(argv[0]);
  if (stage == "second" && argc > 2) return handover::system::second_stage(argv[2]);
  if (stage == "failing") return handover::system::failing_stage(argv[0]);
  std::fprintf(stderr, "usage: reexec_probe first|failing\n");
  return 2;
}
