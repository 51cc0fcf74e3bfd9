// SPDX-License-Identifier: LGPL-2.1-or-later
// Preserved memory for a manifest, with as much room as a test gives it.
#pragma once

#include <cstddef>
#include <string>

#include "backend/manifest_store.h"

namespace handover::engine::test {

class FakeStore final : public backend::ManifestStore {
 public:
  std::string text;
  std::size_t space = std::size_t{1} << 20U;  ///< behind the whole text
  unsigned failing_replaces = 0;              ///< so many of the next ones
  unsigned replaces = 0;
  unsigned appends = 0;

  Result<void> replace(std::string_view base) override {
    if (failing_replaces > 0) {
      --failing_replaces;
      return fail(ErrorCode::busy, "Somebody else has the device.", EBUSY);
    }
    ++replaces;
    text = base;
    base_bytes_ = base.size();
    return {};
  }
  Result<void> append(std::string_view lines) override {
    if (lines.size() > room()) return fail(ErrorCode::limit_exceeded, "There is no room.");
    ++appends;
    text += lines;
    return {};
  }
  [[nodiscard]] std::size_t room() const override {
    return base_bytes_ == 0 ? 0 : base_bytes_ + space - text.size();
  }
  Result<std::optional<std::string>> unseal() override { return std::nullopt; }
  Result<void> release() override { return {}; }
  [[nodiscard]] std::vector<backend::Session::StoredFd> stored_fds() const override { return {}; }
  Result<void> adopt(std::vector<backend::Adopted::Part>& /*parts*/) override { return {}; }

 private:
  std::size_t base_bytes_ = 0;
};

}  // namespace handover::engine::test
