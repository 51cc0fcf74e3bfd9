// SPDX-License-Identifier: LGPL-2.1-or-later
#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "common/command_end.h"
#include "common/file.h"
#include "pause.h"

namespace handover::fleet {
namespace {

constexpr std::size_t most_output = 64U << 10;
constexpr int look_ms = 100;

/// posix_spawn(3)'s two structs. Unlike fork(), it is safe beside other threads.
class Spawn {
 public:
  Spawn() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &defaults);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  }
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  ~Spawn() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  void give(int ours, int theirs) { posix_spawn_file_actions_adddup2(&actions_, ours, theirs); }

  client::Result<pid_t> start(std::vector<std::string> arguments,
                              std::vector<std::string> environment) {
    auto argv = pointers_to(arguments);
    for (char** entry = environ; *entry != nullptr; ++entry) {
      // What systemd expects of its main process is ours to do.
      if (strncmp(*entry, "NOTIFY_SOCKET=", 14) != 0) environment.emplace_back(*entry);
    }
    auto envp = pointers_to(environment);
    pid_t process = -1;
    const int code =
        posix_spawnp(&process, argv.front(), &actions_, &attributes_, argv.data(), envp.data());
    if (code != 0) return common::errno_error("Cannot run " + arguments.front(), code);
    return process;
  }

 private:
  static std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (auto& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
  }

  posix_spawn_file_actions_t actions_ = {};
  posix_spawnattr_t attributes_ = {};
};

struct Pipe {
  client::Fd reader, writer;
};

client::Result<Pipe> make_pipe() {
  std::array<int, 2> ends = {-1, -1};
  if (pipe2(ends.data(), O_CLOEXEC) < 0) return common::errno_error("Cannot make a pipe");
  return Pipe{client::Fd(ends[0]), client::Fd(ends[1])};
}

/// False at its end.
bool read_some(int fd, std::string& text) {
  std::array<char, 4096> buffer = {};
  const ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n <= 0) return n < 0 && errno == EINTR;
  const auto room = most_output - std::min(most_output, text.size());
  text.append(buffer.data(), std::min(static_cast<std::size_t>(n), room));
  return true;
}

/// Until the process has ended; why it was killed, or "".
std::string follow(int process, Pipe& out, Pipe& err, Ended& ended, std::uint64_t limit_usec,
                   const std::atomic<bool>& given_up) {
  const auto until = now_usec() + limit_usec;
  std::array<pollfd, 3> watched = {
      {{process, POLLIN, 0}, {out.reader.get(), POLLIN, 0}, {err.reader.get(), POLLIN, 0}}};
  for (;;) {
    (void)poll(watched.data(), watched.size(), look_ms);
    if (watched[1].revents != 0 && !read_some(watched[1].fd, ended.output)) watched[1].fd = -1;
    if (watched[2].revents != 0 && !read_some(watched[2].fd, ended.complaint)) watched[2].fd = -1;
    // Those that it has left behind may hold the pipes open: nobody waits for them.
    if (watched[0].revents != 0 && watched[1].revents == 0 && watched[2].revents == 0) return "";
    if (given_up) return "was given up";
    if (now_usec() >= until) {
      return "took longer than " + std::to_string(limit_usec / 1'000'000) + " s";
    }
  }
}

}  // namespace

client::Result<Ended> run_program(const std::vector<std::string>& arguments,
                                  const std::vector<std::string>& environment,
                                  std::uint64_t limit_usec, const std::atomic<bool>& given_up) {
  auto out = make_pipe();
  if (!out) return out.error();
  auto err = make_pipe();
  if (!err) return err.error();
  Spawn spawn;
  spawn.give(out->writer.get(), STDOUT_FILENO);
  spawn.give(err->writer.get(), STDERR_FILENO);
  auto process = spawn.start(arguments, environment);
  if (!process) return process.error();
  out->writer.reset();
  err->writer.reset();

  Ended ended;
  const client::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, *process, 0)));
  const auto killed = pidfd ? follow(pidfd.get(), *out, *err, ended, limit_usec, given_up)
                            : common::errno_error("cannot be watched").message;
  if (!killed.empty()) (void)kill(-*process, SIGKILL);
  siginfo_t info = {};
  while (waitid(P_PID, static_cast<id_t>(*process), &info, WEXITED) < 0 && errno == EINTR) {
  }
  const auto end = common::command_end(info);
  ended.well = killed.empty() && end.exit_code() == 0;
  ended.how = killed.empty() ? common::describe(end) : killed;
  return ended;
}

}  // namespace handover::fleet
