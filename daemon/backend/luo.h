// SPDX-License-Identifier: LGPL-2.1-or-later
// The backend on the kernel's live update orchestrator, over any device that speaks its calls.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/luo_device.h"
#include "backend/luo_session.h"

namespace handover::backend {

std::unique_ptr<Backend> make_luo(std::shared_ptr<LuoDevice> device, LuoPatience patience = {});

}  // namespace handover::backend
