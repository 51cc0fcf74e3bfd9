// SPDX-License-Identifier: LGPL-2.1-or-later
// The manifest on a host with two keepers. The first one keeps it. It is read from either, because
// the earlier kernel may not have had the first.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/manifest_store.h"

namespace handover::backend {

class ManifestOfEither final : public ManifestStore {
 public:
  ManifestOfEither(std::unique_ptr<ManifestStore> first, std::unique_ptr<ManifestStore> second)
      : first_(std::move(first)), second_(std::move(second)) {}

  Result<void> replace(std::string_view base) override;
  Result<void> append(std::string_view lines) override { return first_->append(lines); }
  [[nodiscard]] std::size_t room() const override { return first_->room(); }
  Result<void> reach() override;
  Result<std::optional<std::string>> unseal() override;
  Result<void> release() override;
  [[nodiscard]] std::vector<Session::StoredFd> stored_fds() const override;
  Result<void> adopt(std::vector<Adopted::Part>& parts) override;

 private:
  std::unique_ptr<ManifestStore> first_;
  std::unique_ptr<ManifestStore> second_;
};

}  // namespace handover::backend
