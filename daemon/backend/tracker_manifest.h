// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's manifest in a session of the companion module, "handoverd": for a kernel that has no
// LUO.
//
// Other versions of handoverd read this: as in luo_manifest.h, the highest token is valid. The
// manifest can be written while the module's tables are sealed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/slot_manifest.h"
#include "backend/tracker_device.h"

namespace handover::backend {

class TrackerManifest final : public SlotManifest {
 public:
  explicit TrackerManifest(std::shared_ptr<TrackerDevice> device) : device_(std::move(device)) {}

  Result<std::optional<std::string>> unseal() override;
  Result<void> release() override;
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override;
  Result<void> adopt(std::vector<Adopted::Part>& parts) override;

 private:
  Result<void> keep(int memory) override;
  Result<void> open_session();
  Result<void> retrieve_newest(int session);

  std::shared_ptr<TrackerDevice> device_;
  UniqueFd session_;
  std::uint64_t next_token_ = 0;
  UniqueFd incoming_;  ///< the earlier kernel's, from unseal() to release()
  /// The memfd that it gave, which it does not give twice; or the one that the fd store gave back.
  std::optional<Adopted::Part> given_;
};

}  // namespace handover::backend
