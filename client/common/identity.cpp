// SPDX-License-Identifier: LGPL-2.1-or-later
#include "identity.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>

#include "file.h"

namespace handover::common {
namespace {

/// (uid_t)-1 and (gid_t)-1 are nobody's: setuid(2) refuses one, setresuid(2) means "unchanged".
std::optional<uid_t> number_of(const std::string& text) {
  uid_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number == static_cast<uid_t>(-1)) {
    return std::nullopt;
  }
  return number;
}

client::Error unknown(const std::string& what, const std::string& name) {
  return {"", "There is no " + what + " '" + name + "'.", EINVAL};
}

/// One thread looks these up.
const passwd* user_of(const std::string& name, std::optional<uid_t> number) {
  return number ? getpwuid(*number) : getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe)
}

client::Result<gid_t> group_of(const std::string& name) {
  if (auto number = number_of(name)) return gid_t{*number};
  const auto* const found = getgrnam(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (found == nullptr) return unknown("group", name);
  return found->gr_gid;
}

std::vector<gid_t> groups_of(const char* user, gid_t group) {
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (getgrouplist(user, group, groups.data(), &count) < 0) {
    groups.resize(std::max(static_cast<std::size_t>(count), groups.size() * 2));
    count = static_cast<int>(groups.size());
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

}  // namespace

client::Result<Identity> find_identity(const std::string& user, const std::string& group) {
  Identity identity;
  identity.user = getuid();
  identity.group = getgid();
  identity.groups = {identity.group};
  if (!group.empty()) {
    auto found = group_of(group);
    if (!found) return found.error();
    identity.group = *found;
    identity.groups = {*found};
  }
  if (user.empty()) return identity;
  const auto number = number_of(user);
  const auto* const entry = user_of(user, number);
  if (entry == nullptr && !number) return unknown("user", user);
  if (entry == nullptr && group.empty()) {
    return client::Error{"", "User " + user + " has no group: give one.", EINVAL};
  }
  identity.user = number ? *number : entry->pw_uid;
  if (entry == nullptr) return identity;
  const std::string name = entry->pw_name;
  identity.environment = {
      {"HOME", entry->pw_dir}, {"USER", name}, {"LOGNAME", name}, {"SHELL", entry->pw_shell}};
  if (group.empty()) identity.group = entry->pw_gid;
  identity.groups = groups_of(name.c_str(), identity.group);
  return identity;
}

bool set_environment_of(const Identity& identity) {
  return std::all_of(identity.environment.begin(), identity.environment.end(),
                     [](const auto& variable) {
                       // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
                       return setenv(variable.first.c_str(), variable.second.c_str(), 1) == 0;
                     });
}

bool become(const Identity& identity) {
  // Who has no right to change them may stay what he is.
  if (geteuid() != 0 && identity.user == getuid() && identity.group == getgid()) return true;
  if (setgroups(identity.groups.size(), identity.groups.data()) < 0) return false;
  if (setresgid(identity.group, identity.group, identity.group) < 0) return false;
  return setresuid(identity.user, identity.user, identity.user) == 0;
}

}  // namespace handover::common
