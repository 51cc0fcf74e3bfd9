// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "common/name.h"
#include "common/size.h"

namespace handover::memfd {
namespace {

constexpr const char* footer =
    R"(COMMAND gets the memory as file descriptor 3, by the convention of systemd's
socket activation: LISTEN_FDS=1, LISTEN_FDNAMES=NAME. HANDOVER_RESTORED is 1 if
it holds what it held in the earlier kernel, 0 if it is new and all zero.
The exit status is COMMAND's; 125 if handover-memfd itself failed, 126 or 127 if
COMMAND cannot be run, 2 for a wrong command line. See handover-memfd(1).)";

}  // namespace

client::Result<std::variant<Options, Information>> parse_options(
    const std::vector<std::string>& arguments) {
  auto line = common::split(arguments);
  Options options;
  std::string size;
  std::string freeze = "auto";
  double wait_seconds = 90;
  CLI::App app("Keeps a program's memory alive through kernel updates, with handoverd.",
               "handover-memfd");
  app.set_version_flag("--version", "handover-memfd " HANDOVER_VERSION);
  app.require_subcommand(1);
  auto* run = app.add_subcommand("run", "Run COMMAND with a memfd that survives kernel updates");
  common::set_usage(run, "handover-memfd run --name NAME --size SIZE [OPTIONS] -- COMMAND...");
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

  auto information = common::parse(app, std::move(line.ours));
  if (!information) return information.error();
  if (*information) return std::variant<Options, Information>(std::move(**information));
  if (auto name = common::check_name(options.keeper.name); !name) return name.error();
  auto bytes = common::parse_size(size);
  if (!bytes) return bytes.error();
  options.size = *bytes;
  auto method = common::parse_freeze_method(freeze);
  if (!method) return method.error();
  options.keeper.freeze = *method;
  auto wait = common::parse_wait(wait_seconds);
  if (!wait) return wait.error();
  options.keeper.wait_usec = *wait;
  options.keeper.command = std::move(line.command);
  if (options.keeper.command.empty() || options.keeper.command.front().empty()) {
    return common::usage("There is no command to run: put it behind '--'.");
  }
  return std::variant<Options, Information>(std::move(options));
}

}  // namespace handover::memfd
