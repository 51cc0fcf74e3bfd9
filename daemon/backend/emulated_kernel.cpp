// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated_kernel.h"

namespace handover::backend {

bool EmulatedKernel::claim_file(const FileType& type) {
  const std::lock_guard lock(mutex_);
  return files_.emplace(type.device, type.inode).second;
}

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

}  // namespace handover::backend
