// SPDX-License-Identifier: LGPL-2.1-or-later
// The emulated backend: keeps descriptors through a re-exec of the daemon in place of a kexec.
//
// It needs nothing of the kernel. It refuses what LUO would refuse, so that a client meets the same
// errors; only that a preserved memfd changed its size comes out when an update prepares. Sessions
// end with the process, unless the re-exec passes stored_fds() on, or the fd store has them, and
// adopt() gets them back.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/emulated_kernel.h"

namespace handover::backend {

class Emulated final : public Backend {
 public:
  [[nodiscard]] bool available(Keeper keeper) const override { return keeper == Keeper::emulated; }
  /// `limits` are not used: nothing is preserved behind the caller's back.
  Result<std::unique_ptr<Session>> create(const std::string& name, Keeper keeper,
                                          const Limits& limits) override;
  Result<Adoption> adopt(Adopted& adopted) override;
  [[nodiscard]] std::shared_ptr<const EmulatedKernel> kernel() const { return kernel_; }

 private:
  std::shared_ptr<EmulatedKernel> kernel_ = std::make_shared<EmulatedKernel>();
};

}  // namespace handover::backend
