// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "file.h"

namespace handover::memfd {
namespace {

constexpr int first_listen_fd = 3;  // SD_LISTEN_FDS_START

/// In the child. Only returns if something failed, with errno set.
void become_command(const Start& start, std::vector<char*>& arguments) {
  if (setpgid(0, 0) < 0) return;
  if (start.cgroup_procs >= 0 && write(start.cgroup_procs, "0", 1) < 0) return;
  if (start.memory == first_listen_fd) {
    if (fcntl(start.memory, F_SETFD, 0) < 0) return;
  } else if (dup2(start.memory, first_listen_fd) < 0) {
    return;
  }
  // One thread, so the child may use what allocates.
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_FDNAMES", start.memory_name.c_str(), 1);
  setenv("HANDOVER_RESTORED", start.restored ? "1" : "0", 1);
  // What systemd expects of its main process is ours to do.
  for (const char* ours : {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PIDFDID"}) {
    unsetenv(ours);
  }
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, nullptr) < 0) return;
  if (signal(SIGPIPE, SIG_DFL) == SIG_ERR) return;
  execvp(arguments.front(), arguments.data());
}

}  // namespace

client::Result<pid_t> start_command(const Start& start) {
  std::vector<std::string> copies = start.arguments;  // execvp() wants them writable
  std::vector<char*> arguments;
  arguments.reserve(copies.size() + 1);
  for (auto& argument : copies) arguments.push_back(argument.data());
  arguments.push_back(nullptr);

  // The child writes its errno into the pipe; the exec closes it. Its ends must not lie on fd 3.
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) < 0) return errno_error("Cannot make a pipe");
  client::Fd reader(ends[0]);
  client::Fd writer(ends[1]);
  client::Fd high(fcntl(writer.get(), F_DUPFD_CLOEXEC, first_listen_fd + 1));
  if (!high) return errno_error("Cannot duplicate a descriptor");
  writer.reset();

  const pid_t child = fork();
  if (child < 0) return errno_error("Cannot fork");
  if (child == 0) {
    become_command(start, arguments);
    const int code = errno;
    const ssize_t written = write(high.get(), &code, sizeof(code));
    _exit(written == sizeof(code) ? 127 : 125);
  }
  high.reset();

  int code = 0;
  ssize_t n = 0;
  do {
    n = read(reader.get(), &code, sizeof(code));
  } while (n < 0 && errno == EINTR);
  if (n == 0) return child;
  const int reason = n == sizeof(code) ? code : EIO;
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return errno_error("Cannot run " + start.arguments.front(), reason);
}

client::Result<ProcessStat> parse_stat(std::string_view line) {
  // proc_pid_stat(5): pid (name) state ppid pgrp …; the name may hold spaces and parentheses.
  const client::Error unreadable{"", "/proc/PID/stat is not as proc_pid_stat(5) describes it.",
                                 EBADMSG};
  const auto name_end = line.rfind(')');
  if (name_end == std::string_view::npos || name_end + 4 >= line.size()) return unreadable;
  ProcessStat stat;
  stat.state = line[name_end + 2];
  const auto group = line.find(' ', name_end + 4);
  if (group == std::string_view::npos) return unreadable;
  const auto parsed =
      std::from_chars(line.data() + group + 1, line.data() + line.size(), stat.group);
  if (parsed.ec != std::errc()) return unreadable;
  return stat;
}

client::Result<bool> group_is_stopped(pid_t group) {
  const auto close = [](DIR* directory) { closedir(directory); };
  using Directory = std::unique_ptr<DIR, decltype(close)>;
  const Directory processes(opendir("/proc"), close);
  if (!processes) return errno_error("Cannot open /proc");
  while (const dirent* process = readdir(processes.get())) {  // NOLINT(concurrency-mt-unsafe)
    if (!isdigit(static_cast<unsigned char>(process->d_name[0]))) continue;
    const std::string path = std::string("/proc/") + process->d_name;
    auto text = read_file(path + "/stat");
    if (!text) continue;  // it has ended meanwhile
    auto stat = parse_stat(*text);
    if (!stat) return stat.error();
    if (stat->group != group || stat->state == 'Z' || stat->state == 'X') continue;

    const Directory threads(opendir((path + "/task").c_str()), close);
    if (!threads) continue;
    while (const dirent* thread = readdir(threads.get())) {  // NOLINT(concurrency-mt-unsafe)
      if (!isdigit(static_cast<unsigned char>(thread->d_name[0]))) continue;
      auto thread_text = read_file(path + "/task/" + thread->d_name + "/stat");
      if (!thread_text) continue;
      auto thread_stat = parse_stat(*thread_text);
      if (!thread_stat) return thread_stat.error();
      // T: stopped by a signal, t: by a debugger; neither runs code of COMMAND's.
      if (std::string_view("TtZX").find(thread_stat->state) == std::string_view::npos) return false;
    }
  }
  return true;
}

}  // namespace handover::memfd
