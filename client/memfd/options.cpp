// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>

#include "common/name.h"
#include "common/size.h"

namespace handover::memfd {
namespace {

client::Error usage(std::string message) { return {"", std::move(message), EINVAL}; }

/// CLI11 does not know of the COMMAND, which is cut off before it parses.
class RunFormatter : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: handover-memfd run --name NAME --size SIZE [OPTIONS] -- COMMAND...\n";
  }
};

constexpr const char* footer =
    R"(COMMAND gets the memory as file descriptor 3, by the convention of systemd's
socket activation: LISTEN_FDS=1, LISTEN_FDNAMES=NAME. HANDOVER_RESTORED is 1 if
it holds what it held in the earlier kernel, 0 if it is new and all zero.
The exit status is COMMAND's; 125 if handover-memfd itself failed, 126 or 127 if
COMMAND cannot be run, 2 for a wrong command line. See handover-memfd(1).)";

}  // namespace

client::Result<std::variant<Options, Information>> parse_options(
    const std::vector<std::string>& arguments) {
  // COMMAND is cut off first, so that nothing in it is ever taken for an option of ours.
  const auto separator = std::find(arguments.begin(), arguments.end(), "--");
  std::vector<std::string> ours(arguments.begin(), separator);

  Options options;
  std::string size;
  std::string freeze = "auto";
  double wait_seconds = 90;
  CLI::App app("Keeps a program's memory alive through kernel updates, with handoverd.",
               "handover-memfd");
  app.set_version_flag("--version", "handover-memfd " HANDOVER_VERSION);
  app.require_subcommand(1);
  auto* run = app.add_subcommand("run", "Run COMMAND with a memfd that survives kernel updates");
  run->formatter(std::make_shared<RunFormatter>());
  run->footer(footer);
  run->add_option("--name", options.keeper.name, "Name of the client and of its session")
      ->required()
      ->type_name("NAME");
  run->add_option("--size", size, "Bytes of memory; K, M, G and T are understood")
      ->required()
      ->type_name("SIZE");
  run->add_option("--needs", options.keeper.needs,
                  "A client that must be restored before; repeatable")
      ->type_name("NAME")
      ->expected(1)
      ->take_all();
  run->add_option("--freeze", freeze,
                  "How COMMAND is stopped: auto, cgroup, sigstop,\nor signal:SIGNAL[,SIGNAL]")
      ->type_name("METHOD");
  run->add_option("--backend", options.keeper.backend, "Backend of handoverd to use")
      ->type_name("NAME");
  run->add_option("--wait", wait_seconds, "How long to wait for handoverd at the start (90)")
      ->type_name("SECONDS");
  run->add_flag("--optional", options.keeper.optional, "An update may go on without this client");

  std::reverse(ours.begin(), ours.end());  // as CLI11 takes a vector
  try {
    app.parse(ours);
  } catch (const CLI::CallForHelp&) {
    return std::variant<Options, Information>(
        Information{run->parsed() ? run->help() : app.help()});
  } catch (const CLI::CallForVersion&) {
    return std::variant<Options, Information>(Information{"handover-memfd " HANDOVER_VERSION "\n"});
  } catch (const CLI::ParseError& error) {
    return usage(std::string(error.what()) + ".");
  }

  if (auto name = common::check_name(options.keeper.name); !name) return name.error();
  auto bytes = common::parse_size(size);
  if (!bytes) return bytes.error();
  options.size = *bytes;
  auto method = common::parse_freeze_method(freeze);
  if (!method) return method.error();
  options.keeper.freeze = *method;
  constexpr double most_seconds = 1e9;
  if (!(wait_seconds >= 0 && wait_seconds <= most_seconds)) {
    return usage("--wait takes 0 to 1000000000 seconds.");
  }
  options.keeper.wait_usec = static_cast<std::uint64_t>(wait_seconds * 1e6);
  if (separator != arguments.end()) options.keeper.command.assign(separator + 1, arguments.end());
  if (options.keeper.command.empty() || options.keeper.command.front().empty()) {
    return usage("There is no command to run: put it behind '--'.");
  }
  return std::variant<Options, Information>(std::move(options));
}

}  // namespace handover::memfd
