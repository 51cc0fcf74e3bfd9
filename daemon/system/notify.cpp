// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/notify.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "core/text.h"
#include "system/log.h"

namespace handover::system {
namespace {

/// One line of a notification: a newline would begin the next field (sd_notify(3)), and systemd
/// ignores a message of more than 4 KiB and a status that is not UTF-8.
std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return printable(line, 1000);
}

Result<void> check_fd_name(const std::string& name) {
  const bool valid = !name.empty() && name.size() <= 255 &&  // FDNAME_MAX in systemd's fd-util.h
                     std::all_of(name.begin(), name.end(), [](char c) {
                       return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                              (c >= '0' && c <= '9') || c == '-';
                     });
  if (!valid) {
    return fail(ErrorCode::invalid_argument,
                "\"" + name +
                    "\" cannot name a descriptor in the fd store: use 1 to 255 of A-Z, "
                    "a-z, 0-9 and -");
  }
  return {};
}

using Clock = std::chrono::steady_clock;

/// The address in NOTIFY_SOCKET: a path, or '@' and an abstract name.
struct Address {
  sockaddr_un name = {};
  socklen_t size = 0;
};

/// nullopt: nobody listens.
std::optional<Address> manager_address() {
  const char* text = ::getenv("NOTIFY_SOCKET");
  if (text == nullptr || *text == '\0') return std::nullopt;
  const std::string_view path(text);
  Address address;
  address.name.sun_family = AF_UNIX;
  path.copy(address.name.sun_path, sizeof(address.name.sun_path) - 1);
  if (path[0] == '@') address.name.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) +
                                        std::min(path.size(), sizeof(address.name.sun_path) - 1) +
                                        (path[0] == '@' ? 0 : 1));
  return address;
}

/// One datagram on a connected socket, with a descriptor unless `fd` is -1; 0 or an errno.
int send_datagram(int socket, std::string_view text, int fd) {
  iovec part = {const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof(fd));
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

/// A socket that is connected to the service manager: only then does poll() know whether the
/// manager has room.
class ManagerSocket {
 public:
  struct Connected {
    std::string text;  ///< NOTIFY_SOCKET as it was
    UniqueFd fd;
  };
  /// nullptr: nobody listens, or `sys_errno` says why not.
  std::shared_ptr<const Connected> get(int& sys_errno) {
    sys_errno = 0;
    const auto address = manager_address();
    const char* const text = ::getenv("NOTIFY_SOCKET");
    if (!address || text == nullptr) return nullptr;
    const std::lock_guard lock(mutex_);
    if (now_ && now_->text == text) return now_;
    UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd ||
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->name), address->size) < 0) {
      sys_errno = errno;
      return nullptr;
    }
    now_ = std::make_shared<Connected>(Connected{text, std::move(fd)});
    return now_;
  }
  /// It leads to a manager that has gone.
  void drop(const std::shared_ptr<const Connected>& socket) {
    const std::lock_guard lock(mutex_);
    if (now_ == socket) now_.reset();
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Connected> now_;
};

ManagerSocket& manager_socket() {
  static ManagerSocket& one = *new ManagerSocket;  // never destroyed: threads may use it at the end
  return one;
}

/// Sends to the service manager, waiting for room at most `patience_usec`; 0 (also if nobody
/// listens) or an errno: EAGAIN without patience, ETIMEDOUT at its end.
int send(std::string_view text, int fd, std::uint64_t patience_usec) {
  int sys_errno = 0;
  auto socket = manager_socket().get(sys_errno);
  if (!socket) return sys_errno;
  const auto end = Clock::now() + std::chrono::microseconds(patience_usec);
  for (bool anew = false;;) {
    sys_errno = send_datagram(socket->fd.get(), text, fd);
    const bool gone = sys_errno == ECONNREFUSED || sys_errno == ENOTCONN || sys_errno == EPIPE;
    if (gone && !std::exchange(anew, true)) {
      manager_socket().drop(socket);
      socket = manager_socket().get(sys_errno);
      if (!socket) return sys_errno;
      continue;
    }
    if (sys_errno != EAGAIN || patience_usec == 0) return sys_errno;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) return ETIMEDOUT;
    pollfd room = {socket->fd.get(), POLLOUT, 0};
    ::poll(&room, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1000)));
  }
}

Result<void> sent(int sys_errno, const std::string& what) {
  if (sys_errno != 0) return fail_errno(what, sys_errno);
  return {};
}

/// What the service manager had no room for.
class Kept {
 public:
  /// In the order in which they are sent.
  enum class Kind { ready, extend, status, watchdog, stopping };

  void send(Kind kind, std::string text) {
    const std::lock_guard lock(mutex_);
    // It says a status of its own.
    if (kind == Kind::ready || kind == Kind::stopping) messages_.erase(Kind::status);
    messages_[kind] = std::move(text);
    send_all();
  }
  bool again() {
    if (!any_.load(std::memory_order_relaxed)) return true;
    const std::lock_guard lock(mutex_);
    send_all();
    return messages_.empty();
  }

