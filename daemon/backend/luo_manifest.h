// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's manifest in a LUO session of its own, "handoverd".
//
// Layout, which an older or newer handoverd must find too: tokens 0, 1, … each hold a memfd with a
// text and zeroes behind it; the highest token is the valid one. A text that fits is written in
// place (the contents of a preserved memfd may change, its size may not); one that does not gets a
// larger memfd under the next token, so that there is no instant without a manifest.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/luo_device.h"
#include "backend/luo_session.h"

namespace handover::backend {

class LuoManifest {
 public:
  LuoManifest(std::shared_ptr<LuoDevice> device, LuoPatience patience)
      : device_(std::move(device)), patience_(patience) {}

  Result<void> seal(std::string_view text);
  Result<std::optional<std::string>> unseal();
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const;
  Result<void> adopt(std::vector<Adopted::Part> parts);

 private:
  Result<void> make_session();
  Result<void> preserve_larger(std::string_view text);

  std::shared_ptr<LuoDevice> device_;
  LuoPatience patience_;
  UniqueFd outgoing_;
  UniqueFd memory_;  ///< what the highest token preserves, if this process made it
  std::uint64_t memory_size_ = 0;
  std::uint64_t next_token_ = 0;
  UniqueFd incoming_;  ///< given back by the service manager, not yet read
};

}  // namespace handover::backend
