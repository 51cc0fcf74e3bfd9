// SPDX-License-Identifier: LGPL-2.1-or-later
// What the command lines of our clients have in common.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace handover::common {

/// A text for stdout and the end: --help, --version.
struct Information {
  std::string text;
};

/// Writes it. The exit code to end with.
int print(const Information& information);

/// For what is wrong about a command line.
client::Error usage(std::string message);

/// Arguments without argv[0], and the COMMAND behind the first "--", which is cut off so that
/// nothing in it is ever taken for an option of ours.
struct CommandLine {
  std::vector<std::string> ours;
  std::vector<std::string> command;
};
CommandLine split(const std::vector<std::string>& arguments);

/// CLI11 does not know of a COMMAND, which is cut off before it parses: the line is given.
void set_usage(CLI::App* command, std::string line);

/// Parses by `app`; nothing if the arguments are good and ask for no text.
client::Result<std::optional<Information>> parse(CLI::App& app, std::vector<std::string> arguments);

/// What --on-failure was given: "keep" (true) or "discard".
client::Result<bool> parse_on_failure(const std::string& text);

/// What --wait was given, in microseconds.
client::Result<std::uint64_t> parse_wait(double seconds);

}  // namespace handover::common
