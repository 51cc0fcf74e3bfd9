// SPDX-License-Identifier: LGPL-2.1-or-later
// Takes an orderly kexec back from PID 1, whoever asked for it: this daemon, or one that died.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "bus/sd_bus.h"
#include "system/loop.h"

namespace handover::bus {

class KexecWithdrawal {
 public:
  /// Runs once, at once or later. kexec_failed: the kexec may come still; ETIMEDOUT in sys_errno:
  /// PID 1 has not answered.
  using Done = std::function<void(Result<void>)>;

  struct Limits {
    /// After which failure is told. What PID 1 has not read by then it reads all the same, and the
    /// withdrawal goes on for as long as this object lives.
    std::uint64_t answer_usec = 30'000'000;
    /// How often it is looked for jobs that are left.
    unsigned rounds = 5;
  };

  KexecWithdrawal(system::Loop& loop, sd_bus* bus, const Limits& limits)
      : loop_(loop), bus_(bus), limits_(limits) {}
  KexecWithdrawal(const KexecWithdrawal&) = delete;
  KexecWithdrawal& operator=(const KexecWithdrawal&) = delete;

  /// Cancels the jobs of kexec.target and of systemd-kexec.service until none is left. Once.
  void start(Done done);
  /// Somebody else wants to know it as well.
  void tell_also(Done done);
  [[nodiscard]] bool running() const { return !done_.empty(); }

 private:
  static int on_jobs(sd_bus_message* reply, void* userdata, sd_bus_error*);
  static int on_cancelled(sd_bus_message* reply, void* userdata, sd_bus_error*);

  void list();
  Result<void> cancel_those_in(sd_bus_message* jobs);
  void tell(const Result<void>& result);

  system::Loop& loop_;
  sd_bus* bus_;  ///< kept by the slots below
  Limits limits_;
  std::vector<Done> done_;
  unsigned round_ = 0;
  std::size_t cancelling_ = 0;
  system::Timer patience_;
  SlotPtr listed_;
  std::vector<SlotPtr> cancelled_;
};

}  // namespace handover::bus
