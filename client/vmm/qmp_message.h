// SPDX-License-Identifier: LGPL-2.1-or-later
// The QEMU Machine Protocol's messages as plain values (docs/interop/qmp-spec in QEMU).
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace handover::vmm {

struct Version {
  int major = 0;
  int minor = 0;
};

struct Greeting {
  Version version;
};
/// The answers to a command. One without an id answers none of ours: QEMU did not understand.
struct Return {
  std::optional<std::uint64_t> id;
  nlohmann::json value;
};
struct Refusal {
  std::optional<std::uint64_t> id;
  std::string reason;
};
struct Event {
  std::string name;
  nlohmann::json data;
};
using Message = std::variant<Greeting, Return, Refusal, Event>;

/// One line of QEMU's.
client::Result<Message> parse_message(std::string_view line);

/// One line of ours, with its end. `arguments` may be null.
std::string make_command(std::uint64_t id, const std::string& name,
                         const nlohmann::json& arguments);

}  // namespace handover::vmm
