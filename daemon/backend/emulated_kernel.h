// SPDX-License-Identifier: LGPL-2.1-or-later
// What the emulated sessions share, as LUO keeps it in the kernel: files preserved and names taken.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "backend/descriptor.h"
#include "backend/tables.h"

namespace handover::backend {

/// Any thread may call it.
class EmulatedKernel {
 public:
  /// A file that an outgoing session preserves. The kernel keeps its size (shmem_freeze() in
  /// mm/memfd_luo.c); here it can only be compared.
  struct Preserved {
    std::string session;
    std::uint64_t token = 0;
    std::uint64_t bytes = 0;  ///< when it was preserved
    int fd = -1;              ///< borrowed, until release_file()
  };

  /// false if the file is preserved already.
  bool claim_file(const FileType& type, const Preserved& file);
  /// The same for a file of an incoming session: in the new kernel its size is free again.
  bool claim_file(const FileType& type);
  void release_file(const FileType& type);
  /// false if an outgoing session has the name.
  bool claim_name(const std::string& name);
  void release_name(const std::string& name);
  /// unsupported: a preserved file has another size than when it was preserved. The sentence names
  /// its token.
  [[nodiscard]] Result<void> check_sizes() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<dev_t, ino_t>, Preserved> files_;
  std::set<std::string> names_;
};

/// There are no tables; what the next kernel could not restore is refused when they would be
/// written.
class EmulatedTables final : public Tables {
 public:
  explicit EmulatedTables(std::shared_ptr<const EmulatedKernel> kernel)
      : kernel_(std::move(kernel)) {}
  Result<void> rehearse() override { return kernel_->check_sizes(); }
  Result<void> close() override { return kernel_->check_sizes(); }
  Result<void> open() override { return {}; }

 private:
  std::shared_ptr<const EmulatedKernel> kernel_;
};

}  // namespace handover::backend
