// SPDX-License-Identifier: LGPL-2.1-or-later
// Looks at small files of /proc, /sys and /etc, as far as they can be read.
#pragma once

#include <string>
#include <vector>

namespace handover::system {

/// The text, without white space at its end; "" if it cannot be read. A pipe is not waited for, and
/// no more than 1 MiB are read.
std::string text_in(const std::string& path);

/// Names in a directory, sorted, at most 65,536; empty if it cannot be read.
std::vector<std::string> names_in_directory(const std::string& path);

/// Words of a line, separated by spaces and tabs.
std::vector<std::string> words_of(const std::string& line);

/// Lines of a text.
std::vector<std::string> lines_of(const std::string& text);

/// What a link leads to; "" if it is none.
std::string target_of_link(const std::string& path);

}  // namespace handover::system
