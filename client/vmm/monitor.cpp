// SPDX-License-Identifier: LGPL-2.1-or-later
#include "monitor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/file.h"
#include "wait.h"

namespace handover::vmm {
namespace {

// The longest answers that we ask for are a few KiB.
constexpr std::size_t longest_line = 1 << 20;

client::Error late(const std::string& awaited) {
  return {"", "QEMU does not answer: no " + awaited + " within the time limit.", ETIMEDOUT};
}

/// sendmsg() with at most one descriptor.
ssize_t send_some(int socket, std::string_view bytes, int passed) {
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (passed >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passed, sizeof(passed));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Monitor::Monitor(client::Fd socket) : socket_(std::move(socket)) {}

client::Error Monitor::broken(std::string reason) {
  broken_ = client::Error{"", std::move(reason), ECONNRESET};
  return *broken_;
}

/// True if there was anything to read.
client::Result<bool> Monitor::read_more() {
  std::array<char, 16384> buffer = {};
  const ssize_t n = recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) return broken("QEMU has closed its monitor: it has ended.");
  input_.append(buffer.data(), static_cast<std::size_t>(n));
  if (input_.size() > longest_line && input_.find('\n') == std::string::npos) {
    return broken("QEMU's monitor says what is no QMP: a line without end.");
  }
  return true;
}

client::Result<Message> Monitor::next(const std::string& awaited, Deadline deadline) {
  for (;;) {
    if (const auto end = input_.find('\n'); end != std::string::npos) {
      const std::string line = input_.substr(0, end);
      input_.erase(0, end + 1);
      if (line.find_first_not_of(" \r\t") == std::string::npos) continue;
      auto message = parse_message(line);
      if (!message) return broken(message.error().message);
      const auto* event = std::get_if<Event>(&*message);
      if (!event) return message;
      if (handler_) handler_(*event);
      continue;
    }
    if (broken_) return *broken_;
    auto readable = wait_for(socket_.get(), POLLIN, deadline);
    if (!readable) return readable.error();
    if (!*readable) return late(awaited);
    if (auto read = read_more(); !read) return read.error();
  }
}

client::Result<void> Monitor::send(std::string_view bytes, int passed, const std::string& name,
                                   Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t n = send_some(socket_.get(), bytes, passed);
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      passed = -1;  // it went with the first byte
    } else if (errno == EAGAIN) {
      auto writable = wait_for(socket_.get(), POLLOUT, deadline);
      if (!writable) return writable.error();
      // Half a command cannot be taken back.
      if (!*writable) return broken(late("ear for '" + name + "'").message);
    } else if (errno != EINTR) {
      return broken("QEMU has closed its monitor: it has ended.");
    }
  }
  return {};
}

client::Result<Version> Monitor::greet(Deadline deadline) {
  auto message = next("greeting", deadline);
  if (!message) return message.error();
  const auto* greeting = std::get_if<Greeting>(&*message);
  if (!greeting) return broken("QEMU's monitor begins without a greeting.");
  auto ready = call("qmp_capabilities", nullptr, deadline);
  if (!ready) return ready.error();
  return greeting->version;
}

client::Result<nlohmann::json> Monitor::call(const std::string& name,
                                             const nlohmann::json& arguments, Deadline deadline,
                                             int passed) {
  if (broken_) return *broken_;
  const std::uint64_t id = ++last_id_;
  if (auto sent = send(make_command(id, name, arguments), passed, name, deadline); !sent) {
    return sent.error();
  }
  for (;;) {
    auto message = next("answer to '" + name + "'", deadline);
    if (!message) return message.error();
    if (auto* answer = std::get_if<Return>(&*message); answer && answer->id == id) {
      return std::move(answer->value);
    }
    // Without an id QEMU tells that it could not parse the command: ours, as there is one at a
    // time.
    const auto* refusal = std::get_if<Refusal>(&*message);
    if (refusal && (!refusal->id || refusal->id == id)) {
      return client::Error{"", "QEMU refuses '" + name + "': " + refusal->reason, EREMOTEIO};
    }
  }
}

client::Result<void> Monitor::drain() {
  while (!broken_) {
    auto message = next("", 0);
    if (!message && message.error().code == ETIMEDOUT) return {};
    if (!message) return message.error();
  }
  return *broken_;
}

}  // namespace handover::vmm
