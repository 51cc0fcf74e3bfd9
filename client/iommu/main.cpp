// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-iommu: keeps a VFIO device and its DMA map through kernel updates.
#include <systemd/sd-daemon.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <variant>
#include <vector>

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

/// What this program was started with, by the convention of sd_listen_fds(3).
std::vector<Handed> inherited() {
  std::vector<Handed> descriptors;
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    descriptors.push_back({SD_LISTEN_FDS_START + i, names[i]});
    free(names[i]);
  }
  free(names);
  return descriptors;
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
  auto device = std::make_unique<handover::iommu::KeptDevice>(std::move(*config), inherited());
  return handover::common::run(std::move(keeper), std::move(device));
}

}  // namespace

int main(int argc, char** argv) {
  using handover::iommu::Information;
  using handover::iommu::Options;
  auto parsed = handover::iommu::parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed) {
    complain(parsed.error());
    fputs("Try 'handover-iommu run --help'.\n", stderr);
    return wrong_usage;
  }
  if (const auto* information = std::get_if<Information>(&*parsed)) {
    return handover::common::print(*information);
  }
  return run(std::get<Options>(*parsed));
}
