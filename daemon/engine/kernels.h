// SPDX-License-Identifier: LGPL-2.1-or-later
// The ledger of kernels on disk (core/kernel_ledger.h): read when it is first needed, written as
// soon as there is a new word, and tried again while the state directory's file system is not
// there.
//
// Threads: the loop, except where it says (waits): those are called from jobs.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/kernel_ledger.h"
#include "engine/host.h"

namespace handover::engine {

/// The ledger, shared by jobs of several queues. Any thread.
class KernelShelf {
 public:
  explicit KernelShelf(Host& host) : host_(host) {}

  /// (waits) What is known of the kernel. io: it cannot be read now.
  Result<KernelRecord> look_up(const KernelIdentity& kernel);
  /// (waits) All of it; without what cannot be read now.
  KernelLedger all();
  /// (waits) In memory; write() puts it on disk.
  void note(KernelRecord record);
  /// (waits) kernel_not_found.
  Result<void> forgive(const std::string& release);
  /// (waits) io.
  Result<void> write();

 private:
  Result<void> load();

  Host& host_;
  std::mutex mutex_;
  KernelLedger ledger_;
  bool loaded_ = false;  ///< nothing is on disk that is not in `ledger_`
};

class Kernels {
 public:
  explicit Kernels(Host& host) : host_(host), shelf_(std::make_shared<KernelShelf>(host)) {}
  ~Kernels() { *alive_ = false; }
  Kernels(const Kernels&) = delete;
  Kernels& operator=(const Kernels&) = delete;

  [[nodiscard]] std::shared_ptr<KernelShelf> shelf() const { return shelf_; }
  /// Nothing is noted of a kernel whose image is not known.
  void note(KernelRecord record);
  /// This host's images, and what is known of them.
  void list(std::string running, std::function<void(Result<std::vector<KernelListed>>)> then);
  /// Bad kernels of that release are untried again, and that is on disk. kernel_not_found: there is
  /// none; io.
  void allow(const std::string& release, std::function<void(Result<void>)> then);

 private:
  void write();

  Host& host_;
  std::shared_ptr<KernelShelf> shelf_;
  unsigned tries_ = 0;
  Host::Alarm alarm_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace handover::engine
