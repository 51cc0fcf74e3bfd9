// SPDX-License-Identifier: LGPL-2.1-or-later
#include "command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

namespace handover::common {
namespace {

class UsageFormatter : public CLI::Formatter {
 public:
  explicit UsageFormatter(std::string line) : line_(std::move(line)) {}
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: " + line_ + "\n";
  }

 private:
  std::string line_;
};

}  // namespace

int print(const Information& information) {
  return fputs(information.text.c_str(), stdout) < 0 || fflush(stdout) != 0 ? 1 : 0;
}

client::Error usage(std::string message) { return {"", std::move(message), EINVAL}; }

CommandLine split(const std::vector<std::string>& arguments) {
  const auto separator = std::find(arguments.begin(), arguments.end(), "--");
  CommandLine line;
  line.ours.assign(arguments.begin(), separator);
  if (separator != arguments.end()) line.command.assign(separator + 1, arguments.end());
  return line;
}

void set_usage(CLI::App* command, std::string line) {
  command->formatter(std::make_shared<UsageFormatter>(std::move(line)));
}

client::Result<std::optional<Information>> parse(CLI::App& app,
                                                 std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    const auto commands = app.get_subcommands();
    return std::optional(
        Information{commands.empty() ? app.help() : commands.front()->help(app.get_name())});
  } catch (const CLI::CallForVersion& version) {
    return std::optional(Information{std::string(version.what()) + "\n"});
  } catch (const CLI::ParseError& error) {
    return usage(std::string(error.what()) + ".");
  }
  return std::optional<Information>();
}

client::Result<bool> parse_on_failure(const std::string& text) {
  if (text == "keep") return true;
  if (text == "discard") return false;
  return usage("'" + text +
               "' is neither keep nor discard: what becomes of a failed command's "
               "state.");
}

client::Result<std::uint64_t> parse_wait(double seconds) {
  constexpr double most_seconds = 1e9;
  if (!(seconds >= 0 && seconds <= most_seconds)) {
    return usage("--wait takes 0 to 1000000000 seconds.");
  }
  return static_cast<std::uint64_t>(seconds * 1e6);
}

}  // namespace handover::common
