// SPDX-License-Identifier: LGPL-2.1-or-later
#include "notify_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

#include "file.h"
#include "notification.h"

namespace handover::common {
namespace {

constexpr std::size_t longest_message = 4096;
constexpr std::size_t most_descriptors = 253;  // SCM_MAX_FD

/// Who sent it. Descriptors that came along are closed: with that sd_notify_barrier(3) has ended.
std::optional<ucred> take_ancillary(msghdr& message) {
  std::optional<ucred> sender;
  for (auto* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials = {};
      memcpy(&credentials, CMSG_DATA(part), sizeof(credentials));
      sender = credentials;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
        close(fd);
      }
    }
  }
  return sender;
}

}  // namespace

client::Result<void> NotifySocket::open(sd_event* event, uid_t user, std::function<void()> ready) {
  user_ = user;
  ready_ = std::move(ready);
  socket_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  // The kernel chooses a name that nobody has, in no file system: none may be there yet.
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  socklen_t size = sizeof(address);
  if (!socket_ || setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
      bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(sa_family_t)) < 0 ||
      getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) < 0) {
    return errno_error("Cannot make a socket for the command's READY=1");
  }
  address_ = "@" + std::string(address.sun_path + 1, size - offsetof(sockaddr_un, sun_path) - 1);
  sd_event_source* source = nullptr;
  const int r = sd_event_add_io(
      event, &source, socket_.get(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* userdata) {
        static_cast<NotifySocket*>(userdata)->receive();
        return 0;
      },
      this);
  if (r < 0) return errno_error("Cannot watch a socket", -r);
  source_.reset(source);
  // Before the end of a process that spoke last.
  sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT);
  return {};
}

void NotifySocket::receive() {
  std::array<char, longest_message> text = {};
  alignas(cmsghdr)
      std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * most_descriptors)>
          ancillary = {};
  iovec part = {text.data(), text.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  const ssize_t n = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
  if (n < 0) return;
  const auto sender = take_ancillary(message);
  if (!sender || (sender->uid != 0 && sender->uid != user_)) return;
  const auto said = parse_notification(std::string_view(text.data(), static_cast<std::size_t>(n)));
  if (!said.passed_on.empty()) sd_notify(0, said.passed_on.c_str());
  if (said.ready) ready_();
}

}  // namespace handover::common
