// SPDX-License-Identifier: LGPL-2.1-or-later
// What the emulated sessions share, as LUO keeps it in the kernel: files preserved and names taken.
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "backend/descriptor.h"

namespace handover::backend {

/// Any thread may call it.
class EmulatedKernel {
 public:
  /// false if the file is preserved already.
  bool claim_file(const FileType& type);
  void release_file(const FileType& type);
  /// false if an outgoing session has the name.
  bool claim_name(const std::string& name);
  void release_name(const std::string& name);

 private:
  std::mutex mutex_;
  std::set<std::pair<dev_t, ino_t>> files_;
  std::set<std::string> names_;
};

}  // namespace handover::backend
