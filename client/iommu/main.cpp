// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-iommu: keeps a VFIO device and its DMA map through kernel updates.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/listen_fds.h"
#include "common/restart_socket.h"
#include "common/run.h"
#include "config.h"
#include "kept_device.h"
#include "options.h"

namespace {

using handover::common::Handed;

constexpr int wrong_usage = 2;

int complain(const handover::client::Error& error) {
  fprintf(stderr, "handover-iommu: %s\n", error.message.c_str());
  return wrong_usage;
}

/// Those that are no memory of the configuration's are COMMAND's.
std::vector<Handed> others(const std::vector<Handed>& inherited,
                           const handover::iommu::Config& config) {
  std::vector<Handed> rest;
  for (const auto& handed : inherited) {
    const auto& memories = config.memories;
    const bool is_memory = std::any_of(memories.begin(), memories.end(), [&](const auto& memory) {
      return memory.token == 0 && memory.name == handed.name;
    });
    if (!is_memory) rest.push_back(handed);
  }
  return rest;
}

int run(const handover::iommu::Options& options) {
  auto config = handover::iommu::read_config(options.config);
  if (!config) return complain(config.error());
  if (!options.command.empty()) config->keeper.command = options.command;
  if (config->keeper.command.empty() || config->keeper.command.front().empty()) {
    return complain({"",
                     options.config + ": there is no command to run: name it in \"command\", or "
                                      "put it behind '--'.",
                     0});
  }
  if (options.check) return 0;
  auto keeper = config->keeper;
  keeper.name = options.name;
  keeper.runtime_directory = handover::common::runtime_directory("handover-iommu");
  auto inherited = handover::common::take_listen_fds();
  keeper.inherited = others(inherited, *config);
  auto device =
      std::make_unique<handover::iommu::KeptDevice>(std::move(*config), std::move(inherited));
  return handover::common::run(std::move(keeper), std::move(device));
}

int restart(const handover::iommu::Restart& wanted) {
  const auto directory = handover::common::runtime_directory("handover-iommu");
  auto restarted = handover::common::request_restart(directory, wanted.name);
  if (restarted) return 0;
  complain(restarted.error());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using handover::iommu::Information;
  using handover::iommu::Options;
  using handover::iommu::Restart;
  auto parsed = handover::iommu::parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed) {
    complain(parsed.error());
    fputs("Try 'handover-iommu run --help'.\n", stderr);
    return wrong_usage;
  }
  if (const auto* information = std::get_if<Information>(&*parsed)) {
    return handover::common::print(*information);
  }
  if (const auto* wanted = std::get_if<Restart>(&*parsed)) return restart(*wanted);
  return run(std::get<Options>(*parsed));
}
