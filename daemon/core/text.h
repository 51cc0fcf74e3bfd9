// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes text from outside safe: checks UTF-8, and shows any bytes as one printable line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace handover {

/// Length in bytes of the well-formed UTF-8 sequence that `text` begins with (Unicode 15, table
/// 3-7: no overlong form, no surrogate, nothing above U+10FFFF); 0 if there is none.
std::size_t utf8_sequence_length(std::string_view text);

/// Whether the character that `text` begins with is a control character (U+0000 to U+001F, U+007F
/// to U+009F).
bool starts_with_control(std::string_view text);

/// `text` for a log line or a D-Bus error, both of which must be UTF-8: control characters and
/// bytes that are not UTF-8 become \xNN, and what is longer than `most_bytes` ends in "…".
std::string printable(std::string_view text, std::size_t most_bytes = 256);

/// "a, b, c".
std::string with_commas(const std::vector<std::string>& names);

/// "a, b and 3 more": no more than `most` of them.
std::string few_of(const std::vector<std::string>& names, std::size_t most = 5);

/// printable() inside single quotes.
std::string in_quotes(std::string_view text);

}  // namespace handover
