// SPDX-License-Identifier: LGPL-2.1-or-later
// Who is at the host: sessions and inhibitors of logind, and a word to those who are logged in.
//
// Threads: any; it blocks.
#pragma once

#include <atomic>
#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <vector>

namespace handover::fleet {

/// One entry of org.freedesktop.login1.Manager.ListInhibitors().
struct Inhibitor {
  std::string what, who, why, mode;
  std::uint32_t uid = 0, pid = 0;
};

/// The first that blocks a shutdown, as a sentence; "" if none does. Those of mode "delay" only
/// want to be told, which systemd does in an orderly update.
std::string inhibitor_veto(const std::vector<Inhibitor>& inhibitors);

/// A host without logind has none.
client::Result<std::vector<Inhibitor>> list_inhibitors();
/// The names of the users who have sessions of their own, each once.
client::Result<std::vector<std::string>> logged_in();
/// wall(1)
client::Result<void> tell_everybody(const std::string& message, const std::atomic<bool>& given_up);

/// The newest records of handoverd's history, as JSON; "" if it cannot be had.
std::string read_history();

}  // namespace handover::fleet
