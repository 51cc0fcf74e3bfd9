// SPDX-License-Identifier: LGPL-2.1-or-later
#include "access.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "argument_list.h"
#include "common/file.h"
#include "requirements.h"

namespace handover::vmm {
namespace {

using common::WaitFor;
using Kind = WaitFor::Kind;

/// What -runas or -run-with was given; "" if neither was.
std::string runas_of(const std::vector<std::string>& arguments) {
  std::string user;
  for (const auto& [option, value] : split_arguments(arguments)) {
    if (option == "runas") user = value;
    if (option == "run-with") {
      if (auto given = value_of(split_value(value), "user"); !given.empty()) user = given;
    }
  }
  return user;
}

int mode_of(const WaitFor& wanted) { return wanted.kind == Kind::path ? R_OK : R_OK | W_OK; }

/// In a child that becomes the user: why each cannot be had (errno), or 0.
client::Result<std::vector<int>> look_as(const common::Identity& identity,
                                         const std::vector<WaitFor>& wanted) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) < 0) return common::errno_error("Cannot make a pipe");
  const client::Fd reader(ends[0]);
  client::Fd writer(ends[1]);
  const pid_t child = fork();
  if (child < 0) return common::errno_error("Cannot fork");
  if (child == 0) {
    std::vector<int> seen = {common::become(identity) ? 0 : errno};
    for (const auto& one : wanted) {
      seen.push_back(access(one.name.c_str(), mode_of(one)) < 0 ? errno : 0);
    }
    const auto bytes = seen.size() * sizeof(int);
    _exit(write(writer.get(), seen.data(), bytes) == static_cast<ssize_t>(bytes) ? 0 : 1);
  }
  writer.reset();
  // No more than a pipe holds.
  std::vector<int> seen(wanted.size() + 1, EIO);
  ssize_t n = 0;
  do {
    n = read(reader.get(), seen.data(), seen.size() * sizeof(int));
  } while (n < 0 && errno == EINTR);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (n != static_cast<ssize_t>(seen.size() * sizeof(int))) seen.front() = EIO;
  if (seen.front() != 0) return common::errno_error("Only root can look", seen.front());
  seen.erase(seen.begin());
  return seen;
}

bool is_refused(int error) { return error == EACCES || error == EPERM || error == EROFS; }

std::string sentence(const QemuUser& user, const WaitFor& wanted) {
  const bool written = wanted.kind == Kind::writable;
  return (wanted.kind == Kind::device ? "The device " : "The image ") + wanted.name +
         " cannot be " +
         (wanted.kind == Kind::device ? "used"
          : written                   ? "written"
                                      : "read") +
         " by user '" + user.name + "', as whom QEMU runs" +
         (user.from_start ? "." : " (-runas) when the guest goes on.");
}

/// The number in a file of /sys/class/net/LINK; none if it is not there or says -1.
std::optional<unsigned> tap_number(const std::string& link, const char* which) {
  auto text = common::read_file("/sys/class/net/" + link + "/" + which);
  if (!text) return std::nullopt;
  unsigned number = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), number);
  if (parsed.ec != std::errc()) return std::nullopt;
  return number;
}

/// Only root makes a tap; one that is there may be its owner's or its group's, or with neither
/// anybody's (tun_not_capable() of drivers/net/tun.c).
std::string tap_sentence(const QemuUser& user, const OptionList& network) {
  const auto type =
      value_of(network, "").empty() ? value_of(network, "type") : value_of(network, "");
  if (type != "tap" || !value_of(network, "fd").empty() || !value_of(network, "fds").empty()) {
    return "";
  }
  const auto link = value_of(network, "ifname");
  const std::string remedy = ": make one with 'ip tuntap add NAME mode tap user " + user.name +
                             "', and say ifname=NAME,script=no,downscript=no.";
  if (link.empty() || value_of(network, "script") != "no") {
    return "A tap of QEMU's own needs root, and QEMU runs as user '" + user.name + "'" + remedy;
  }
  const auto of_link = "/sys/class/net/" + link;
  if (access(of_link.c_str(), F_OK) < 0) return "";
  if (access((of_link + "/tun_flags").c_str(), F_OK) < 0) {
    return "The link " + link + " is no tap" + remedy;
  }
  const auto owner = tap_number(link, "owner");
  const auto group = tap_number(link, "group");
  const auto& groups = user.identity.groups;
  const bool may = (!owner || *owner == user.identity.user) &&
                   (!group || std::find(groups.begin(), groups.end(), *group) != groups.end());
  if (may) return "";
  return "The tap " + link + " is not one of user '" + user.name + "', as whom QEMU runs" + remedy;
}

}  // namespace

client::Result<std::optional<QemuUser>> qemu_user(const Description& description) {
  const auto& run_as = description.run_as;
  if (run_as && !run_as->user.empty()) {
    auto identity = common::find_identity(run_as->user, run_as->group);
    if (!identity) return identity.error();
    return std::optional(QemuUser{run_as->user, std::move(*identity), true});
  }
  const auto name = runas_of(description.arguments);
  if (name.empty()) return std::optional<QemuUser>();
  const auto colon = name.find(':');
  auto identity = common::find_identity(name.substr(0, colon),
                                        colon == std::string::npos ? "" : name.substr(colon + 1));
  if (!identity) return identity.error();
  return std::optional(QemuUser{name, std::move(*identity), false});
}

UserFindings look_at_user(const Config& config) {
  auto user = qemu_user(description_of(config));
  if (!user) return {{user.error().message}, ""};
  if (!*user) return {};
  auto why = denied(**user, config.arguments, own_directory());
  if (why) return {std::move(*why), ""};
  return {{}, "Only root can tell whether user '" + (*user)->name + "' may use the images."};
}

client::Result<std::vector<std::string>> denied(const QemuUser& user,
                                                const std::vector<std::string>& arguments,
                                                const std::string& directory) {
  auto wanted = requirements_of(arguments, directory);
  wanted.erase(std::remove_if(wanted.begin(), wanted.end(),
                              [&](const WaitFor& one) {
                                // The rest is open when QEMU leaves root behind.
                                return user.from_start ? one.kind == Kind::link
                                                       : one.kind != Kind::writable;
                              }),
               wanted.end());
  auto seen = look_as(user.identity, wanted);
  if (!seen) return seen.error();
  std::vector<std::string> sentences;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (is_refused((*seen)[i])) sentences.push_back(sentence(user, wanted[i]));
  }
  if (!user.from_start) return sentences;
  for (const auto& [option, value] : split_arguments(arguments)) {
    if (option != "netdev" && option != "nic" && option != "net") continue;
    auto why = tap_sentence(user, split_value(value));
    if (!why.empty()) sentences.push_back(std::move(why));
  }
  return sentences;
}

}  // namespace handover::vmm
