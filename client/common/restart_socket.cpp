// SPDX-License-Identifier: LGPL-2.1-or-later
#include "restart_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "file.h"

namespace handover::common {
namespace {

constexpr std::string_view done_answer = "done";

client::Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return client::Error{"", "The path " + path + " is too long for a socket.", ENAMETOOLONG};
  }
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

std::string socket_path(const std::string& directory, const std::string& name) {
  return directory + "/" + name + ".socket";
}

}  // namespace

void RestartRequest::answer(const std::string& failure) {
  // Nothing at all is what the end of our process looks like.
  const std::string text = failure.empty() ? std::string(done_answer) : failure;
  (void)send(connection_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  connection_.reset();
}

RestartSocket::~RestartSocket() {
  if (!path_.empty()) unlink(path_.c_str());
}

client::Result<void> RestartSocket::open(sd_event* event, const std::string& directory,
                                         const std::string& name,
                                         std::function<void(RestartRequest)> requested) {
  requested_ = std::move(requested);
  const auto path = socket_path(directory, name);
  auto address = address_of(path);
  if (!address) return address.error();
  if (mkdir(directory.c_str(), 0755) < 0 && errno != EEXIST) {
    return errno_error("Cannot make " + directory);
  }
  socket_.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) return errno_error("Cannot make a socket");
  // Of the last run: the daemon lets nobody have our name while we are registered.
  unlink(path.c_str());
  const mode_t before = umask(0177);
  const int bound =
      bind(socket_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(sockaddr_un));
  const int code = errno;
  umask(before);
  if (bound < 0) return errno_error("Cannot make the socket " + path, code);
  path_ = path;
  if (listen(socket_.get(), 8) < 0) return errno_error("Cannot listen on " + path);
  sd_event_source* source = nullptr;
  const int r = sd_event_add_io(
      event, &source, socket_.get(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* userdata) {
        static_cast<RestartSocket*>(userdata)->accept_one();
        return 0;
      },
      this);
  if (r < 0) return errno_error("Cannot watch a socket", -r);
  source_.reset(source);
  return {};
}

void RestartSocket::accept_one() {
  client::Fd connection(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (connection) requested_(RestartRequest(std::move(connection)));
}

std::string runtime_directory(const std::string& program) {
  // systemd names one for each RuntimeDirectory= of the unit, with colons in between.
  // NOLINTBEGIN(concurrency-mt-unsafe): one thread
  if (const char* given = getenv("RUNTIME_DIRECTORY")) {
    const std::string all = given;
    return all.substr(0, all.find(':'));
  }
  if (geteuid() == 0) return "/run/" + program;
  if (const char* user = getenv("XDG_RUNTIME_DIR")) return std::string(user) + "/" + program;
  // NOLINTEND(concurrency-mt-unsafe)
  return "";
}

client::Result<void> request_restart(const std::string& directory, const std::string& name) {
  const auto path = socket_path(directory, name);
  auto address = address_of(path);
  if (!address) return address.error();
  const client::Fd connection(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!connection) return errno_error("Cannot make a socket");
  if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(sockaddr_un)) <
      0) {
    return errno_error("Cannot reach '" + name + "' at " + path + " (does it run?)");
  }
  // However long: the limits are the client's own, and its end is the connection's.
  std::array<char, 1024> answer = {};
  const ssize_t n = recv(connection.get(), answer.data(), answer.size(), 0);
  if (n < 0) return errno_error("'" + name + "' gives no answer");
  const std::string said(answer.data(), static_cast<std::size_t>(n));
  if (said == done_answer) return {};
  if (said.empty()) {
    return client::Error{"", "'" + name + "' ended before it had started its command anew.", EPIPE};
  }
  return client::Error{"", said, EBUSY};
}

}  // namespace handover::common
