// SPDX-License-Identifier: LGPL-2.1-or-later
// The words of docs/dbus.md for the daemon's states and a client's phases.
#pragma once

#include <array>

namespace handover::ctl {

inline constexpr std::array state_words = {"normal",  "preparing",  "prepared",  "freezing",
                                           "frozen",  "rebooting",  "restoring", "cancelling",
                                           "thawing", "withdrawing"};
inline constexpr std::array phase_words = {"idle",    "preparing", "prepared", "freezing", "frozen",
                                           "thawing", "restoring", "restored", "given_up", "gone"};

}  // namespace handover::ctl
