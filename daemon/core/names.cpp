// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/names.h"

#include <string>

#include "core/text.h"

namespace handover {

namespace {

/// The session that systemd 261 and later makes for its own fd store (src/core/luo.c).
constexpr std::string_view systemd_session_name = "systemd";

}  // namespace

Result<void> check_name(std::string_view name) {
  const auto refuse = [name](const std::string& why) {
    return fail(ErrorCode::invalid_name, "the name " + in_quotes(name) + " " + why);
  };
  if (name.empty()) {
    return fail(ErrorCode::invalid_name, "a name may not be empty; give 1 to 63 bytes of UTF-8");
  }
  if (name.size() > max_name_bytes) {
    return refuse("has " + std::to_string(name.size()) + " bytes; at most " +
                  std::to_string(max_name_bytes) + " are allowed");
  }
  if (name == "." || name == "..") return refuse("is a directory's; choose another");
  for (std::string_view rest = name; !rest.empty();) {
    const std::size_t length = utf8_sequence_length(rest);
    if (length == 0) return refuse("is not UTF-8");
    if (rest.front() == '/') return refuse("has a '/', which is not allowed");
    if (starts_with_control(rest)) return refuse("has a control character, which is not allowed");
    rest.remove_prefix(length);
  }
  return {};
}

Result<void> check_session_name(std::string_view name) {
  if (auto checked = check_name(name); !checked) return checked;
  if (name == systemd_session_name) {
    return fail(ErrorCode::invalid_name,
                "the session name 'systemd' belongs to PID 1; choose another");
  }
  if (name == manifest_session_name) {
    return fail(ErrorCode::invalid_name,
                "the session name 'handoverd' belongs to the daemon's own state; choose another");
  }
  return {};
}

}  // namespace handover
