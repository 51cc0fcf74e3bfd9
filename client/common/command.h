// SPDX-License-Identifier: LGPL-2.1-or-later
// COMMAND as a child process: its start with descriptors from fd 3 on, and whether it stands still.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "identity.h"

namespace handover::common {

/// A descriptor to hand over; the name goes into LISTEN_FDNAMES.
struct Handed {
  int fd = -1;
  std::string name;
};

struct Start {
  std::vector<std::string> arguments;  ///< the first is looked up in $PATH
  std::vector<Handed> descriptors;     ///< become fd 3, 4, … in this order
  std::vector<std::pair<std::string, std::string>> environment;  ///< set besides LISTEN_*
  bool quiesced = true;                                          ///< HANDOVER_QUIESCED
  bool restored = false;                                         ///< HANDOVER_RESTORED
  int cgroup_procs = -1;             ///< joined by writing "0"; -1: stays in ours
  std::optional<Identity> identity;  ///< none: ours
  std::string notify_socket;         ///< where it says READY=1; "": nowhere
};

/// The new process, leader of its own process group, which has our terminal if we have one on
/// stdin. It is killed when we end: what was handed to it is the next one's then. Returns once it
/// executes COMMAND; an error carries the errno of execvp().
client::Result<pid_t> start_command(const Start& start);

/// Does the group of processes have the terminal on stdin?
bool has_terminal(pid_t group);
/// It is ours again, when `group` has it.
void take_terminal_back(pid_t group);

/// One line of /proc/<pid>/stat.
struct ProcessStat {
  std::string name;
  char state = '?';
  pid_t parent = 0;
  pid_t group = 0;
};
client::Result<ProcessStat> parse_stat(std::string_view line);

/// Are all threads of all processes in the group stopped (or dead)? True also for none left.
client::Result<bool> group_is_stopped(pid_t group);

}  // namespace handover::common
