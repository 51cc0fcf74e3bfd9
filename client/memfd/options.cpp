// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "common/name.h"
#include "common/size.h"

namespace handover::memfd {
namespace {

constexpr const char* footer =
    R"(COMMAND gets the memory as descriptor 3, as systemd hands over sockets: NAME is
in LISTEN_FDNAMES. HANDOVER_RESTORED is 1 if it holds what it held before. See
handover-memfd(1), also for the exit status.)";

}  // namespace

client::Result<Parsed> parse_options(const std::vector<std::string>& arguments) {
  auto line = common::split(arguments);
  Options options;
  std::string size;
  std::string freeze = "auto";
  std::string on_failure = "keep";
  std::vector<std::string> wait_for;
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
  run->add_option("--wait", wait_seconds, "How long to wait for all that at the start (90)")
      ->type_name("SECONDS");
  run->add_option("--wait-for", wait_for, "PATH or KIND:NAME that must be there; repeatable")
      ->type_name("WHAT")
      ->expected(1)
      ->take_all();
  run->add_option("--on-failure", on_failure, "The memory of a failed COMMAND: keep, discard")
      ->type_name("WHAT");
  run->add_option("--user", options.keeper.user, "Run COMMAND as that user")->type_name("USER");
  run->add_option("--group", options.keeper.group, "Run COMMAND as that group")->type_name("GROUP");
  run->add_flag("--notify", options.keeper.notify, "COMMAND says READY=1 (sd_notify(3))");
  run->add_flag("--optional", options.keeper.optional, "An update may go on without this client");

  Restart wanted;
  auto* restart = app.add_subcommand("restart", "Start COMMAND anew, with the same memory");
  common::set_usage(restart, "handover-memfd restart --name NAME");
  restart->add_option("--name", wanted.name, "Name of the client that runs")
      ->required()
      ->type_name("NAME");

  auto information = common::parse(app, std::move(line.ours));
  if (!information) return information.error();
  if (*information) return Parsed(std::move(**information));
  if (restart->parsed()) {
    if (auto name = common::check_name(wanted.name); !name) return name.error();
    return Parsed(std::move(wanted));
  }
  if (auto name = common::check_name(options.keeper.name); !name) return name.error();
  auto bytes = common::parse_size(size);
  if (!bytes) return bytes.error();
  options.size = *bytes;
  auto method = common::parse_freeze_method(freeze);
  if (!method) return method.error();
  options.keeper.freeze = *method;
  auto keep = common::parse_on_failure(on_failure);
  if (!keep) return keep.error();
  options.keeper.keep_on_failure = *keep;
  auto waits = common::parse_wait_for(wait_for);
  if (!waits) return waits.error();
  options.keeper.wait_for = std::move(*waits);
  auto wait = common::parse_wait(wait_seconds);
  if (!wait) return wait.error();
  options.keeper.wait_usec = *wait;
  options.keeper.command = std::move(line.command);
  if (options.keeper.command.empty() || options.keeper.command.front().empty()) {
    return common::usage("There is no command to run: put it behind '--'.");
  }
  return Parsed(std::move(options));
}

}  // namespace handover::memfd
