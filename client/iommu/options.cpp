// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "common/name.h"

namespace handover::iommu {
namespace {

constexpr const char* footer =
    R"(COMMAND, or the configuration's "command" if none is given here, gets from file
descriptor 3 on: control, device, iommufd and each memory, named by
LISTEN_FDNAMES. HANDOVER_IOAS is the number of the IOAS, HANDOVER_RESTORED is 1
if memory and mappings are those of the earlier kernel. It adds and removes
mappings with <handover/iommu.h>.
The exit status is COMMAND's; 125 if handover-iommu itself failed, 126 or 127 if
COMMAND cannot be run, 2 for a wrong command line or configuration. See
handover-iommu(1).)";

}  // namespace

client::Result<Parsed> parse_options(const std::vector<std::string>& arguments) {
  auto line = common::split(arguments);
  Options options;
  CLI::App app("Keeps a VFIO device and its DMA map through kernel updates, with handoverd.",
               "handover-iommu");
  app.set_version_flag("--version", "handover-iommu " HANDOVER_VERSION);
  app.require_subcommand(1);
  auto* run = app.add_subcommand("run", "Run COMMAND with a device that survives kernel updates");
  common::set_usage(run, "handover-iommu run --name NAME --config FILE [--check] [-- COMMAND...]");
  run->footer(footer);
  run->add_option("--name", options.name, "Name of the client and of its session")
      ->required()
      ->type_name("NAME");
  run->add_option("--config", options.config, "The configuration, a JSON file")
      ->required()
      ->type_name("FILE");
  run->add_flag("--check", options.check, "Only look whether the configuration is right");

  Restart wanted;
  auto* restart =
      app.add_subcommand("restart", "Start COMMAND anew, with the same device, memory and map");
  restart->add_option("NAME", wanted.name, "Name of the client that runs")->required();

  auto information = common::parse(app, std::move(line.ours));
  if (!information) return information.error();
  if (*information) return Parsed(std::move(**information));
  if (restart->parsed()) {
    if (auto name = common::check_name(wanted.name); !name) return name.error();
    return Parsed(std::move(wanted));
  }
  if (auto name = common::check_name(options.name); !name) return name.error();
  options.command = std::move(line.command);
  return Parsed(std::move(options));
}

}  // namespace handover::iommu
