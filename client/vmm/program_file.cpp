// SPDX-License-Identifier: LGPL-2.1-or-later
#include "program_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <utility>

#include "common/file.h"
#include "common/loop.h"

namespace handover::vmm {
namespace {

// Above those that a QEMU is started with.
constexpr int first_kept_number = 16;
/// So long has a child to open a file.
constexpr std::uint64_t open_usec = 10'000'000;

/// One message of one byte, with room for a descriptor.
struct Letter {
  char byte = 0;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header = {};
  Letter() {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
  }
  Letter(const Letter&) = delete;
  Letter& operator=(const Letter&) = delete;
};

bool send_descriptor(int socket, int descriptor) {
  Letter letter;
  cmsghdr* const part = CMSG_FIRSTHDR(&letter.header);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(descriptor));
  memcpy(CMSG_DATA(part), &descriptor, sizeof(descriptor));
  return sendmsg(socket, &letter.header, MSG_NOSIGNAL) == 1;
}

client::Fd receive_descriptor(int socket) {
  Letter letter;
  ssize_t n = 0;
  do {
    n = recvmsg(socket, &letter.header, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  const cmsghdr* const part = n == 1 ? CMSG_FIRSTHDR(&letter.header) : nullptr;
  int descriptor = -1;
  if (part && part->cmsg_type == SCM_RIGHTS) {
    memcpy(&descriptor, CMSG_DATA(part), sizeof(descriptor));
  }
  return client::Fd(descriptor);
}

/// Has it something to read, or an end, by then?
bool readable_by(int socket, std::uint64_t deadline_usec) {
  for (;;) {
    const auto now = common::now_usec();
    pollfd wanted = {socket, POLLIN, 0};
    const auto left = now < deadline_usec ? (deadline_usec - now + 999) / 1000 : 0;
    const int n = poll(&wanted, 1, static_cast<int>(left));
    if (n >= 0 || errno != EINTR) return n > 0;
  }
}

/// In a child that becomes the user: none, with errno set, if it may not either.
client::Fd open_as(const common::Identity& user, const std::string& path) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return client::Fd(-1);
  const client::Fd reader(ends[0]);
  client::Fd writer(ends[1]);
  const pid_t child = fork();
  if (child < 0) return client::Fd(-1);
  if (child == 0) {
    if (!common::become(user)) _exit(errno);
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) _exit(errno);
    _exit(send_descriptor(writer.get(), file) ? 0 : errno);
  }
  writer.reset();
  // Its user may stop it. It has closed its end when it can be stopped no more.
  const auto deadline = common::now_usec() + open_usec;
  client::Fd file;
  bool in_time = readable_by(reader.get(), deadline);
  if (in_time) file = receive_descriptor(reader.get());
  if (file) in_time = readable_by(reader.get(), deadline);
  // Without CAP_KILL it is left to end when it may.
  const bool will_end = in_time || kill(child, SIGKILL) == 0;
  int status = 0;
  while (waitpid(child, &status, will_end ? 0 : WNOHANG) < 0 && errno == EINTR) {
  }
  errno = WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EIO;
  if (!in_time) errno = ETIMEDOUT;
  return file;
}

}  // namespace

client::Result<client::Fd> program_of(pid_t process, const common::Identity* user) {
  const std::string path = "/proc/" + std::to_string(process) + "/exe";
  client::Fd low(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!low && (errno == EACCES || errno == EPERM) && user) low = open_as(*user, path);
  if (!low) return common::errno_error("Cannot open " + path);
  client::Fd kept(fcntl(low.get(), F_DUPFD_CLOEXEC, first_kept_number));
  if (!kept) return common::errno_error("Cannot duplicate a descriptor");
  return kept;
}

client::Fd program_at_start(pid_t process, const std::string& path) {
  auto program = program_of(process, nullptr);
  struct stat runs = {};
  struct stat named = {};
  if (!program || fstat(program->get(), &runs) < 0 || stat(path.c_str(), &named) < 0 ||
      runs.st_dev != named.st_dev || runs.st_ino != named.st_ino) {
    return client::Fd(-1);
  }
  return std::move(*program);
}

std::string path_of(const client::Fd& program) {
  return "/proc/self/fd/" + std::to_string(program.get());
}

}  // namespace handover::vmm
