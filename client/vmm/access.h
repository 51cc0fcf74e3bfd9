// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether the user as whom QEMU runs may use what the guest needs of the host.
#pragma once

#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/identity.h"
#include "config.h"
#include "description.h"

namespace handover::vmm {

struct QemuUser {
  std::string name;  ///< as it was given
  common::Identity identity;
  /// QEMU is started as this user ("user"); else it opens all as root, and becomes this user then
  /// (-runas).
  bool from_start = false;
};

/// None: it stays what we are. Error: there is no such user or group.
client::Result<std::optional<QemuUser>> qemu_user(const Description& description);

/// A sentence for each thing that the user lacks: an image, a device, a tap. What is not there is
/// none of them. A path that does not begin with '/' is taken from `directory`. Error: we are
/// neither root nor that user, and cannot tell.
client::Result<std::vector<std::string>> denied(const QemuUser& user,
                                                const std::vector<std::string>& arguments,
                                                const std::string& directory);

/// For `handover-vmm check`, as sentences.
struct UserFindings {
  std::vector<std::string> refused;  ///< the guest would not start, or not go on
  std::string advice;                ///< ""; or that it cannot be told
};
UserFindings look_at_user(const Config& config);

}  // namespace handover::vmm
