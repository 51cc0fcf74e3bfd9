// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration of one guest, /etc/handover/vmm/NAME.json, as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/wait_for.h"

namespace handover::vmm {

/// All in microseconds.
struct Limits {
  std::uint64_t start = 60'000'000;     ///< from QEMU's start to its first word
  std::uint64_t command = 5'000'000;    ///< one QMP command
  std::uint64_t prepare = 30'000'000;   ///< the client's Prepare, as handoverd counts it
  std::uint64_t freeze = 30'000'000;    ///< Freeze: the guest stopped and its state written
  std::uint64_t restore = 120'000'000;  ///< Restore: QEMU started, its state read
  std::uint64_t shutdown = 30'000'000;  ///< the guest's own power-off when the unit is stopped
};

struct Config {
  std::string qemu = "qemu-system-x86_64";
  std::vector<std::string> arguments;  ///< QEMU's own, as they are
  std::uint64_t memory = 0;            ///< bytes of guest RAM
  std::uint64_t hugepages = 0;         ///< bytes of a huge page; 0: pages of the usual size
  std::uint64_t state = 32 << 20;      ///< bytes of room for the device state
  std::string backend;                 ///< "": the daemon's choice
  std::vector<std::string> needs;
  bool optional = false;
  std::vector<common::WaitFor> wait_for;          ///< before QEMU is started
  std::vector<std::vector<std::string>> helpers;  ///< commands, started before QEMU
  std::string user;                               ///< as whom QEMU runs; "": as us
  std::string group;                              ///< "": the user's
  std::string guest_agent;                        ///< its socket; "": it is asked nothing
  Limits limits;
};

/// An error names the file, the line or the field, and what is allowed there.
client::Result<Config> parse_config(const std::string& text, const std::string& file);
client::Result<Config> read_config(const std::string& file);

}  // namespace handover::vmm
