// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated_kernel.h"

#include "backend/refusal.h"

namespace handover::backend {

bool EmulatedKernel::claim_file(const FileType& type, const Preserved& file) {
  const std::lock_guard lock(mutex_);
  return files_.emplace(std::pair(type.device, type.inode), file).second;
}

bool EmulatedKernel::claim_file(const FileType& type) { return claim_file(type, Preserved{}); }

void EmulatedKernel::release_file(const FileType& type) {
  const std::lock_guard lock(mutex_);
  files_.erase({type.device, type.inode});
}

bool EmulatedKernel::claim_name(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return names_.insert(name).second;
}

void EmulatedKernel::release_name(const std::string& name) {
  const std::lock_guard lock(mutex_);
  names_.erase(name);
}

Result<void> EmulatedKernel::check_sizes() const {
  const std::lock_guard lock(mutex_);
  for (const auto& [inode, file] : files_) {
    if (file.fd < 0) continue;
    const auto now = examine(file.fd);
    if (!now) return fail(now.error());
    if (now->bytes != file.bytes) {
      return fail(size_changed(file.session, file.token, file.bytes, now->bytes));
    }
  }
  return {};
}

}  // namespace handover::backend
