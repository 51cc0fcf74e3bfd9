// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's manifest in a session of the companion module, "handoverd": for a kernel that has no
// LUO.
//
// Layout, which an older or newer handoverd must find too: as in luo_manifest.h, the highest token
// is the valid one, with a text and zeroes behind it. A text that fits is written in place, also
// while the module's tables are sealed; a larger memfd takes the place of one that is too small.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "backend/tracker_device.h"
#include "core/error.h"

namespace handover::backend {

class TrackerManifest {
 public:
  explicit TrackerManifest(std::shared_ptr<TrackerDevice> device) : device_(std::move(device)) {}

  Result<void> seal(std::string_view text);
  Result<std::optional<std::string>> unseal();
  /// Before the tables are sealed: makes sure that a text somewhat longer than the last one fits.
  Result<void> make_room();

 private:
  Result<void> open_session();
  Result<void> preserve_larger(std::string_view text);

  std::shared_ptr<TrackerDevice> device_;
  UniqueFd session_;
  UniqueFd memory_;  ///< what the highest token preserves, if this process made it
  std::uint64_t memory_size_ = 0;
  std::uint64_t next_token_ = 0;
  std::string text_;  ///< the last one
};

}  // namespace handover::backend
