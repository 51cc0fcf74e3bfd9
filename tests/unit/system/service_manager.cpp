// SPDX-License-Identifier: LGPL-2.1-or-later
#include "service_manager.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <stdexcept>

namespace handover::system::test {

ServiceManager::ServiceManager() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  const std::string path = directory_.path("notify");
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::bind(socket_.get(), reinterpret_cast<struct sockaddr*>(&address), sizeof(address)) < 0) {
    throw std::runtime_error("the test cannot listen on " + path);
  }
  ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
}

ServiceManager::~ServiceManager() { ::unsetenv("NOTIFY_SOCKET"); }

ServiceManager::Notification ServiceManager::receive() {
  Notification notification;
  char text[4096];
  alignas(struct cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))];
  struct iovec vector = {text, sizeof(text)};
  struct msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t length = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) return notification;
  notification.text.assign(text, static_cast<std::size_t>(length));
  for (struct cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t index = 0; index < count; ++index) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + index * sizeof(int), sizeof(fd));
      notification.fds.emplace_back(fd);
    }
  }
  return notification;
}

}  // namespace handover::system::test
