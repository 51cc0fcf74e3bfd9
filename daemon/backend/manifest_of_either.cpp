// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/manifest_of_either.h"

namespace handover::backend {

Result<void> ManifestOfEither::replace(std::string_view base) {
  auto done = first_->replace(base);
  if (done) (void)second_->release();
  return done;
}

Result<void> ManifestOfEither::reach() {
  auto first = first_->reach();
  auto second = second_->reach();
  return first ? second : first;
}

Result<std::optional<std::string>> ManifestOfEither::unseal() {
  auto text = first_->unseal();
  if (!text || *text) return text;
  return second_->unseal();
}

Result<void> ManifestOfEither::release() {
  auto first = first_->release();
  auto second = second_->release();
  return first ? second : first;
}

std::vector<Session::StoredFd> ManifestOfEither::stored_fds() const {
  auto stored = first_->stored_fds();
  const auto more = second_->stored_fds();
  stored.insert(stored.end(), more.begin(), more.end());
  return stored;
}

Result<void> ManifestOfEither::adopt(std::vector<Adopted::Part>& parts) {
  auto first = first_->adopt(parts);
  if (!first && first.error().nature == Nature::passing) return first;
  auto second = second_->adopt(parts);
  return first ? first : second;
}

}  // namespace handover::backend
