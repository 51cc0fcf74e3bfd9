// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/notify_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace handover::test {

namespace {

constexpr std::size_t most_fds = 16;
constexpr std::size_t most_bytes = 8192;

}  // namespace

NotifySocket::NotifySocket(const std::string& path)
    : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (!socket_ ||
      ::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    throw std::system_error(errno, std::generic_category(), path);
  }
}

std::optional<NotifySocket::Notification> NotifySocket::receive() {
  Notification notification;
  notification.text.resize(most_bytes);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * most_fds)] = {};
  iovec part{notification.text.data(), notification.text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const auto got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  if (got < 0) return std::nullopt;
  notification.text.resize(static_cast<std::size_t>(got));
  for (auto* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      notification.fds.emplace_back(fd);
    }
  }
  return notification;
}

}  // namespace handover::test
