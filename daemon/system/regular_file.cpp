// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace handover::system {

Result<UniqueFd> open_regular(const std::string& path) {
  const UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status = {};
  if (!place || ::fstat(place.get(), &status) < 0) return fail_errno("cannot open " + path);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid_argument, path + " is not a regular file");
  }
  // The name may be another's by now.
  const auto same = "/proc/self/fd/" + std::to_string(place.get());
  UniqueFd fd(::open(same.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) return fail_errno("cannot open " + path);
  return fd;
}

}  // namespace handover::system
