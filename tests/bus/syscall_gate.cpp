// SPDX-License-Identifier: LGPL-2.1-or-later
#include "syscall_gate.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <optional>

namespace handover::test {

namespace {

std::optional<SyscallGate::Stop> stop_of(int number) {
  switch (number) {
#ifdef SYS_rename
    case SYS_rename:
#endif
    case SYS_renameat:
    case SYS_renameat2:
      return SyscallGate::Stop::rename;
    case SYS_sendmsg:
    case SYS_sendto:
      return SyscallGate::Stop::send;
    case SYS_execve:
      return SyscallGate::Stop::execute;
    default:
      return std::nullopt;
  }
}

/// A datagram with a descriptor: D-Bus has streams.
bool stores_a_descriptor(const seccomp_notif& stopped, pid_t daemon) {
  if (stopped.data.nr != SYS_sendmsg) return false;
  msghdr header{};
  iovec ours{&header, sizeof header};
  iovec theirs{reinterpret_cast<void*>(stopped.data.args[1]), sizeof header};
  const auto thread = static_cast<pid_t>(stopped.pid);
  if (process_vm_readv(thread, &ours, 1, &theirs, 1, 0) != sizeof header) return false;
  if (header.msg_controllen == 0) return false;
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, daemon, 0)));
  const UniqueFd socket(
      static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), stopped.data.args[0], 0)));
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

constexpr sock_filter statement(std::uint16_t code, std::uint32_t k) { return {code, 0, 0, k}; }

/// "Number → notify", for a program in which `left` of these follow.
constexpr sock_filter notify_for(std::uint32_t number, std::uint8_t left) {
  return {BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint8_t>(left + 1), 0, number};
}

}  // namespace

SyscallGate::SyscallGate(EventLoop& loop, ServiceManager& manager)
    : loop_(loop), manager_(manager) {
  int pair[2] = {-1, -1};
  must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0, "socketpair");
  ours_.reset(pair[0]);
  theirs_.reset(pair[1]);
  manager_.before_exec([this] { install(); });
  manager_.after_fork([this] { accept(); });
}

void SyscallGate::install() const {
  // Other system calls pass; this file and the daemon are of the same architecture.
  const std::array program = {
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
#ifdef SYS_rename
      notify_for(SYS_rename, 5),
#else
      notify_for(SYS_renameat, 5),
#endif
      notify_for(SYS_renameat, 4),
      notify_for(SYS_renameat2, 3),
      notify_for(SYS_sendmsg, 2),
      notify_for(SYS_sendto, 1),
      notify_for(SYS_execve, 0),
      statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      statement(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
  };
  sock_fprog filter{};
  filter.len = program.size();
  filter.filter = const_cast<sock_filter*>(program.data());
  const bool allowed = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  const long listener = allowed ? syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                          SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter)
                                : -1;
  // Out of the way of what is passed to the daemon from 3 on. And only its number is told: sending
  // the descriptor itself would be held at the gate that it belongs to.
  constexpr int out_of_the_way = 500;
  const int number = fcntl(static_cast<int>(listener), F_DUPFD_CLOEXEC, out_of_the_way);
  if (write(theirs_.get(), &number, sizeof number) != sizeof number || number < 0) _exit(124);
}

void SyscallGate::accept() {
  source_.reset();
  int number = -1;
  must(read(ours_.get(), &number, sizeof number) == sizeof number ? 0 : -EPIPE, "the gate");
  must(number < 0 ? -EPERM : 0, "the gate: seccomp user notification is refused here");
  // The child waits in its execve(), which closes the listener on its side, for our answer.
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, manager_.pid(), 0)));
  listener_.reset(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
  must(listener_ ? 0 : -errno, "the gate's descriptor");
  source_ = loop_.readable(listener_.get(), [this] { on_stop(); });
}

void SyscallGate::on_stop() {
  seccomp_notif stopped{};
  if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &stopped) < 0) {
    // ENOENT: it died meanwhile. A listener nobody can use any more stays readable (EPOLLHUP).
    if (errno == ENOENT) source_.reset();
    return;
  }
  const auto stop = stop_of(stopped.data.nr);
  if (stop && decide_ && !decide_(*stop)) {
    manager_.kill_daemon();
    return;
  }
  if (store_takes_.count() > 0 && stores_a_descriptor(stopped, manager_.pid())) {
    slow_.push_back(loop_.after(store_takes_, [this, id = stopped.id] { let_go(id); }));
    return;
  }
  let_go(stopped.id);
}

void SyscallGate::let_go(std::uint64_t id) {
  seccomp_notif_resp response{};
  response.id = id;
  response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT) {
    must(-errno, "letting a system call go on");
  }
}

}  // namespace handover::test
