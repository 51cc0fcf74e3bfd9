// SPDX-License-Identifier: LGPL-2.1-or-later
// What logind and PID 1 say of the host, for preflight (bus/host_managers.h asks them). What they
// did not answer has its default value, about which nothing is said.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace handover {

/// A lock of logind's on shutdown, of somebody else.
struct Inhibitor {
  std::string who;
  std::string why;
  std::uint32_t process = 0;
  bool blocks = false;  ///< it delays otherwise
};

struct UnitFacts {
  std::string name;
  std::string file_state;  ///< UnitFileState of org.freedesktop.systemd1(5); "" if there is no file
  bool wanted = false;     ///< another unit starts it
};

struct ManagerFacts {
  std::vector<Inhibitor> inhibitors;
  std::string scheduled_shutdown;          ///< "reboot", "poweroff", …; "": none
  std::string system_state;                ///< as `systemctl is-system-running` says it
  std::vector<std::string> shutdown_jobs;  ///< "reboot.target"
  std::vector<UnitFacts> units;
  std::optional<std::uint64_t> fd_store_limit;  ///< of handoverd.service when it starts again
};

}  // namespace handover
