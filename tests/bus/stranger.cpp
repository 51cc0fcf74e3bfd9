// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stranger.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "connection.h"
#include "event_loop.h"
#include "wire.h"

namespace handover::test {

Stranger::Stranger(const std::string& path)
    : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  must(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ? -errno
                                                                                         : 0,
       "connecting");
}

void Stranger::greet() {
  std::string hex;
  for (const auto digit : std::to_string(geteuid())) hex += std::string("3") + digit;
  ASSERT_TRUE(
      write(std::string(1, '\0') + "AUTH EXTERNAL " + hex + "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"));
}

bool Stranger::write(const std::string& bytes) {
  left_ += bytes;
  if (left_.empty()) return true;
  const auto sent = send(socket_.get(), left_.data(), left_.size(), MSG_NOSIGNAL);
  if (sent > 0) left_.erase(0, static_cast<std::size_t>(sent));
  return left_.empty();
}

std::string Stranger::read() {
  std::array<char, 65536> chunk{};
  const auto got = recv(socket_.get(), chunk.data(), chunk.size(), 0);
  return got > 0 ? std::string(chunk.data(), static_cast<std::size_t>(got)) : "";
}

std::string call_bytes(std::uint32_t serial, const std::string& member,
                       const std::string& signature, const std::string& body) {
  wire::Message message;
  message.serial = serial;
  message.path = manager_path;
  message.interface = manager_interface;
  message.member = member;
  message.signature = signature;
  message.body = body;
  return wire::to_bytes(message);
}

}  // namespace handover::test
