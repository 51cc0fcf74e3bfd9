// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "common/name.h"

namespace handover::fleet {
namespace {

void add_config(CLI::App* command, std::string& config) {
  command->add_option("--config", config, "The configuration (/etc/handover/fleet.json)")
      ->type_name("FILE");
}

}  // namespace

client::Result<Parsed> parse_options(const std::vector<std::string>& arguments) {
  CLI::App app(
      "The gate of a host in a fleet: its windows, its slot and its health, for handoverd.",
      "handover-fleet");
  app.set_version_flag("--version", "handover-fleet " HANDOVER_VERSION);
  app.require_subcommand(1);

  RunOptions run_options;
  auto* run = app.add_subcommand("run", "Guard this host's updates");
  common::set_usage(run, "handover-fleet run [--config FILE] [--name NAME]");
  add_config(run, run_options.config);
  run->add_option("--name", run_options.name, "Name of the client at handoverd (fleet)")
      ->type_name("NAME");

  CheckOptions check_options;
  auto* check = app.add_subcommand("check", "Only look whether the configuration is right");
  common::set_usage(check, "handover-fleet check [FILE]");
  check->add_option("FILE", check_options.config, "The configuration (/etc/handover/fleet.json)");

  StatusOptions status_options;
  auto* status = app.add_subcommand("status", "What the gate does, and when a window opens");
  common::set_usage(status, "handover-fleet status [--json]");
  status->add_flag("--json", status_options.json, "For programs");

  ReleaseOptions release_options;
  auto* release = app.add_subcommand("release", "Let go of a slot that was kept");
  common::set_usage(release, "handover-fleet release [--name NAME]");
  release->add_option("--name", release_options.name, "Name of the client at handoverd (fleet)")
      ->type_name("NAME");

  auto* lock = app.add_subcommand("lock", "The slots in etcd");
  lock->require_subcommand(1);
  ListOptions list_options;
  auto* list = lock->add_subcommand("list", "Who holds which slot, and since when");
  common::set_usage(list, "handover-fleet lock list [--config FILE] [--json]");
  add_config(list, list_options.config);
  list->add_flag("--json", list_options.json, "For programs");
  BreakOptions break_options;
  auto* break_slot = lock->add_subcommand("break", "Free a slot whose host is gone");
  common::set_usage(break_slot, "handover-fleet lock break [--config FILE] SLOT|HOST|ID");
  add_config(break_slot, break_options.config);
  break_slot->add_option("SLOT", break_options.slot, "Its number, or the host that holds it")
      ->required();

  auto information = common::parse(app, arguments);
  if (!information) return information.error();
  if (*information) return Parsed(std::move(**information));
  for (const auto* name : {&run_options.name, &release_options.name}) {
    if (auto good = common::check_name(*name); !good) return good.error();
  }
  if (run->parsed()) return Parsed(std::move(run_options));
  if (check->parsed()) return Parsed(std::move(check_options));
  if (status->parsed()) return Parsed(status_options);
  if (release->parsed()) return Parsed(std::move(release_options));
  if (list->parsed()) return Parsed(std::move(list_options));
  return Parsed(std::move(break_options));
}

}  // namespace handover::fleet
