// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-memfd: runs a program with memory that survives kernel updates.
#include <cstdio>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "common/run.h"
#include "memory.h"
#include "options.h"

namespace {

constexpr int wrong_usage = 2;

int run(handover::memfd::Options options) {
  auto memory = std::make_unique<handover::memfd::Memory>(options.keeper.name, options.size);
  return handover::common::run(std::move(options.keeper), std::move(memory));
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
  return run(std::move(std::get<Options>(*parsed)));
}
