// SPDX-License-Identifier: LGPL-2.1-or-later
// What a QEMU is made of, as its monitor tells it, and in what it differs from what its arguments
// made: that would be gone, or back, in the next QEMU.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace handover::vmm {

/// The answers of the monitor, as they are.
// NOLINTNEXTLINE(bugprone-exception-escape): of json, whose move does not throw
struct Answers {
  nlohmann::json nodes;       ///< query-named-block-nodes
  nlohmann::json drives;      ///< query-block
  nlohmann::json jobs;        ///< query-jobs
  nlohmann::json exports;     ///< query-block-exports
  nlohmann::json peripheral;  ///< qom-list of /machine/peripheral
  nlohmann::json anonymous;   ///< qom-list of /machine/peripheral-anon
  nlohmann::json objects;     ///< qom-list of /objects
  nlohmann::json cpus;        ///< query-cpus-fast
  nlohmann::json memory;      ///< query-memory-devices
};

struct BlockNode {
  std::string file;
  bool loses_writes = false;             ///< what is written there ends with QEMU
  std::vector<std::string> short_lived;  ///< bitmaps that are in no image

  bool operator==(const BlockNode&) const = default;
};

struct Drive {
  std::string file;                    ///< "": no medium
  std::map<std::string, long> limits;  ///< of I/O, those that are set

  bool operator==(const Drive&) const = default;
};

/// All by name, with the type or a description where there is nothing else.
struct Inventory {
  std::map<std::string, BlockNode> nodes;
  std::map<std::string, Drive> drives;
  std::map<std::string, std::string> jobs;
  std::map<std::string, std::string> exports;
  std::map<std::string, std::string> devices;  ///< without processors
  std::map<std::string, std::string> objects;
  std::map<std::string, std::string> cpus;
  std::map<std::string, std::string> memory;

  bool operator==(const Inventory&) const = default;
};

Inventory inventory_of(const Answers& answers);

/// Why the next QEMU, started as this one was when it was made of `start`, would not be what this
/// one is `now`: sentences that name the culprit and say what to do. None: it would.
std::vector<std::string> obstacles(const Inventory& start, const Inventory& now);

}  // namespace handover::vmm
