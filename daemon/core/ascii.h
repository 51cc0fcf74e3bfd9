// SPDX-License-Identifier: LGPL-2.1-or-later
// Kinds of ASCII characters, whatever the locale (isdigit() and the like ask it).
#pragma once

namespace handover {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace handover
