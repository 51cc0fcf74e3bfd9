// SPDX-License-Identifier: LGPL-2.1-or-later
#include "description.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "requirements.h"

namespace handover::vmm {

using nlohmann::json;

bool is_same_guest(const Description& one, const Description& other) {
  return one.qemu == other.qemu && one.arguments == other.arguments && one.memory == other.memory &&
         one.helpers == other.helpers && one.run_as == other.run_as;
}

Description description_of(const Config& config) {
  return {config.qemu,
          config.arguments,
          config.memory,
          config.helpers,
          config.wait_for,
          {},
          RunAs{config.user, config.group}};
}

std::string to_text(const Description& description) {
  std::vector<std::string> wait_for;
  for (const auto& wanted : description.wait_for) wait_for.push_back(to_text(wanted));
  json object = {{"qemu", description.qemu},     {"arguments", description.arguments},
                 {"memory", description.memory}, {"helpers", description.helpers},
                 {"wait-for", wait_for},         {"cpu", to_json(description.cpu)}};
  if (description.run_as) {
    object["user"] = description.run_as->user;
    object["group"] = description.run_as->group;
  }
  return object.dump();
}

client::Result<Description> parse_description(const std::string& text) {
  const client::Error strange{"", "The state does not say of what guest it is.", EBADMSG};
  const auto parsed = json::parse(text, nullptr, false);
  if (!parsed.is_object()) return strange;
  try {
    Description description{parsed.at("qemu").get<std::string>(),
                            parsed.at("arguments").get<std::vector<std::string>>(),
                            parsed.at("memory").get<std::uint64_t>(),
                            {},
                            {},
                            {},
                            {}};
    // What follows an earlier version does not write.
    description.helpers = parsed.value("helpers", description.helpers);
    auto wait_for = common::parse_wait_for(parsed.value("wait-for", std::vector<std::string>()));
    if (!wait_for) return strange;
    description.wait_for = std::move(*wait_for);
    if (parsed.contains("user")) {
      description.run_as =
          RunAs{parsed.at("user").get<std::string>(), parsed.value("group", std::string())};
    }
    description.cpu = cpu_model_of(parsed.value("cpu", json()));
    return description;
  } catch (const json::exception&) {
    return strange;
  }
}

}  // namespace handover::vmm
