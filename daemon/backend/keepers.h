// SPDX-License-Identifier: LGPL-2.1-or-later
// The parts of the backends that the engine uses, chosen for this host.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/charge.h"
#include "backend/luo_device.h"
#include "backend/manifest_store.h"
#include "backend/module.h"
#include "backend/rest.h"
#include "backend/tables.h"
#include "backend/tracker_device.h"
#include "core/error.h"
#include "core/words.h"

namespace handover::backend {

struct Keepers {
  /// The backend that makes and adopts the sessions of a keeper. Two keepers can share one backend.
  std::map<Keeper, std::shared_ptr<Backend>> by;
  Keeper main = Keeper::emulated;  ///< of a new session that asks for none
  std::shared_ptr<ManifestStore> manifest;
  std::shared_ptr<Tables> tables;  ///< null if no keeper writes tables
  std::shared_ptr<Rest> rest;      ///< null if no keeper has resting sessions
  /// The companion module as it was seen last. Makes no call to the kernel. Any thread.
  std::function<std::optional<Module>()> module;
  /// Looks for the module and returns it. Sessions that are made or adopted there also notice when
  /// it was loaded or unloaded.
  std::function<std::optional<Module>()> refresh_module;
  std::vector<std::string> warnings;  ///< sentences for the administrator about this choice
};

/// Where the kernel's interfaces are; tests use others.
struct Paths {
  std::string liveupdate = "/dev/liveupdate";
  std::string handover = "/dev/handover";
};

/// `wanted`: the configured keeper, or nullopt for the best that this host has. `run_in` and
/// `room_in` may be empty. Error: no_such_backend, which says what is missing.
Result<Keepers> make_keepers(const Paths& paths, std::optional<Keeper> wanted, RunIn run_in,
                             RoomIn room_in);

/// The same with other devices. `luo` may be the error that says why there is none.
Result<Keepers> make_keepers(Result<std::shared_ptr<LuoDevice>> luo,
                             const std::shared_ptr<TrackerDevice>& tracker,
                             std::optional<Keeper> wanted, const Charge& charge,
                             const LuoPatience& patience = {});

}  // namespace handover::backend
