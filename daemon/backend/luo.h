// SPDX-License-Identifier: LGPL-2.1-or-later
// The backend on the kernel's live update orchestrator, over any device that speaks its calls.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "backend/backend.h"
#include "backend/charge.h"
#include "backend/luo_device.h"

namespace handover::backend {

class Luo final : public Backend {
 public:
  explicit Luo(std::shared_ptr<LuoDevice> device, LuoPatience patience = {},
               Charge charge = Charge())
      : device_(std::move(device)), patience_(patience), charge_(std::move(charge)) {}

  [[nodiscard]] bool available(Keeper keeper) const override { return keeper == Keeper::luo; }
  /// `limits` are not used: nothing is preserved behind the caller's back.
  Result<std::unique_ptr<Session>> create(const std::string& name, Keeper keeper,
                                          const Limits& limits) override;
  Result<Adoption> adopt(Adopted& adopted) override;
  std::shared_ptr<void> hold() override { return device_->hold(); }

 private:
  std::shared_ptr<LuoDevice> device_;
  LuoPatience patience_;
  Charge charge_;
};

}  // namespace handover::backend
