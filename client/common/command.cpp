// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "file.h"
#include "process.h"

namespace handover::common {
namespace {

constexpr int first_listen_fd = 3;  // SD_LISTEN_FDS_START

/// Moves copies of the descriptors to fd 3 and on. False with errno set if it cannot.
bool place_descriptors(const std::vector<Handed>& descriptors) {
  const int end = first_listen_fd + static_cast<int>(descriptors.size());
  // First above all places, so that none is overwritten before it was moved.
  std::vector<int> high;
  for (const auto& handed : descriptors) {
    high.push_back(fcntl(handed.fd, F_DUPFD_CLOEXEC, end));
    if (high.back() < 0) return false;
  }
  for (std::size_t i = 0; i < high.size(); ++i) {
    if (dup2(high[i], first_listen_fd + static_cast<int>(i)) < 0) return false;
  }
  return true;
}

std::string names_of(const std::vector<Handed>& descriptors) {
  std::string names;
  for (const auto& handed : descriptors) names += (names.empty() ? "" : ":") + handed.name;
  return names;
}

bool set_environment(const Start& start) {
  // One thread, so the child may use what allocates.
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", std::to_string(start.descriptors.size()).c_str(), 1);
  setenv("LISTEN_FDNAMES", names_of(start.descriptors).c_str(), 1);
  setenv("HANDOVER_RESTORED", start.restored ? "1" : "0", 1);
  setenv("HANDOVER_QUIESCED", start.quiesced ? "1" : "0", 1);
  for (const auto& [name, value] : start.environment) setenv(name.c_str(), value.c_str(), 1);
  if (start.identity && !set_environment_of(*start.identity)) return false;
  if (!forget_parent() || signal(SIGXFSZ, SIG_DFL) == SIG_ERR) return false;
  return start.notify_socket.empty() ||
         setenv("NOTIFY_SOCKET", start.notify_socket.c_str(), 1) == 0;
}

/// Who sets a terminal's group from the background is stopped, but for this.
class InForeground {
 public:
  InForeground() : before_(signal(SIGTTOU, SIG_IGN)) {}
  ~InForeground() { signal(SIGTTOU, before_); }
  InForeground(const InForeground&) = delete;
  InForeground& operator=(const InForeground&) = delete;
  static void set(pid_t group) { (void)tcsetpgrp(STDIN_FILENO, group); }

 private:
  sighandler_t before_;
};

/// So that it can read there. The key that stops it is ignored: our shell would wait for us.
void take_terminal(pid_t from_group) {
  if (!has_terminal(from_group)) return;
  const InForeground foreground;
  InForeground::set(getpid());
  signal(SIGTSTP, SIG_IGN);
}

/// In the child.
bool prepare_command(const Start& start, pid_t parent, pid_t parents_group) {
  if (setpgid(0, 0) < 0) return false;
  take_terminal(parents_group);
  if (start.cgroup_procs >= 0 && write(start.cgroup_procs, "0", 1) < 0) return false;
  if (!place_descriptors(start.descriptors)) return false;
  if (!set_environment(start)) return false;
  if (start.identity && !become(*start.identity)) return false;
  // A change of user would undo it. Whoever ended before this did so unseen.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return false;
  if (getppid() == parent) return true;
  errno = ESRCH;
  return false;
}

}  // namespace

client::Result<pid_t> start_command(const Start& start) {
  const int first_free = first_listen_fd + static_cast<int>(start.descriptors.size());
  const pid_t parent = getpid();
  const pid_t group = getpgrp();
  return start_process(start.arguments, first_free,
                       [&] { return prepare_command(start, parent, group); });
}

bool has_terminal(pid_t group) { return tcgetpgrp(STDIN_FILENO) == group; }

void take_terminal_back(pid_t group) {
  if (!has_terminal(group)) return;
  const InForeground foreground;
  InForeground::set(getpgrp());
}

client::Result<ProcessStat> parse_stat(std::string_view line) {
  // proc_pid_stat(5): pid (name) state ppid pgrp …; the name may hold spaces and parentheses.
  const client::Error unreadable{"", "/proc/PID/stat is not as proc_pid_stat(5) describes it.",
                                 EBADMSG};
  const auto name_begin = line.find('(');
  const auto name_end = line.rfind(')');
  if (name_end == std::string_view::npos || name_end + 4 >= line.size()) return unreadable;
  ProcessStat stat;
  if (name_begin < name_end) stat.name = line.substr(name_begin + 1, name_end - name_begin - 1);
  stat.state = line[name_end + 2];
  const char* const end = line.data() + line.size();
  const auto parent = std::from_chars(line.data() + name_end + 4, end, stat.parent);
  if (parent.ec != std::errc() || parent.ptr == end) return unreadable;
  const auto group = std::from_chars(parent.ptr + 1, end, stat.group);
  if (group.ec != std::errc()) return unreadable;
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

}  // namespace handover::common
