// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-memfd: runs a program with memory that survives kernel updates.
#include <cstdio>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/listen_fds.h"
#include "common/restart_socket.h"
#include "common/run.h"
#include "memory.h"
#include "options.h"

namespace {

constexpr int wrong_usage = 2;

int run(handover::memfd::Options options) {
  options.keeper.runtime_directory = handover::common::runtime_directory("handover-memfd");
  options.keeper.inherited = handover::common::take_listen_fds();
  auto memory = std::make_unique<handover::memfd::Memory>(options.keeper.name, options.size);
  return handover::common::run(std::move(options.keeper), std::move(memory));
}

int restart(const handover::memfd::Restart& wanted) {
  const auto directory = handover::common::runtime_directory("handover-memfd");
  auto restarted = handover::common::request_restart(directory, wanted.name);
  if (restarted) return 0;
  fprintf(stderr, "handover-memfd: %s\n", restarted.error().message.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  using handover::memfd::Information;
  using handover::memfd::Options;
  auto parsed = handover::memfd::parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed) {
    fprintf(stderr, "handover-memfd: %s\nTry 'handover-memfd run --help'.\n",
            parsed.error().message.c_str());
    return wrong_usage;
  }
  if (const auto* information = std::get_if<Information>(&*parsed)) {
    return handover::common::print(*information);
  }
  if (const auto* wanted = std::get_if<handover::memfd::Restart>(&*parsed)) {
    return restart(*wanted);
  }
  return run(std::move(std::get<Options>(*parsed)));
}
