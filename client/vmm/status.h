// SPDX-License-Identifier: LGPL-2.1-or-later
// What `handover-vmm run` tells of its guest, in a file for `handover-vmm status` and other
// programs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>

#include "qmp_message.h"

namespace handover::vmm {

/// The latest time that the guest stood still for an update.
struct Carried {
  bool restored = false;           ///< in a new kernel; false: the update did not happen
  std::uint64_t stopped_usec = 0;  ///< from before it was stopped until it ran again
  std::uint64_t state_bytes = 0;

  bool operator==(const Carried&) const = default;
};

struct Status {
  std::string name;
  std::string state;  ///< "waiting", "running", "frozen", "ended"
  pid_t pid = 0;      ///< QEMU's; 0: there is none
  Version version;
  std::uint64_t ram_bytes = 0;
  std::uint64_t state_room = 0;
  std::optional<Carried> carried;
  pid_t program = 0;                ///< handover-vmm's
  std::uint64_t program_start = 0;  ///< by which it is told from a later one of that number
};

std::string to_json(const Status& status);
client::Result<Status> parse_status(const std::string& text);
/// For people.
std::string to_lines(const Status& status);

std::string status_path(const std::string& directory, const std::string& name);
/// Puts it in place of the earlier one, in one step; makes the directory.
client::Result<void> write_status(const std::string& directory, const Status& status);
/// When the process was started, in ticks since the boot; 0 if it is not there.
std::uint64_t start_of(pid_t process);
/// A program that is gone had no time to say that its guest has ended.
client::Result<Status> read_status(const std::string& directory, const std::string& name);

}  // namespace handover::vmm
