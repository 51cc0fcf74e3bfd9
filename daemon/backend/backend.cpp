// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/backend.h"

#include "backend/refusal.h"

namespace handover::backend {

Result<Descriptor> Session::preserve_in(const std::string& backend, std::uint64_t token, int fd) {
  if (backend != this->backend()) return fail(other_backend(name(), this->backend(), backend));
  return preserve(token, fd);
}

Result<UniqueFd> Session::open_tracker() {
  return fail(other_backend(name(), backend(), "tracker"));
}

}  // namespace handover::backend
