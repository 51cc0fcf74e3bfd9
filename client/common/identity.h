// SPDX-License-Identifier: LGPL-2.1-or-later
// The user and the groups as which COMMAND runs.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <string>
#include <utility>
#include <vector>

namespace handover::common {

struct Identity {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;  ///< all of them
  /// HOME, USER and so on, as a login has them.
  std::vector<std::pair<std::string, std::string>> environment;
};

/// Of a user and a group, by name or number. "" as group: the user's; "" as user: ours.
client::Result<Identity> find_identity(const std::string& user, const std::string& group);

/// In a child, once nothing needs our rights any more. False with errno set.
bool become(const Identity& identity);

/// In a child: its environment. False with errno set.
bool set_environment_of(const Identity& identity);

}  // namespace handover::common
