// SPDX-License-Identifier: LGPL-2.1-or-later
#include "store.h"

#include <cstdlib>

namespace handover::fleet {
namespace {

std::string directory_from(const char* variable, const char* otherwise) {
  const char* given = getenv(variable);  // NOLINT(concurrency-mt-unsafe): one thread
  const std::string all = given ? given : otherwise;
  return all.substr(0, all.find(':'));
}

}  // namespace

std::string state_directory() {
  return directory_from("STATE_DIRECTORY", "/var/lib/handover/fleet");
}

std::string runtime_directory() {
  return directory_from("RUNTIME_DIRECTORY", "/run/handover-fleet");
}

}  // namespace handover::fleet
