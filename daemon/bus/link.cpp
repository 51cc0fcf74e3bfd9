// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/link.h"

#include <string_view>

namespace handover::bus {

Result<engine::Caller> caller_of(const Link& link, sd_bus_message* message) {
  constexpr std::uint64_t mask =
      SD_BUS_CREDS_EUID | SD_BUS_CREDS_PID | SD_BUS_CREDS_UNIT | SD_BUS_CREDS_AUGMENT;
  sd_bus_creds* found = nullptr;
  const int result = link.direct ? sd_bus_get_owner_creds(link.bus.get(), mask, &found)
                                 : sd_bus_query_sender_creds(message, mask, &found);
  const CredsPtr creds(found);
  uid_t uid = 0;
  if (result < 0 || sd_bus_creds_get_euid(creds.get(), &uid) < 0) {
    return fail(ErrorCode::access_denied, "The caller's credentials cannot be found out.",
                result < 0 ? -result : 0);
  }
  engine::Caller caller;
  caller.owner.uid = uid;
  const char* unit = nullptr;
  // Scopes (login shells) are new in every boot, so only services are an identity.
  if (sd_bus_creds_get_unit(creds.get(), &unit) >= 0 &&
      std::string_view(unit).ends_with(".service")) {
    caller.owner.unit = unit;
  }
  const char* sender = sd_bus_message_get_sender(message);
  caller.connection = link.direct || sender == nullptr ? link.id : sender;
  return caller;
}

}  // namespace handover::bus
