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
#include <nlohmann/json.hpp>
#include <string_view>

#include "argument_list.h"
#include "common/loop.h"
#include "common/process.h"
#include "guard.h"
#include "left_socket.h"
#include "requirements.h"

namespace handover::vmm {
namespace {

constexpr std::uint64_t longest_answer_usec = 10'000'000;
constexpr int look_ms = 5;
constexpr int first_program_number = 3;

using nlohmann::json;

bool begins_with(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_nbd(std::string_view file) {
  return begins_with(file, "nbd:") || begins_with(file, "nbd+");
}

/// In a node of `-blockdev`, or below it.
bool has_nbd(const json& node) {
  if (node.is_string()) return is_nbd(node.get<std::string>());
  if (!node.is_structured()) return false;
  if (node.is_object() && node.value("driver", json()) == "nbd") return true;
  return std::any_of(node.begin(), node.end(), has_nbd);
}

bool is_nbd_disk(const Argument& argument) {
  constexpr std::array<std::string_view, 13> disks{"",    "drive",  "blockdev", "hda", "hdb",
                                                   "hdc", "hdd",    "cdrom",    "fda", "fdb",
                                                   "sd",  "pflash", "mtdblock"};
  const auto& [option, value] = argument;
  if (std::find(disks.begin(), disks.end(), option) == disks.end()) return false;
  if (is_nbd(value)) return true;
  if (const auto node = json::parse(value, nullptr, false); node.is_object()) return has_nbd(node);
  const auto list = split_value(value);
  return std::any_of(list.begin(), list.end(), [](const auto& entry) {
    const auto& [name, text] = entry;
    const bool driver = name == "driver" || ends_with(name, ".driver");
    constexpr std::string_view pseudo = "json:";
    return is_nbd(text) || (driver && text == "nbd") ||
           (begins_with(text, pseudo) &&
            has_nbd(json::parse(text.substr(pseudo.size()), nullptr, false)));
  });
}

/// To another host's port, or a local one: whoever is there may take one connection, and none
/// again.
bool calls_port(const Argument& argument) {
  const auto& [option, value] = argument;
  const auto list = split_value(value);
  if (is_patient(list) || is_on(list, "server")) return false;
  const auto kind = value_of(list, "");
  if (option == "chardev") return kind == "socket" && !value_of(list, "port").empty();
  if (option == "netdev" && kind == "stream") return value_of(list, "addr.type") == "inet";
  if (option == "netdev" || option == "net" || option == "nic") {
    return kind == "socket" && !value_of(list, "connect").empty();
  }
  constexpr std::array<std::string_view, 5> lines{"serial", "parallel", "monitor", "qmp",
                                                  "debugcon"};
  return std::find(lines.begin(), lines.end(), option) != lines.end() && begins_with(kind, "tcp:");
}

/// Its file is made empty by each QEMU that opens it.
bool begins_file_anew(const Argument& argument) {
  const auto list = split_value(argument.value);
  if (argument.option == "chardev") {
    return value_of(list, "") == "file" && !is_on(list, "append");
  }
  return begins_with(argument.value, "file:") && argument.option != "drive" &&
         argument.option != "blockdev" && !argument.option.empty();
}

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
    return value.find("vhost") != std::string::npos || value.find("usb-host") != std::string::npos;
  }
  if (std::find(options.begin(), options.end(), option) != options.end()) return true;
  if (begins_file_anew(argument)) return true;
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

std::string only_one_can_have(const std::vector<std::string>& arguments,
                              const std::string& directory, bool own_helpers) {
  for (const auto& argument : split_arguments(arguments)) {
    const auto named = "'-" + argument.option + " " + argument.value + "'";
    if (is_nbd_disk(argument)) {
      return named +
             " is an NBD server's disk, which may be served to one QEMU only: restart the guest.";
    }
    if (calls_port(argument)) {
      return named +
             " is a connection that another QEMU might not get: say 'reconnect=', or restart the "
             "guest.";
    }
  }
  if (own_helpers) return "";
  for (const auto& socket : sockets_of(arguments, directory)) {
    if (has_owner(socket)) continue;
    return "nobody listens at " + socket +
           " any more, so that another QEMU could not connect to it: restart the guest.";
  }
  return "";
}

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

}  // namespace handover::vmm
