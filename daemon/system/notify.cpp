// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/notify.h"

#include <fcntl.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>

namespace handover::system {
namespace {

/// One line of a notification: a newline would begin the next field (sd_notify(3)).
std::string one_line(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return line;
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

Result<void> sent(int result, const std::string& what) {
  if (result < 0) return fail_errno(what, -result);
  return {};  // 0: no NOTIFY_SOCKET, nobody keeps descriptors for us
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
    // First out of the way, all of them: a slot may be another one's source.
    for (const NamedFd& named : fds) {
      UniqueFd copy(::fcntl(named.fd.get(), F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + count_));
      if (!copy) {
        sys_errno_ = errno;
        return;
      }
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
      if (::dup2(copies_[static_cast<std::size_t>(index)].get(), slot) < 0) {
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
  std::vector<UniqueFd> copies_;
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
  ::sd_notify(0, ("READY=1\nSTATUS=" + one_line(status)).c_str());
}

void notify_status(std::string_view status) {
  ::sd_notify(0, ("STATUS=" + one_line(status)).c_str());
}

std::optional<std::size_t> fd_store_limit() {
  const char* text = ::getenv("FDSTORE");
  if (text == nullptr) return std::nullopt;
  const std::string_view digits(text);
  std::size_t limit = 0;
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), limit);
  if (error != std::errc() || end != digits.end()) return std::nullopt;
  return limit;
}

Result<void> store_fd(const std::string& name, int fd) {
  if (auto valid = check_fd_name(name); !valid) return valid;
  // FDPOLL=0: otherwise the manager drops what it polls EPOLLHUP on (sd_notify(3)).
  const std::string message = "FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0";
  return sent(::sd_pid_notify_with_fds(0, 0, message.c_str(), &fd, 1),
              "cannot keep " + name + " in the fd store");
}

Result<void> forget_fd(const std::string& name) {
  if (auto valid = check_fd_name(name); !valid) return valid;
  return sent(::sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str()),
              "cannot remove " + name + " from the fd store");
}

Result<void> notify_barrier(std::uint64_t timeout_usec) {
  return sent(::sd_notify_barrier(0, timeout_usec), "the service manager did not answer");
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

  const PassedDescriptors passed(fds);
  if (passed.sys_errno() != 0) {
    return fail_errno("cannot pass the descriptors on", passed.sys_errno()).value();
  }
  ::execve(program->c_str(), argument_pointers.data(), environment_pointers.data());
  return fail_errno("cannot run " + *program + " again").value();
}

}  // namespace handover::system
