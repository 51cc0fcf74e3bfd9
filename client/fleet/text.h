// SPDX-License-Identifier: LGPL-2.1-or-later
// Texts of others in lines of ours, and bytes in JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace handover::fleet {

/// On one line, printable, 200 bytes at most, without a full stop at its end.
std::string one_line(std::string_view text);

/// RFC 4648, section 4, with padding.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);

}  // namespace handover::fleet
