// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update asks of a guest's QEMU, over its monitor: may it be carried, write its device
// state, read it again. The guest's RAM is never part of it.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>

#include "monitor.h"
#include "state_memory.h"

namespace handover::vmm {

/// A QEMU to talk to. It outlives nothing: made for a few calls.
struct Peer {
  Monitor& monitor;
  Version version;
  std::uint64_t command_usec = 0;  ///< the time limit of a command; the deadline may be earlier

  client::Result<nlohmann::json> call(const std::string& name, const nlohmann::json& arguments,
                                      Deadline deadline, int passed = -1) const;
};

/// As query-status has it: "running", "paused", …
client::Result<std::string> run_state(const Peer& peer, Deadline deadline);
client::Result<void> stop_guest(const Peer& peer, Deadline deadline);
client::Result<void> continue_guest(const Peer& peer, Deadline deadline);

/// The run state, if a guest can be carried in it.
client::Result<std::string> state_to_carry(const Peer& peer, Deadline deadline);

/// Can this guest be carried? An error names what is in the way. A guest that runs may stand still
/// for some milliseconds: that a device's state cannot be saved QEMU tells only when a migration
/// begins, so one is begun, to nowhere, and cancelled. All is then as it was.
client::Result<void> check_portable(const Peer& peer, Deadline deadline);

/// QEMU's settings for migrations, as it had them at its start.
client::Result<void> put_settings_back(const Peer& peer, Deadline deadline);

/// Writes the device state of a guest that stands still, which stays so.
client::Result<void> save_state(const Peer& peer, StateMemory& memory, Deadline deadline);
/// Ends what save_state() may have begun.
void cancel_saving(const Peer& peer, Deadline deadline);

/// For a QEMU that was started to wait for it: reads the state. The guest stands still then.
client::Result<void> load_state(const Peer& peer, const StateMemory& memory,
                                const StateHeader& header, Deadline deadline);

}  // namespace handover::vmm
