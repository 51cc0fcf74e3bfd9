// SPDX-License-Identifier: LGPL-2.1-or-later
#include "raw_peer.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace handover::test {

namespace {

/// Little-endian marshalling as the D-Bus specification has it, "Message Format".
class Writer {
 public:
  void align(std::size_t to) { bytes_.resize((bytes_.size() + to - 1) / to * to, '\0'); }
  void byte(char value) { bytes_ += value; }
  void number(std::uint32_t value) {
    align(4);
    for (unsigned shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(value >> shift);
  }
  void text(const std::string& value) {
    number(static_cast<std::uint32_t>(value.size()));
    bytes_ += value + '\0';
  }
  void signature(const std::string& value) {
    bytes_ += static_cast<char>(value.size());
    bytes_ += value + '\0';
  }
  void field(char code, char type, const std::string& value) {
    align(8);
    byte(code);
    signature(std::string(1, type));
    if (type == 'g') {
      signature(value);
    } else {
      text(value);
    }
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::uint32_t number_at(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// The header's field `code`, a string; "" if it has none.
std::string field_of(const std::string& fields, char code) {
  std::size_t at = 0;
  while (at + 8 <= fields.size()) {
    const char here = fields[at];
    const char type = fields[at + 2];  // after the code and the length of a signature of one
    at += 4;
    std::string value;
    if (type == 'u') {
      at += 4;
    } else if (type == 'g') {
      at += static_cast<unsigned char>(fields[at]) + 2U;
    } else {
      const auto size = number_at(fields, at);
      value = fields.substr(at + 4, size);
      at += 4 + size + 1;
    }
    if (here == code) return value;
    at = (at + 7) / 8 * 8;
  }
  return {};
}

constexpr char method_call = 1;
constexpr char error_reply = 3;
constexpr char signal = 4;

}  // namespace

RawPeer::RawPeer(EventLoop& loop, const std::string& path) : loop_(loop) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  socket_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  must(socket_ ? 0 : -errno, "a socket");
  must(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ? -errno
                                                                                         : 0,
       "the private socket");
  std::string uid;
  for (const char digit : std::to_string(geteuid())) uid += "3" + std::string(1, digit);  // in hex
  send(std::string(1, '\0') + "AUTH EXTERNAL " + uid + "\r\n");
  must(receive_line().starts_with("OK") ? 0 : -EACCES, "authentication");
  send("BEGIN\r\n");
  // Until it was read: sd-bus looks at what came together with it only when more comes.
  const bool taken = loop_.run_until([this] {
    int unread = 0;
    return ioctl(socket_.get(), SIOCOUTQ, &unread) == 0 && unread == 0;
  });
  must(taken ? 0 : -ETIMEDOUT, "authentication");
}

void RawPeer::send(const std::string& bytes) const {
  must(write(socket_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size())
           ? 0
           : -EIO,
       "sending");
}

std::string RawPeer::receive(std::size_t size) {
  std::string bytes;
  const bool complete = loop_.run_until([&] {
    std::string part(size - bytes.size(), '\0');
    const auto got = part.empty() ? 0 : read(socket_.get(), part.data(), part.size());
    if (got > 0) bytes.append(part, 0, static_cast<std::size_t>(got));
    return bytes.size() == size || got == 0;
  });
  must(complete && bytes.size() == size ? 0 : -ECONNRESET, "receiving");
  return bytes;
}

std::string RawPeer::receive_line() {
  std::string line;
  while (!line.ends_with("\r\n")) line += receive(1);
  return line;
}

Answer RawPeer::create_session(const std::string& name) {
  Writer body;
  body.text(name);
  body.number(0);  // no options
  body.align(8);
  Writer message;
  message.byte('l');
  message.byte(method_call);
  message.byte(0);  // no flags
  message.byte(1);  // protocol version
  message.number(static_cast<std::uint32_t>(body.bytes().size()));
  message.number(++serial_);
  Writer fields;
  fields.field(1, 'o', manager_path);
  fields.field(2, 's', manager_interface);
  fields.field(3, 's', "CreateSession");
  fields.field(8, 'g', "sa{sv}");
  message.number(static_cast<std::uint32_t>(fields.bytes().size()));
  std::string header = message.bytes() + fields.bytes();
  header.resize((header.size() + 7) / 8 * 8, '\0');
  send(header + body.bytes());
  for (;;) {
    const auto fixed = receive(16);
    const std::size_t size = number_at(fixed, 12);
    const auto got = receive((size + 7) / 8 * 8);
    const auto content = receive(number_at(fixed, 4));
    if (fixed[1] == signal) continue;
    Answer answer;
    if (fixed[1] != error_reply) return answer;
    answer.error = field_of(got, 4);
    answer.message = content.substr(4, number_at(content, 0));
    return answer;
  }
}

}  // namespace handover::test
