// SPDX-License-Identifier: LGPL-2.1-or-later
#include "replacement.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "argument_list.h"
#include "common/file.h"
#include "common/loop.h"
#include "common/process.h"
#include "guard.h"
#include "requirements.h"

namespace handover::vmm {
namespace {

constexpr std::uint64_t longest_answer_usec = 10'000'000;
constexpr int look_ms = 5;
constexpr int first_program_number = 3;
// Above those that a QEMU is started with.
constexpr int first_kept_number = 16;

bool is_alone(const Argument& argument) {
  constexpr std::array<std::string_view, 5> options{"vnc", "spice", "gdb", "s", "pidfile"};
  const auto& [option, value] = argument;
  const auto list = split_value(value);
  const auto kind = value_of(list, "");
  if (option == "display") return kind != "none";
  if (option == "netdev" || option == "nic" || option == "net") {
    const bool user = kind == "user" || value_of(list, "type") == "user";
    return !(user || kind == "none" || kind == "nic" || kind == "hubport") ||
           value.find("hostfwd") != std::string::npos;
  }
  if (option == "device") {
    return kind.find("vhost") != std::string::npos || kind.find("usb-host") != std::string::npos;
  }
  if (std::find(options.begin(), options.end(), option) != options.end()) return true;
  const bool listens = is_on(list, "server") || value.find("telnet:") != std::string::npos;
  return listens || value.find("websocket") != std::string::npos;
}

/// In the child.
bool prepare_trial(const common::Identity* identity) {
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) return false;
  if (dup2(nothing, STDIN_FILENO) < 0 || dup2(nothing, STDOUT_FILENO) < 0) return false;
  return prepare_child(identity);
}

}  // namespace

bool can_stand_beside(const std::vector<std::string>& arguments) {
  const auto list = split_arguments(arguments);
  return sockets_of(arguments, "").empty() && std::none_of(list.begin(), list.end(), is_alone);
}

client::Result<void> try_program(const std::string& program, const common::Identity* identity) {
  auto pid = common::start_process({program, "--version"}, first_program_number,
                                   [identity] { return prepare_trial(identity); });
  if (!pid) return pid.error();
  const auto until = common::now_usec() + longest_answer_usec;
  int status = 0;
  pid_t ended = 0;
  while ((ended = waitpid(*pid, &status, WNOHANG)) == 0 && common::now_usec() < until) {
    poll(nullptr, 0, look_ms);
  }
  if (ended == 0) {
    kill(*pid, SIGKILL);
    while (waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (ended == *pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return client::Error{"", "'" + program + " --version' fails.", ENOEXEC};
}

client::Result<client::Fd> program_of(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/exe";
  const client::Fd low(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!low) return common::errno_error("Cannot open " + path);
  client::Fd kept(fcntl(low.get(), F_DUPFD_CLOEXEC, first_kept_number));
  if (!kept) return common::errno_error("Cannot duplicate a descriptor");
  return kept;
}

/// Of the child that executes it, which has it until then.
std::string path_of(const client::Fd& program) {
  return "/proc/self/fd/" + std::to_string(program.get());
}

}  // namespace handover::vmm
