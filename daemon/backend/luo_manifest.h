// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's manifest in a LUO session of its own, "handoverd".
// Other versions of handoverd read this: tokens 0, 1, … are memfds with the manifest in slots
// (slots.h), or with the text alone in older versions. The highest token is valid. When a memfd
// becomes too small, a larger one is preserved under the next token, so that there is always one.
// LUO cannot unpreserve the small one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/luo_device.h"
#include "backend/slot_manifest.h"

namespace handover::backend {

class LuoManifest final : public SlotManifest {
 public:
  explicit LuoManifest(std::shared_ptr<LuoDevice> device, LuoPatience patience = {})
      : device_(std::move(device)), patience_(patience) {}

  Result<void> reach() override;
  Result<std::optional<std::string>> unseal() override;
  Result<void> release() override;
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override;
  Result<void> adopt(std::vector<Adopted::Part>& parts) override;

 private:
  Result<void> keep(int memory) override;
  Result<void> make_session();
  Result<std::string> read_newest();
  Result<UniqueFd> retrieve_newest();

  std::shared_ptr<LuoDevice> device_;
  LuoPatience patience_;
  UniqueFd outgoing_;
  std::uint64_t next_token_ = 0;
  UniqueFd incoming_;  ///< the earlier kernel's, until release()
  bool read_ = false;  ///< of incoming_
};

}  // namespace handover::backend
