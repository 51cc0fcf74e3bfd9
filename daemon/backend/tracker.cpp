// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker.h"

#include <cerrno>
#include <utility>

#include "backend/tracker_refusal.h"
#include "backend/tracker_session.h"

namespace handover::backend {
namespace {

/// ENODEV is no error: the module cannot be unloaded while it holds anything, so there are no
/// tables.
Result<void> of_tables(const std::string& what, const KernelResult<void>& done) {
  if (done || done.error() == ENODEV) return {};
  return fail(tracker_error(what, "", done.error()));
}

}  // namespace

Tracker::Tracker(std::shared_ptr<TrackerDevice> device)
    : device_(std::move(device)), rest_(std::make_shared<TrackerRest>(device_)) {
  refresh_module();
}

bool Tracker::available(Keeper keeper) const {
  return keeper == Keeper::tracker && module().has_value();
}

std::optional<Module> Tracker::module() const {
  const std::lock_guard lock(mutex_);
  return module_;
}

std::optional<Module> Tracker::refresh_module() {
  const auto info = device_->info();
  const std::lock_guard lock(mutex_);
  if (info) {
    module_ = Module{info->abi, info->format, info->kho, info->lost};
  } else if (!is_passing(info.error())) {
    module_.reset();
  }
  return module_;
}

void Tracker::note(int sys_errno) {
  if (sys_errno == ENODEV) {
    const std::lock_guard lock(mutex_);
    module_.reset();
  } else if (!module()) {
    refresh_module();
  }
}

Result<std::unique_ptr<Session>> Tracker::create(const std::string& name, Keeper /*keeper*/,
                                                 const Limits& limits) {
  auto session = TrackerSession::create(device_, rest_, name, limits);
  note(session ? 0 : session.error().sys_errno);
  return session;
}

Result<Adoption> Tracker::adopt(Adopted& adopted) {
  auto adoption = TrackerSession::adopt(device_, rest_, adopted);
  note(adoption ? 0 : adoption.error().sys_errno);
  return adoption;
}

Result<void> Tracker::rehearse() {
  const auto sealed = device_->seal();
  if (!sealed) return of_tables("seal the tables of", sealed);
  // A second try: workloads run, and cannot preserve while the tables are sealed.
  if (open()) return {};
  return open();
}

Result<void> Tracker::close() { return of_tables("seal the tables of", device_->seal()); }

Result<void> Tracker::open() { return of_tables("unseal the tables of", device_->unseal()); }

}  // namespace handover::backend
