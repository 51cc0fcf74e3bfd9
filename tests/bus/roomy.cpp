// SPDX-License-Identifier: LGPL-2.1-or-later
#include "roomy.h"

#include <sys/resource.h>

#include <cerrno>
#include <fstream>

#include "event_loop.h"

namespace handover::test {

nlohmann::json roomy_configuration() {
  std::ifstream file(HANDOVER_SOURCE_DIR "/config/handoverd.schema.json");
  const auto fields = nlohmann::json::parse(file)["properties"];
  nlohmann::json config;
  for (const auto* limit :
       {"max_clients_per_user", "max_sessions_per_user", "max_descriptors_per_user"}) {
    if (fields.contains(limit)) config[limit] = fields[limit]["maximum"];
  }
  return config;
}

void raise_descriptor_limit() {
  rlimit limit{};
  must(getrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0, "getrlimit");
  limit.rlim_cur = limit.rlim_max;
  must(setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0, "setrlimit");
}

}  // namespace handover::test
