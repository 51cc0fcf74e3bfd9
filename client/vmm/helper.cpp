// SPDX-License-Identifier: LGPL-2.1-or-later
#include "helper.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "common/loop.h"
#include "common/process.h"
#include "left_socket.h"

namespace handover::vmm {
namespace {

constexpr int look_ms = 5;
constexpr int first_helper_number = 3;
constexpr std::uint64_t end_usec = 1'000'000;

/// In the child.
bool prepare_helper(const common::Identity* identity) {
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) return false;
  return prepare_child(identity);
}

bool has_ended(pid_t pid) {
  siginfo_t ended = {};
  return waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOHANG | WNOWAIT) < 0 ||
         ended.si_pid == pid;
}

/// A socket only counts while its owner does.
bool is_there(const std::string& path) {
  struct stat status = {};
  if (stat(path.c_str(), &status) < 0) return false;
  return !S_ISSOCK(status.st_mode) || has_owner(path);
}

void end_process(pid_t pid) {
  kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

client::Result<Helper> Helper::start(const std::vector<std::string>& command,
                                     const common::Identity* identity) {
  auto pid = common::start_process(command, first_helper_number,
                                   [identity] { return prepare_helper(identity); });
  if (!pid) return pid.error();
  auto guard = Guard::over(*pid);
  if (!guard) {
    end_process(*pid);
    return guard.error();
  }
  return Helper(command.front(), *pid, std::move(*guard));
}

Helper::Helper(Helper&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, 0)),
      guard_(std::move(other.guard_)) {}

Helper::~Helper() {
  if (pid_ == 0) return;
  if (!has_ended(pid_)) kill(pid_, SIGTERM);
  const auto until = common::now_usec() + end_usec;
  while (!has_ended(pid_) && common::now_usec() < until) poll(nullptr, 0, look_ms);
  end_process(pid_);
}

bool Helper::runs() const { return !has_ended(pid_); }

client::Result<std::vector<Helper>> start_helpers(
    const std::vector<std::vector<std::string>>& commands, const std::vector<std::string>& sockets,
    Deadline deadline, const common::Identity* identity) {
  std::vector<Helper> helpers;
  for (const auto& command : commands) {
    auto helper = Helper::start(command, identity);
    if (!helper) return helper.error();
    helpers.push_back(std::move(*helper));
  }
  for (const auto& socket : sockets) {
    while (!is_there(socket)) {
      const auto ended = std::find_if(helpers.begin(), helpers.end(),
                                      [](const Helper& helper) { return !helper.runs(); });
      if (ended != helpers.end()) {
        return client::Error{"", "The helper '" + ended->name() + "' has ended.", ECHILD};
      }
      if (common::now_usec() >= deadline) {
        return client::Error{"", "Nobody has made the socket " + socket + ".", ENOENT};
      }
      poll(nullptr, 0, look_ms);
    }
  }
  return helpers;
}

}  // namespace handover::vmm
