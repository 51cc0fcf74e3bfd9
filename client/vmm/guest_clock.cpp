// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest_clock.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "common/file.h"
#include "common/log.h"

namespace handover::vmm {
namespace {

using common::say;
using nlohmann::json;

constexpr std::uint64_t patience_usec = 10'000'000;
constexpr std::size_t longest_answer = 4096;

std::uint64_t wall_clock() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

client::Result<client::Fd> connect_to(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return client::Error{"", "The path " + path + " is too long for a socket.", ENAMETOOLONG};
  }
  memcpy(address.sun_path, path.data(), path.size());
  client::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return common::errno_error("Cannot make a socket");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) < 0) {
    return common::errno_error("Cannot connect to " + path);
  }
  return fd;
}

}  // namespace

std::string set_time_command(std::uint64_t nsec) {
  // 0xff: the agent forgets what another one may have left half-said (qemu-ga's protocol).
  return "\xff" + json{{"execute", "guest-set-time"}, {"arguments", {{"time", nsec}}}}.dump() +
         "\n";
}

std::string fault_of(const std::string& answer) {
  const auto parsed = json::parse(answer, nullptr, false);
  if (!parsed.is_object()) return "it says what is no JSON.";
  if (parsed.contains("return")) return "";
  const auto error = parsed.find("error");
  if (error == parsed.end() || !error->is_object()) return "it answers something else.";
  const auto why = error->find("desc");
  return why != error->end() && why->is_string() ? why->get<std::string>() : "it refuses.";
}

client::Result<void> GuestClock::attach(sd_event* event) {
  event_ = event;
  return timer_.attach(event, [this] { end("it does not answer."); });
}

void GuestClock::set(const std::string& path) {
  end("");
  if (auto asked = ask(path); !asked) {
    say(SD_WARNING, "The guest's clock is late, and nobody sets it: " + asked.error().message);
    socket_.reset();
  }
}

client::Result<void> GuestClock::ask(const std::string& path) {
  auto socket = connect_to(path);
  if (!socket) return socket.error();
  socket_ = std::move(*socket);
  const std::string command = set_time_command(wall_clock());
  if (send(socket_.get(), command.data(), command.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(command.size())) {
    return common::errno_error("Cannot write to " + path);
  }
  sd_event_source* source = nullptr;
  const int r = sd_event_add_io(
      event_, &source, socket_.get(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* userdata) {
        static_cast<GuestClock*>(userdata)->on_readable();
        return 0;
      },
      this);
  if (r < 0) return common::errno_error("Cannot watch a socket", -r);
  source_.reset(source);
  timer_.start(patience_usec);
  return {};
}

void GuestClock::on_readable() {
  std::array<char, 1024> buffer = {};
  const ssize_t n = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    end("it has closed the connection.");
    return;
  }
  input_.append(buffer.data(), static_cast<std::size_t>(n));
  const auto line_end = input_.find('\n');
  if (line_end == std::string::npos) {
    if (input_.size() > longest_answer) end("it says what is no JSON.");
    return;
  }
  const std::string fault = fault_of(input_.substr(0, line_end));
  if (fault.empty()) say(SD_INFO, "The guest's clock was set by its agent.");
  end(fault);
}

void GuestClock::end(const std::string& fault) {
  if (!fault.empty()) say(SD_WARNING, "The guest's agent did not set the guest's clock: " + fault);
  timer_.stop();
  source_.reset();
  socket_.reset();
  input_.clear();
}

}  // namespace handover::vmm
