// SPDX-License-Identifier: LGPL-2.1-or-later
// Units that the next boot starts, as far as links in /etc/systemd/system say so.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace handover::system {

/// The first of the units that a target there wants ("multi-user.target.wants"); "" if none does.
std::string enabled_unit(std::initializer_list<std::string_view> units,
                         const std::string& root = "");

}  // namespace handover::system
