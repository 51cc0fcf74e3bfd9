// SPDX-License-Identifier: LGPL-2.1-or-later
#include "light_peer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

namespace handover::test {

namespace {

constexpr std::string_view bus_interface = "org.freedesktop.DBus";
constexpr const char* bus_path = "/org/freedesktop/DBus";
constexpr std::size_t most_fds = 253;  // SCM_MAX_FD, Linux

UniqueFd connected_to(const std::string& text) {
  constexpr std::string_view prefix = "unix:path=";
  must(text.starts_with(prefix) ? 0 : -EINVAL, "an address");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  text.copy(address.sun_path, sizeof address.sun_path - 1, prefix.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  must(fd ? 0 : -errno, "a socket");
  must(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ? -errno : 0,
       "connecting");
  return fd;
}

std::string in_hex(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char c : text) hex += {digits[c >> 4U], digits[c & 0xFU]};
  return hex;
}

}  // namespace

std::string LightPeer::Received::sentence() const {
  return message.signature.starts_with('s') ? std::string(wire::Reader(message.body).text()) : "";
}

LightPeer::LightPeer(EventLoop& loop, const Address& address, Handlers handlers)
    : address_(address), handlers_(std::move(handlers)), socket_(connected_to(address.text)) {
  source_ = loop.readable(socket_.get(), [this] { on_readable(); });
  // All in one, as sd-bus itself does; messages have to wait for the answer, which sd-bus as a
  // server would else not look at before more comes.
  write(std::string(1, '\0') + "AUTH EXTERNAL " + in_hex(std::to_string(geteuid())) +
            "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n",
        -1);
  if (!address_.direct) {
    call(bus_path, std::string(bus_interface), "Hello", "", "", [](Received&) {});
  }
}

LightPeer::~LightPeer() {
  if (destroyed_ != nullptr) *destroyed_ = true;
}

void LightPeer::call(const std::string& path, const std::string& interface,
                     const std::string& member, const std::string& signature,
                     const std::string& body, Answered answered, int fd) {
  wire::Message message;
  message.path = path;
  message.interface = interface;
  message.member = member;
  message.signature = signature;
  message.body = body;
  if (!address_.direct) message.destination = interface == bus_interface ? interface : bus_name;
  calls_.emplace(serial_ + 1, std::move(answered));
  send(std::move(message), fd);
}

void LightPeer::reply(const wire::Message& to, const std::string& signature,
                      const std::string& body, int fd) {
  wire::Message message;
  message.type = wire::Message::Type::method_return;
  message.reply_to = to.serial;
  message.destination = to.sender;
  message.signature = signature;
  message.body = body;
  send(std::move(message), fd);
}

void LightPeer::reply_error(const wire::Message& to, const std::string& name,
                            const std::string& sentence) {
  wire::Message message;
  message.type = wire::Message::Type::error;
  message.reply_to = to.serial;
  message.destination = to.sender;
  message.error = name;
  message.signature = "s";
  message.body = wire::Writer().text(sentence).bytes();
  send(std::move(message), -1);
}

void LightPeer::match(const std::string& rule) {
  call(bus_path, std::string(bus_interface), "AddMatch", "s", wire::Writer().text(rule).bytes(),
       [](Received&) {});
}

void LightPeer::send(wire::Message message, int fd) {
  message.serial = ++serial_;
  message.descriptors = fd >= 0 ? 1 : 0;
  auto bytes = wire::to_bytes(message);
  if (agreed_) return write(bytes, fd);
  waiting_.push_back({std::move(bytes), UniqueFd(fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3))});
}

void LightPeer::write(const std::string& bytes, int fd) {
  std::string_view left = bytes;
  while (!left.empty()) {
    iovec part{const_cast<char*>(left.data()), left.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
    if (fd >= 0) {
      header.msg_control = control.data();
      header.msg_controllen = control.size();
      auto* attached = CMSG_FIRSTHDR(&header);
      attached->cmsg_level = SOL_SOCKET;
      attached->cmsg_type = SCM_RIGHTS;
      attached->cmsg_len = CMSG_LEN(sizeof fd);
      std::memcpy(CMSG_DATA(attached), &fd, sizeof fd);
    }
    const auto sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return;  // it is gone: on_readable() finds out
    left.remove_prefix(static_cast<std::size_t>(sent));
    fd = -1;
  }
}

void LightPeer::on_readable() {
  constexpr std::size_t most = 65536;
  static std::array<char, most> chunk;
  iovec part{chunk.data(), chunk.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(most_fds * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const auto got = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    source_.reset();
    if (const auto lost = handlers_.lost) lost();
    return;
  }
  for (auto* attached = CMSG_FIRSTHDR(&header); attached != nullptr;
       attached = CMSG_NXTHDR(&header, attached)) {
    if (attached->cmsg_level != SOL_SOCKET || attached->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = CMSG_LEN(0); at < attached->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, reinterpret_cast<const char*>(attached) + at, sizeof fd);
      fds_.emplace_back(fd);
    }
  }
  input_.append(chunk.data(), static_cast<std::size_t>(got));
  if (!agreed_ && !take_greeting()) return;
  take_messages();
}

bool LightPeer::take_greeting() {
  constexpr std::string_view last = "AGREE_UNIX_FD\r\n";
  const auto at = input_.find(last);
  if (at == std::string::npos) return false;
  input_.erase(0, at + last.size());
  agreed_ = true;
  for (const auto& [bytes, fd] : std::exchange(waiting_, {})) write(bytes, fd.get());
  return true;
}

void LightPeer::take_messages() {
  bool destroyed = false;
  destroyed_ = &destroyed;
  std::size_t begin = 0;
  for (;;) {
    const auto rest = std::string_view(input_).substr(begin);
    const auto size = wire::size_of(rest);
    if (!size || rest.size() < *size) break;
    begin += *size;
    constexpr auto signal = static_cast<char>(wire::Message::Type::signal);
    if (rest[1] == signal && !handlers_.signalled) continue;  // there can be very many
    Received received{wire::from_bytes(rest.substr(0, *size)), {}};
    for (auto left = received.message.descriptors; left > 0 && !fds_.empty(); --left) {
      received.fds.push_back(std::move(fds_.front()));
      fds_.pop_front();
    }
    dispatch(received);
    if (destroyed) return;
  }
  destroyed_ = nullptr;
  input_.erase(0, begin);
}

void LightPeer::dispatch(Received& received) {
  using Type = wire::Message::Type;
  // Copies: the handler may destroy this peer, and them with it.
  switch (received.message.type) {
    case Type::method_call:
      if (const auto called = handlers_.called) called(received);
      return;
    case Type::signal:
      if (const auto signalled = handlers_.signalled) signalled(received);
      return;
    case Type::method_return:
    case Type::error:
      if (const auto call = calls_.extract(received.message.reply_to)) call.mapped()(received);
      return;
  }
}

}  // namespace handover::test
