// SPDX-License-Identifier: LGPL-2.1-or-later
#include "log.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace handover::common {

void say(const char* level, const std::string& message) {
  fprintf(stderr, "%s%s: %s\n", getenv("JOURNAL_STREAM") ? level : "",
          program_invocation_short_name,
          message.c_str());  // NOLINT(concurrency-mt-unsafe): one thread
}

}  // namespace handover::common
