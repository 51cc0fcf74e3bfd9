// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fleetlock.h"

#include <nlohmann/json.hpp>

#include "text.h"

namespace handover::fleet {
namespace {

const char* path_of(FleetLockCall call) {
  return call == FleetLockCall::pre_reboot ? "/v1/pre-reboot" : "/v1/steady-state";
}

/// The protocol's error document, as far as it is one.
struct Refusal {
  std::string kind, value;
  [[nodiscard]] bool whole() const { return !kind.empty() && !value.empty(); }
};

Refusal refusal_of(const Reply& reply) {
  const auto document = nlohmann::json::parse(reply.body, nullptr, false);
  const auto field = [&](const char* name) -> std::string {
    if (!document.is_object()) return "";
    const auto found = document.find(name);
    return found != document.end() && found->is_string() ? one_line(found->get<std::string>()) : "";
  };
  return {field("kind"), field("value")};
}

std::string said_by_server(const Reply& reply, const Refusal& refusal) {
  std::string text = " with HTTP status " + std::to_string(reply.status);
  if (!refusal.kind.empty()) text += " (" + refusal.kind + ")";
  if (!refusal.value.empty()) text += ": " + refusal.value;
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
    constexpr int request_timeout = 408;  // whose wait it was that ended, it does not say
    const auto refusal = refusal_of(reply);
    const bool is_no = reply.status >= 400 && reply.status < 500 &&
                       reply.status != request_timeout && refusal.whole();
    outcome.kind = asks && is_no ? Kind::refused : Kind::uncertain;
    outcome.message = server + " refused " + path_of(call) + said_by_server(reply, refusal) + ".";
  }
  return outcome;
}

}  // namespace handover::fleet
