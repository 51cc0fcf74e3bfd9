// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/keepers.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "backend/composite.h"
#include "backend/emulated.h"
#include "backend/emulated_manifest.h"
#include "backend/luo.h"
#include "backend/luo_manifest.h"
#include "backend/manifest_of_either.h"
#include "backend/tracker.h"
#include "backend/tracker_manifest.h"

namespace handover::backend {
namespace {

Result<std::shared_ptr<LuoDevice>> find_luo_device(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) < 0) {
    return fail_errno("the luo backend needs " + path +
                          " (a kernel with CONFIG_LIVEUPDATE, booted with kho=on liveupdate=on)",
                      errno, ErrorCode::no_such_backend);
  }
  if (!S_ISCHR(status.st_mode)) {
    return fail(ErrorCode::no_such_backend, path + " is no character device");
  }
  return open_luo_device(path);
}

Keepers emulated() {
  Keepers keepers;
  keepers.main = Keeper::emulated;
  const auto backend = std::make_shared<Emulated>();
  keepers.by.emplace(Keeper::emulated, backend);
  keepers.tables = std::make_shared<EmulatedTables>(backend->kernel());
  keepers.manifest = std::make_shared<EmulatedManifest>();
  keepers.module = [] { return std::nullopt; };
  keepers.refresh_module = keepers.module;
  return keepers;
}

/// All that the companion module does beside keeping sessions.
void use_tracker(Keepers& keepers, const std::shared_ptr<Tracker>& tracker) {
  keepers.tables = tracker;
  keepers.rest = tracker;
  keepers.module = [tracker] { return tracker->module(); };
  keepers.refresh_module = [tracker] { return tracker->refresh_module(); };
}

}  // namespace

Result<Keepers> make_keepers(const Paths& paths, std::optional<Keeper> wanted, RunIn run_in,
                             RoomIn room_in) {
  return make_keepers(find_luo_device(paths.liveupdate), open_tracker_device(paths.handover),
                      wanted, Charge(std::move(run_in), std::move(room_in)));
}

Result<Keepers> make_keepers(Result<std::shared_ptr<LuoDevice>> luo,
                             const std::shared_ptr<TrackerDevice>& tracker_device,
                             std::optional<Keeper> wanted, const Charge& charge,
                             const LuoPatience& patience) {
  if (wanted == Keeper::emulated) return emulated();
  if (!luo && wanted == Keeper::luo) return fail(luo.error());
  const auto tracker = std::make_shared<Tracker>(tracker_device);
  Keepers keepers;
  use_tracker(keepers, tracker);
  if (luo) {
    const auto both =
        std::make_shared<Composite>(Halves{std::make_shared<Luo>(*luo, patience, charge), tracker,
                                           /*tracker_allowed=*/wanted != Keeper::luo});
    for (const Keeper keeper : {Keeper::luo, Keeper::tracker}) keepers.by.emplace(keeper, both);
    keepers.main = wanted.value_or(Keeper::luo);
    keepers.manifest =
        std::make_shared<ManifestOfEither>(std::make_unique<LuoManifest>(*luo, patience),
                                           std::make_unique<TrackerManifest>(tracker_device));
    if (!both->available(keepers.main)) {
      keepers.warnings.push_back("The configured backend '" + std::string(to_string(keepers.main)) +
                                 "' is not here: run modprobe handover.");
    }
    return keepers;
  }
  if (tracker->available(Keeper::tracker)) {
    keepers.main = Keeper::tracker;
    keepers.by.emplace(Keeper::tracker, tracker);
    keepers.manifest = std::make_shared<TrackerManifest>(tracker_device);
    return keepers;
  }
  if (wanted == Keeper::tracker) {
    return fail(ErrorCode::no_such_backend,
                "The backend 'tracker' needs /dev/handover; run: modprobe handover.");
  }
  keepers = emulated();
  keepers.warnings.push_back(
      luo.error().message +
      " There is no companion module either. Using the emulated backend: nothing survives a real "
      "kexec.");
  return keepers;
}

}  // namespace handover::backend
