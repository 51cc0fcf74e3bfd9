// SPDX-License-Identifier: LGPL-2.1-or-later
// The backend on the companion module, over any device that speaks its calls.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/module.h"
#include "backend/rest.h"
#include "backend/tables.h"
#include "backend/tracker_device.h"
#include "backend/tracker_rest.h"

namespace handover::backend {

class Tracker final : public Backend, public Tables, public Rest {
 public:
  explicit Tracker(std::shared_ptr<TrackerDevice> device);

  /// As the module was seen last. These make no call to it.
  [[nodiscard]] bool available(Keeper keeper) const override;
  [[nodiscard]] std::optional<Module> module() const;
  /// Asks the module. If it gives no answer now, the last one counts.
  std::optional<Module> refresh_module();

  Result<std::unique_ptr<Session>> create(const std::string& name, Keeper keeper,
                                          const Limits& limits) override;
  /// If the module is not loaded the error is passing: its sessions are there when it is loaded.
  Result<Adoption> adopt(Adopted& adopted) override;

  Result<void> rehearse() override;
  Result<void> close() override;
  Result<void> open() override;

  [[nodiscard]] std::vector<std::string> resting() const override { return rest_->names(); }
  void adopt_resting(const std::vector<std::string>& names) override { rest_->adopt(names); }
  Result<void> restore_rest(unsigned threads) override { return rest_->restore(threads); }

 private:
  /// Notes what the result of a call says about the module. 0: success.
  void note(int sys_errno);

  std::shared_ptr<TrackerDevice> device_;
  std::shared_ptr<TrackerRest> rest_;
  mutable std::mutex mutex_;  ///< of module_
  std::optional<Module> module_;
};

}  // namespace handover::backend
