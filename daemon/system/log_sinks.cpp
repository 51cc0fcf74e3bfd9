// SPDX-License-Identifier: LGPL-2.1-or-later
// Where log lines go. The journal's protocol is spoken here and not by sd_journal_send(): that one
// waits for a journald that does not read, and drops a line without a word while there is no
// journald yet (libsystemd's journal-send.c), which is so in the first seconds of a new kernel.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "core/unique_fd.h"
#include "system/log_ring.h"

namespace handover::log {

namespace {

constexpr std::array<std::string_view, 5> level_words = {"debug", "info", "warning", "error",
                                                         "critical"};
/// syslog(3): LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT.
constexpr std::array<std::string_view, 5> priorities = {"7", "6", "4", "3", "2"};

std::size_t index_of(Level level) { return static_cast<std::size_t>(level); }

/// NAME=value, or, if the value has more than one line, NAME, its length and its bytes.
void append_field(std::string& datagram, std::string_view name, std::string_view value) {
  datagram += name;
  if (value.find('\n') == std::string_view::npos) {
    datagram += '=';
  } else {
    datagram += '\n';
    for (unsigned shift = 0; shift < 64; shift += 8) {
      datagram += static_cast<char>(std::uint64_t{value.size()} >> shift);
    }
  }
  datagram += value;
  datagram += '\n';
}

std::string datagram_of(const Line& line) {
  std::string datagram;
  append_field(datagram, "MESSAGE", line.text);
  append_field(datagram, "PRIORITY", priorities.at(index_of(line.level)));
  append_field(datagram, "SYSLOG_IDENTIFIER", "handoverd");
  if (line.boottime_usec != 0) {
    append_field(datagram, "TIMESTAMP_BOOTTIME", std::to_string(line.boottime_usec));
  }
  for (const std::string& field : line.fields) {
    const std::size_t end = field.find('=');
    append_field(datagram, std::string_view(field).substr(0, end),
                 std::string_view(field).substr(end + 1));
  }
  return datagram;
}

bool is_passing(int sys_errno) {
  switch (sys_errno) {
    case ENOENT:  // journald's socket is not there yet
    case ECONNREFUSED:
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
    case EINTR:
    case EMFILE:
    case ENFILE:
      return true;
    default:
      return false;
  }
}

class Journal {
 public:
  explicit Journal(std::string path) : path_(std::move(path)) {}

  Taken take(const Line& line) {
    if (!socket_) socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket_) return failed();
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    const std::string datagram = datagram_of(line);
    // By its path each time: journald may be another one now.
    const ssize_t sent =
        ::sendto(socket_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                 reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    return sent < 0 ? failed() : Taken::yes;
  }

 private:
  static Taken failed() { return is_passing(errno) ? Taken::later : Taken::never; }

  const std::string path_;
  UniqueFd socket_;
};

Taken write_to_stderr(const Line& line) {
  std::string text = "handoverd: ";
  text.append(level_words.at(index_of(line.level))).append(": ").append(line.text);
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  text += '\n';
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, rest.data(), rest.size());
    if (written >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd ready = {STDERR_FILENO, POLLOUT, 0};
      ::poll(&ready, 1, 100);
    } else if (errno != EINTR) {
      return Taken::never;
    }
  }
  return Taken::yes;
}

}  // namespace

Sink stderr_sink() { return write_to_stderr; }

Sink journal_sink(std::string socket) {
  auto journal = std::make_shared<Journal>(std::move(socket));
  return [journal](const Line& line) { return journal->take(line); };
}

}  // namespace handover::log