 private:
  void send_all() {
    while (!messages_.empty()) {
      const auto first = messages_.begin();
      if (system::send(first->second, -1, 0) == EAGAIN) break;
      messages_.erase(first);  // sent, or nobody to send it to
    }
    any_ = !messages_.empty();
  }

  std::atomic<bool> any_ = false;
  std::mutex mutex_;
  std::map<Kind, std::string> messages_;
};

Kept& kept() {
  static Kept& all = *new Kept;  // never destroyed: threads may use it at the end
  return all;
}

struct FreeStrings {
  void operator()(char** strings) const {
    for (char** string = strings; *string != nullptr; ++string) ::free(*string);
    ::free(strings);
  }
};

/// Puts descriptors at 3, 4, …, as the LISTEN_FDS convention wants them, and puts back what stood
/// there unless execve() succeeded.
class PassedDescriptors {
 public:
  explicit PassedDescriptors(const std::vector<NamedFd>& fds)
      : count_(static_cast<int>(fds.size())) {
    // First out of the way: a slot may be another one's source. The others stay where they are, for
    // there may be thousands.
    std::vector<int> sources;
    for (const NamedFd& named : fds) {
      sources.push_back(named.fd.get());
      if (sources.back() >= SD_LISTEN_FDS_START + count_) continue;
      UniqueFd copy(::fcntl(named.fd.get(), F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + count_));
      if (!copy) {
        sys_errno_ = errno;
        return;
      }
      sources.back() = copy.get();
      copies_.push_back(std::move(copy));
    }
    for (int index = 0; index < count_; ++index) {
      const int slot = SD_LISTEN_FDS_START + index;
      const int flags = ::fcntl(slot, F_GETFD);
      Slot saved;
      saved.number = slot;
      if (flags >= 0) {
        saved.flags = flags;
        saved.fd.reset(::fcntl(slot, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + count_));
        if (!saved.fd) {
          sys_errno_ = errno;
          return;
        }
      }
      // dup2() leaves FD_CLOEXEC unset, as wanted.
      if (::dup2(sources[static_cast<std::size_t>(index)], slot) < 0) {
        sys_errno_ = errno;
        return;
      }
      slots_.push_back(std::move(saved));
    }
  }

