// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/held_call.h"

#include <cerrno>
#include <chrono>
#include <optional>
#include <string>

#include "system/log.h"

namespace handover::bus {

void HeldCall::tell_unsent(sd_bus_message* call, int result) {
  if (result == -ENOTCONN || result == -ECONNRESET) return;  // the caller has left
  reply_error(call, fail_errno("answering the call", -result).value());
}

void HeldCall::tell_limit(const Owner& owner, const Error& error) {
  using Clock = std::chrono::steady_clock;
  constexpr auto pause = std::chrono::seconds(10);
  static std::optional<Clock::time_point> told;
  static std::uint64_t untold = 0;
  const auto now = Clock::now();
  if (told && now - *told < pause) {
    ++untold;
    return;
  }
  told = now;
  const auto who = owner.unit.empty() ? std::to_string(owner.uid) : owner.unit;
  log::event(log::Id::limit_refused, log::Level::warning,
             {{log::Field::unit, who},
              {log::Field::code, std::string(to_string(error.code))},
              {log::Field::count, std::exchange(untold, 0)}},
             "Refused for ", owner.unit.empty() ? "uid " : "", who, ": ", error.message);
}

Reply<void> empty_reply(HeldCallPtr call) {
  return [call = std::move(call)](const Result<void>& result) {
    if (!result) return call->refuse(result.error());
    call->answer("");
  };
}

Reply<UniqueFd> descriptor_reply(HeldCallPtr call) {
  return [call = std::move(call)](const Result<UniqueFd>& fd) {
    if (!fd) return call->refuse(fd.error());
    call->answer("h", fd->get());
  };
}

}  // namespace handover::bus
