// SPDX-License-Identifier: LGPL-2.1-or-later
// The backend on the companion module, over any device that speaks its calls.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/tracker_device.h"

namespace handover::backend {

std::unique_ptr<Backend> make_tracker(std::shared_ptr<TrackerDevice> device);

}  // namespace handover::backend
