// SPDX-License-Identifier: LGPL-2.1-or-later
// A program beside a guest's QEMU (swtpm, virtiofsd, passt, …): started before it, ended with it.
#pragma once

#include <sys/types.h>

#include <handover/handover.hpp>
#include <string>
#include <vector>

#include "common/identity.h"
#include "guard.h"
#include "monitor.h"

namespace handover::vmm {

class Helper {
 public:
  /// `identity`: as whom it runs; null: as us.
  static client::Result<Helper> start(const std::vector<std::string>& command,
                                      const common::Identity* identity = nullptr);
  Helper(Helper&& other) noexcept;
  Helper& operator=(Helper&&) = delete;
  /// Asks it to end, and after a second makes it.
  ~Helper();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool runs() const;

 private:
  Helper(std::string name, pid_t pid, Guard guard)
      : name_(std::move(name)), pid_(pid), guard_(std::move(guard)) {}

  std::string name_;
  pid_t pid_;  ///< 0 once moved from
  Guard guard_;
};

/// The programs, and that the sockets to which QEMU will connect are there. An error names the
/// helper that has ended, or the socket that nobody made by `deadline`.
client::Result<std::vector<Helper>> start_helpers(
    const std::vector<std::vector<std::string>>& commands, const std::vector<std::string>& sockets,
    Deadline deadline, const common::Identity* identity = nullptr);

}  // namespace handover::vmm
