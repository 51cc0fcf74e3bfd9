// SPDX-License-Identifier: LGPL-2.1-or-later
// The orderly way into the next kernel: kexec.target's job at PID 1, and what becomes of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "bus/kexec_withdrawal.h"
#include "bus/sd_bus.h"
#include "system/loop.h"

namespace handover::bus {

class OrderlyKexec {
 public:
  /// Runs later, from the loop, at most once; never if the machine goes.
  using Failed = std::function<void(Error)>;

  struct Limits {
    /// PID 1 answers at once unless something holds it up; what it has read it does all the same.
    std::uint64_t start_usec = 90'000'000;
    /// For taking the job back before the failure is told.
    KexecWithdrawal::Limits withdrawal{};
  };

  OrderlyKexec(system::Loop& loop, sd_bus* bus, Failed failed)
      : OrderlyKexec(loop, bus, std::move(failed), Limits()) {}
  OrderlyKexec(system::Loop& loop, sd_bus* bus, Failed failed, const Limits& limits)
      : loop_(loop), bus_(bus), failed_(std::move(failed)), limits_(limits) {}
  /// Nobody watches the job any more; it goes on.
  ~OrderlyKexec() = default;
  OrderlyKexec(const OrderlyKexec&) = delete;
  OrderlyKexec& operator=(const OrderlyKexec&) = delete;

  /// Once. kexec_failed: PID 1 refuses; or the job ended other than `done`, or PID 1 did not
  /// answer, and whatever of the job is left has been taken back. ETIMEDOUT in sys_errno: PID 1 is
  /// silent, and is asked to take it back as long as this object lives.
  void start();

 private:
  static int on_subscribed(sd_bus_message* reply, void* userdata, sd_bus_error*);
  static int on_started(sd_bus_message* reply, void* userdata, sd_bus_error*);
  static int on_removed(sd_bus_message* signal, void* userdata, sd_bus_error*);

  Result<void> ask();
  void ended(const std::string& result);
  void withdraw(std::string why);
  void tell();

  system::Loop& loop_;
  sd_bus* bus_;  ///< kept by the slots below
  Failed failed_;
  Limits limits_;
  std::string pid1_;                          ///< its unique name: anybody can send us signals
  std::string job_;                           ///< known from StartUnit's reply
  std::map<std::string, std::string> ended_;  ///< results by job, of those that ended before that
  std::optional<std::string> why_;            ///< it has failed
  int sys_errno_ = 0;                         ///< ETIMEDOUT: PID 1 has not answered at all
  std::optional<KexecWithdrawal> withdrawal_;
  SlotPtr match_;
  SlotPtr subscribe_;
  SlotPtr call_;
};

}  // namespace handover::bus
