// SPDX-License-Identifier: LGPL-2.1-or-later
// The kernel's LUO and the companion module as one backend: each descriptor goes where it can be
// kept best, one session may have tokens in both.
#pragma once

#include <memory>

#include "backend/backend.h"
#include "backend/choice.h"

namespace handover::backend {

/// Both halves, shared by the composites that prefer the one and the other.
struct Halves {
  std::shared_ptr<Backend> luo;
  std::shared_ptr<Backend> tracker;
  /// False: nothing new goes to the tracker. What it holds of an earlier kernel comes back still.
  bool tracker_allowed = true;
};

/// Is named as its main half is. The manifest is kept by luo, and read from either.
std::unique_ptr<Backend> make_composite(Halves halves, Keeper main);

}  // namespace handover::backend
