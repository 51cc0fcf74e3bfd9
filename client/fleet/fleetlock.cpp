// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleetlock.h"

#include <nlohmann/json.hpp>

#include "text.h"

namespace handover::fleet {
namespace {

const char* path_of(FleetLockCall call) {
  return call == FleetLockCall::pre_reboot ? "/v1/pre-reboot" : "/v1/steady-state";
}

/// " (kind): value" of the protocol's error document, as far as it is one.
std::string said_by_server(const Reply& reply) {
  const auto document = nlohmann::json::parse(reply.body, nullptr, false);
  const auto field = [&](const char* name) -> std::string {
    if (!document.is_object()) return "";
    const auto found = document.find(name);
    return found != document.end() && found->is_string() ? one_line(found->get<std::string>()) : "";
  };
  const auto kind = field("kind");
  const auto value = field("value");
  std::string text = " with HTTP status " + std::to_string(reply.status);
  if (!kind.empty()) text += " (" + kind + ")";
  if (!value.empty()) text += ": " + value;
  return text;
}

}  // namespace

Request fleetlock_request(FleetLockCall call, const std::string& group, const std::string& id) {
  const nlohmann::json body = {{"client_params", {{"group", group}, {"id", id}}}};
  return {path_of(call), body.dump(), true};
}

LockOutcome fleetlock_outcome(FleetLockCall call, const Reply& reply, const std::string& url) {
  using Kind = LockOutcome::Kind;
  const bool asks = call == FleetLockCall::pre_reboot;
  LockOutcome outcome;
  const auto server = "The lock's server " + url;
  if (reply.status == 0) {
    outcome.kind = reply.sent ? Kind::uncertain : Kind::untouched;
    outcome.message = server + " gave no answer: " + reply.failure + ".";
  } else if (reply.status >= 200 && reply.status < 300) {
    outcome.kind = asks ? Kind::held : Kind::free;
  } else {
    outcome.kind = asks && reply.status < 500 ? Kind::refused : Kind::uncertain;
    outcome.message = server + " refused " + path_of(call) + said_by_server(reply) + ".";
  }
  return outcome;
}

}  // namespace handover::fleet
