// SPDX-License-Identifier: LGPL-2.1-or-later
#include "description.h"

#include <cerrno>
#include <nlohmann/json.hpp>

namespace handover::vmm {

using nlohmann::json;

Description description_of(const Config& config) {
  return {config.qemu, config.arguments, config.memory};
}

std::string to_text(const Description& description) {
  return json{{"qemu", description.qemu},
              {"arguments", description.arguments},
              {"memory", description.memory}}
      .dump();
}

client::Result<Description> parse_description(const std::string& text) {
  const client::Error strange{"", "The state does not say of what guest it is.", EBADMSG};
  const auto parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return strange;
  try {
    return Description{parsed.at("qemu").get<std::string>(),
                       parsed.at("arguments").get<std::vector<std::string>>(),
                       parsed.at("memory").get<std::uint64_t>()};
  } catch (const json::exception&) {
    return strange;
  }
}

}  // namespace handover::vmm