  ~PassedDescriptors() {
    for (const Slot& slot : slots_) {
      if (!slot.fd) {
        const UniqueFd unused(slot.number);  // nothing stood here
      } else {
        ::dup3(slot.fd.get(), slot.number, (slot.flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
      }
    }
  }
  PassedDescriptors(const PassedDescriptors&) = delete;
  PassedDescriptors& operator=(const PassedDescriptors&) = delete;

  [[nodiscard]] int sys_errno() const { return sys_errno_; }

 private:
  struct Slot {
    int number = -1;
    int flags = 0;
    UniqueFd fd;
  };
  int count_;
  int sys_errno_ = 0;
  std::vector<UniqueFd> copies_;  ///< of those that were in the way
  std::vector<Slot> slots_;
};

/// The program to run: the file we came from, or its successor if a package upgrade replaced it.
Result<std::string> own_program() {
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (length < 0) return fail_errno("cannot read /proc/self/exe");
  std::string program(path, static_cast<std::size_t>(length));
  constexpr std::string_view deleted = " (deleted)";  // appended by the kernel, proc(5)
  if (program.size() > deleted.size() && program.ends_with(deleted)) {
    program.resize(program.size() - deleted.size());
    if (::access(program.c_str(), X_OK) != 0) return std::string("/proc/self/exe");
  }
  return program;
}

bool sets(std::string_view assignment, std::string_view variable) {
  return assignment.size() > variable.size() && assignment.starts_with(variable) &&
         assignment[variable.size()] == '=';
}

std::vector<std::string> environment_with(const std::vector<std::string>& changes) {
  std::vector<std::string> result;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view present(*entry);
    const bool replaced = std::any_of(changes.begin(), changes.end(), [&](const auto& change) {
      return sets(present, std::string_view(change).substr(0, change.find('=')));
    });
    // The service manager's own notes on passed descriptors would contradict ours.
    if (!replaced && !present.starts_with("LISTEN_")) result.emplace_back(present);
  }
  result.insert(result.end(), changes.begin(), changes.end());
  return result;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  result.reserve(strings.size() + 1);
  for (std::string& string : strings) result.push_back(string.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

std::vector<NamedFd> take_listen_fds() {
  char** raw_names = nullptr;
  const int count = ::sd_listen_fds_with_names(/* unset_environment= */ 1, &raw_names);
  ::unsetenv("LISTEN_PIDFDID");  // libsystemd before 258 does not know it
  std::vector<NamedFd> result;
  if (count < 0) {
    // Too early for any log: stderr with a level is what the journal reads (sd-daemon(3)).
    std::fprintf(stderr, SD_WARNING "handoverd: cannot take the descriptors passed in: error %d\n",
                 -count);
    return result;
  }
  const std::unique_ptr<char*, FreeStrings> names(raw_names);
  result.reserve(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) {
    result.push_back(
        NamedFd{names ? names.get()[index] : "unknown", UniqueFd(SD_LISTEN_FDS_START + index)});
  }
  return result;
}

void notify_ready(std::string_view status) {
  const auto told = status.empty() ? std::string() : "\nSTATUS=" + one_line(status);
  kept().send(Kept::Kind::ready, "READY=1" + told);
}

void notify_status(std::string_view status) {
  kept().send(Kept::Kind::status, "STATUS=" + one_line(status));
}

void notify_stopping(std::string_view status) {
  kept().send(Kept::Kind::stopping, "STOPPING=1\nSTATUS=" + one_line(status));
}

void notify_watchdog() { kept().send(Kept::Kind::watchdog, "WATCHDOG=1"); }

void notify_extend_timeout(std::uint64_t usec) {
  kept().send(Kept::Kind::extend, "EXTEND_TIMEOUT_USEC=" + std::to_string(usec));
}

bool notify_again() { return kept().again(); }

std::optional<std::size_t> fd_store_limit() {
  const char* text = ::getenv("FDSTORE");
  if (text == nullptr) {
    return manager_address() ? std::optional(unit_fd_store_limit) : std::nullopt;
  }
  const std::string_view digits(text);
  std::size_t limit = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), limit);
  if (error != std::errc() || end != digits.end()) return unit_fd_store_limit;
  return limit;
}

Result<void> store_fd(const std::string& name, int fd, std::uint64_t patience_usec) {
  if (auto valid = check_fd_name(name); !valid) return valid;
  // FDPOLL=0: otherwise the manager drops what it polls EPOLLHUP on (sd_notify(3)).
  return sent(send("FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0", fd, patience_usec),
              "cannot keep " + name + " in the fd store");
}

Result<void> forget_fd(const std::string& name, std::uint64_t patience_usec) {
  if (auto valid = check_fd_name(name); !valid) return valid;
  return sent(send("FDSTOREREMOVE=1\nFDNAME=" + name, -1, patience_usec),
              "cannot remove " + name + " from the fd store");
}

namespace {

Result<UniqueFd> barrier(std::uint64_t patience_usec) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) < 0) return fail_errno("cannot make a pipe");
  UniqueFd hangs_up(ends[0]);
  const UniqueFd held(ends[1]);  // the manager gets a copy of it, and closes that
  if (auto done = sent(send("BARRIER=1", held.get(), patience_usec),
                       "cannot ask the service manager whether it has read all");
      !done) {
    return fail(done.error());
  }
  return hangs_up;
}

}  // namespace

Result<UniqueFd> notify_barrier_fd() { return barrier(0); }

Result<void> notify_barrier(std::uint64_t timeout_usec) {
  const auto end = Clock::now() + std::chrono::microseconds(timeout_usec);
  const auto hangs_up = barrier(timeout_usec);
  if (!hangs_up) return fail(hangs_up.error());
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    pollfd one = {hangs_up->get(), 0, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready > 0) return {};
    if (left.count() <= 0) return fail_errno("the service manager did not answer", ETIMEDOUT);
  }
}

Error reexec(const std::vector<std::string>& argv, const std::vector<NamedFd>& fds,
             const std::vector<std::string>& environment) {
  const auto program = own_program();
  if (!program) return program.error();
  if (argv.empty()) return Error{ErrorCode::invalid_argument, "no program name to run again as", 0};

  std::string names;
  for (const NamedFd& named : fds) names += (names.empty() ? "" : ":") + named.name;
  std::vector<std::string> changes = environment;
  if (!fds.empty()) {
    changes.push_back("LISTEN_PID=" + std::to_string(::getpid()));
    changes.push_back("LISTEN_FDS=" + std::to_string(fds.size()));
    changes.push_back("LISTEN_FDNAMES=" + names);
  }
  std::vector<std::string> new_environment = environment_with(changes);
  std::vector<std::string> arguments = argv;
  const std::vector<char*> argument_pointers = pointers(arguments);
  const std::vector<char*> environment_pointers = pointers(new_environment);

  log::flush(1'000'000);
  const PassedDescriptors passed(fds);
  if (passed.sys_errno() != 0) {
    return fail_errno("cannot pass the descriptors on", passed.sys_errno()).value();
  }
  ::execve(program->c_str(), argument_pointers.data(), environment_pointers.data());
  return fail_errno("cannot run " + *program + " again").value();
}

}  // namespace handover::system
