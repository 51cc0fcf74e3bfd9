// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel's LUO and the companion module as one backend. Each descriptor goes to the keeper that
// suits it best (choice.h), and a session can have tokens in both.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "backend/backend.h"

namespace handover::backend {

struct Halves {
  std::shared_ptr<Backend> luo;
  std::shared_ptr<Backend> tracker;
  /// False: nothing new goes to the tracker. What it has of an earlier kernel is still given back.
  bool tracker_allowed = true;

  [[nodiscard]] Backend& of(Keeper keeper) const { return keeper == Keeper::luo ? *luo : *tracker; }
};

class Composite final : public Backend {
 public:
  explicit Composite(Halves halves) : halves_(std::move(halves)) {}

  [[nodiscard]] bool available(Keeper keeper) const override;
  Result<std::unique_ptr<Session>> create(const std::string& name, Keeper keeper,
                                          const Limits& limits) override;
  Result<Adoption> adopt(Adopted& adopted) override;
  std::shared_ptr<void> hold() override { return halves_.luo->hold(); }

 private:
  Halves halves_;
};

}  // namespace handover::backend
