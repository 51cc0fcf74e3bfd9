// SPDX-License-Identifier: LGPL-2.1-or-later
// The service manager's end of NOTIFY_SOCKET: receives notifications and keeps descriptors.
#pragma once

#include <string>
#include <vector>

#include "core/unique_fd.h"
#include "directory.h"

namespace handover::system::test {

class ServiceManager {
 public:
  /// Listens, and points NOTIFY_SOCKET at itself until destroyed.
  ServiceManager();
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  struct Notification {
    std::string text;
    std::vector<UniqueFd> fds;
  };
  /// The next one that was sent; an empty one if there is none.
  Notification receive();

 private:
  Directory directory_;
  UniqueFd socket_;
};

}  // namespace handover::system::test
