// SPDX-License-Identifier: LGPL-2.1-or-later
// Times, sizes and bars as people read them; text measured and cut in characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace handover::ctl {

/// "850 µs", "12.3 ms", "1.432 s", "2 min 5 s".
std::string format_duration(std::uint64_t usec);
/// "4096 B" and less as they are, then "64.0 KiB", "256.0 MiB" …
std::string format_bytes(std::uint64_t bytes);
/// A bar of up to `width` characters for `value` of `most`, in eighths of a character; what is not
/// zero shows at least one eighth.
std::string format_bar(std::uint64_t value, std::uint64_t most, std::size_t width);

/// Characters of a UTF-8 text. Each counts as one column.
std::size_t text_width(std::string_view text);
/// At most `width` characters, the last of them "…" if any were cut. Control characters, which
/// could drive the terminal, come out as "?"; so do those that show nothing and change how the rest
/// reads, such as an override of the direction.
std::string fit_text(std::string_view text, std::size_t width);

/// The whole text on one line: for a sentence of somebody else's.
std::string one_line(std::string_view text);

/// The same words in lines of at most `width` characters each, broken at blanks; a word that is
/// longer is broken, too. At least one line.
std::vector<std::string> wrap_text(std::string_view text, std::size_t width);

}  // namespace handover::ctl
