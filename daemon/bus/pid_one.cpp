// SPDX-License-Identifier: LGPL-2.1-or-later
// What the engine wants of PID 1 and logind: an orderly kexec, or none after all, whether the boot
// is over, what else they are about to do, and no shutdown meanwhile.
#include <string>
#include <utility>

#include "bus/boot_state.h"
#include "bus/host_managers.h"
#include "bus/pid_one_socket.h"
#include "bus/server.h"

namespace handover::bus {

namespace {

Error cannot_be_asked(const std::string& why) {
  return passing({ErrorCode::kexec_failed,
                  "PID 1 cannot be asked to take kexec.target back: the system bus" + why});
}

}  // namespace

void Server::start_orderly_kexec(std::function<void(Error)> failed) {
  auto* asking = asking_.get();
  if (asking == nullptr) {
    loop_.post([failed = std::move(failed)] {
      failed(Error{ErrorCode::kexec_failed,
                   "PID 1 did not start kexec.target: the system bus is not there."});
    });
    return;
  }
  orderly_kexec_ = std::make_unique<OrderlyKexec>(loop_, asking, std::move(failed));
  orderly_kexec_->start();
}

void Server::withdraw_orderly_kexec(std::function<void(Result<void>)> done) {
  auto later = [this, done = std::move(done)](const Result<void>& result) {
    loop_.post([done, result] { done(result); });
  };
  if (withdrawal_ && withdrawal_->running()) return withdrawal_->tell_also(std::move(later));
  auto* asking = asking_.get();
  // Units stop, and the bus is one of them: PID 1 goes on without it. What we have asked for by a
  // bus that is there, PID 1 reads in order, so then this must go the same way.
  const bool bus_is_there = asking != nullptr && sd_bus_is_ready(asking) > 0;
  if (!bus_is_there && SystemBus::is_the_hosts()) {
    auto direct = connect_to_pid_one(loop_);
    if (direct) {
      pid_one_ = std::move(*direct);
      asking = pid_one_.get();
    } else if (asking == nullptr) {
      return later(fail(cannot_be_asked(" is not there, nor PID 1's own socket (" +
                                        direct.error().message + ").")));
    }
  }
  if (asking == nullptr) return later(fail(cannot_be_asked(" is not there.")));
  // That its job ends now is no news. PID 1 reads what this connection asked for in its order.
  orderly_kexec_.reset();
  withdrawal_ = std::make_unique<KexecWithdrawal>(loop_, asking, KexecWithdrawal::Limits());
  withdrawal_->start(std::move(later));
}

void Server::boot_is_over(std::function<void(bool)> answer) {
  ask_whether_boot_is_over(loop_, asking_.get(), std::move(answer));
}

void Server::ask_managers(const std::vector<std::string>& units,
                          std::function<void(ManagerFacts)> answer) {
  ask_host_managers(loop_, asking_.get(), units, std::move(answer));
}

void Server::inhibit_shutdown(bool wanted) {
  if (!wanted) return shutdown_inhibitor_.release();
  shutdown_inhibitor_.take(asking_.get());
}

}  // namespace handover::bus
