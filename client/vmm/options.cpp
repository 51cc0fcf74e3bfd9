// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "common/name.h"

namespace handover::vmm {
client::Result<Options> parse_options(std::vector<std::string> arguments) {
  RunOptions run;
  CheckOptions check;
  StatusOptions status;
  RestartOptions restart;
  double wait_seconds = 90;

  CLI::App app("Runs a QEMU guest that goes on after a kernel update of its host.", "handover-vmm");
  app.set_version_flag("--version", "handover-vmm " HANDOVER_VERSION);
  app.require_subcommand(1);
  auto* run_command = app.add_subcommand("run", "Run the guest, and carry it through updates");
  run_command->add_option("--name", run.name, "Name of the client and of its session")
      ->required()
      ->type_name("NAME");
  run_command->add_option("--config", run.config, "The guest's configuration, handover-vmm(1)")
      ->required()
      ->type_name("FILE");
  run_command->add_option("--directory", run.directory, "Where the status file goes")
      ->type_name("DIRECTORY");
  run_command
      ->add_option("--wait", wait_seconds, "How long to wait for handoverd at the start (90)")
      ->type_name("SECONDS");
  auto* check_command = app.add_subcommand("check", "Look whether a configuration is right");
  check_command->add_option("FILE", check.config, "The configuration")->required();
  auto* status_command = app.add_subcommand("status", "Tell how a guest is");
  status_command->add_option("NAME", status.name, "The guest")->required();
  status_command->add_flag("--json", status.json, "For programs");
  status_command->add_option("--directory", status.directory, "Where the status file is")
      ->type_name("DIRECTORY");
  auto* restart_command =
      app.add_subcommand("restart", "Put a new QEMU under a guest that goes on");
  restart_command->add_option("NAME", restart.name, "The guest")->required();
  restart_command->add_option("--directory", restart.directory, "Where the status file is")
      ->type_name("DIRECTORY");

  auto information = common::parse(app, std::move(arguments));
  if (!information) return information.error();
  if (*information) return Options(std::move(**information));

  if (check_command->parsed()) return Options(check);
  const auto& name = run_command->parsed()      ? run.name
                     : status_command->parsed() ? status.name
                                                : restart.name;
  if (auto good = common::check_name(name); !good) return good.error();
  if (status_command->parsed()) return Options(status);
  if (restart_command->parsed()) return Options(restart);
  auto wait = common::parse_wait(wait_seconds);
  if (!wait) return wait.error();
  run.wait_usec = *wait;
  return Options(run);
}

}  // namespace handover::vmm
