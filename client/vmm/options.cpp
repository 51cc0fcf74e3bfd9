// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>

#include "common/name.h"

namespace handover::vmm {
namespace {

constexpr const char* version_line = "handover-vmm " HANDOVER_VERSION;

client::Result<std::uint64_t> parse_wait(double seconds) {
  constexpr double most_seconds = 1e9;
  if (!(seconds >= 0 && seconds <= most_seconds)) {
    return client::Error{"", "--wait takes 0 to 1000000000 seconds.", EINVAL};
  }
  return static_cast<std::uint64_t>(seconds * 1e6);
}

}  // namespace

client::Result<Options> parse_options(std::vector<std::string> arguments) {
  RunOptions run;
  CheckOptions check;
  StatusOptions status;
  double wait_seconds = 90;

  CLI::App app("Runs a QEMU guest that goes on after a kernel update of its host.", "handover-vmm");
  app.set_version_flag("--version", version_line);
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

  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    for (const auto* command : {run_command, check_command, status_command}) {
      if (command->parsed()) return Options(Information{command->help()});
    }
    return Options(Information{app.help()});
  } catch (const CLI::CallForVersion&) {
    return Options(Information{std::string(version_line) + "\n"});
  } catch (const CLI::ParseError& error) {
    return client::Error{"", std::string(error.what()) + ".", EINVAL};
  }

  if (check_command->parsed()) return Options(check);
  const auto& name = run_command->parsed() ? run.name : status.name;
  if (auto good = common::check_name(name); !good) return good.error();
  if (status_command->parsed()) return Options(status);
  auto wait = parse_wait(wait_seconds);
  if (!wait) return wait.error();
  run.wait_usec = *wait;
  return Options(run);
}

}  // namespace handover::vmm
