// SPDX-License-Identifier: LGPL-2.1-or-later
#include "listen_fds.h"

#include <systemd/sd-daemon.h>

#include <cstdlib>

namespace handover::common {

std::vector<Handed> take_listen_fds() {
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

}  // namespace handover::common
