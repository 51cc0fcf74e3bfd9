// SPDX-License-Identifier: LGPL-2.1-or-later
#include "worlds.h"

#include <fcntl.h>

#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <utility>

#include "backend/luo.h"
#include "backend/luo_manifest.h"

namespace handover::backend::test {
namespace {

template <typename T>
T checked(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace

Result<std::unique_ptr<Session>> World::try_create(const std::string& name, const Limits& limits) {
  return backend().create(name, keeper_, limits);
}

std::unique_ptr<Session> World::create(const std::string& name) {
  return checked(try_create(name));
}

Result<std::unique_ptr<Session>> World::adopt(Adopted adopted) {
  auto adoption = backend().adopt(adopted);
  if (!adoption) return fail(adoption.error());
  return std::move(adoption->session);
}

Result<std::unique_ptr<Session>> World::retrieve(const std::string& name,
                                                 const std::vector<Descriptor>& tokens) {
  return adopt(by_name(name, true, tokens));
}

Adopted World::by_name(const std::string& name, bool incoming,
                       const std::vector<Descriptor>& tokens) const {
  Adopted adopted;
  adopted.name = name;
  adopted.keeper = keeper_;
  adopted.incoming = incoming;
  adopted.tokens = tokens;
  return adopted;
}

void World::update(Sessions& sessions) {
  std::map<std::string, std::vector<Descriptor>> tokens;
  for (const auto& [name, session] : sessions) tokens[name] = session->describe();
  leave_kernel();
  restart_daemon();
  for (auto& [name, session] : sessions) session = checked(retrieve(name, tokens[name]));
}

std::unique_ptr<Session> World::update_one(std::unique_ptr<Session> session) {
  const std::string name = session->name();
  Sessions sessions;
  sessions[name] = std::move(session);
  update(sessions);
  return std::move(sessions[name]);
}

LuoWorld::LuoWorld(LuoPatience patience, Charge charge)
    : World(Keeper::luo), patience_(patience), charge_(std::move(charge)) {
  LuoWorld::restart_daemon();
}

void LuoWorld::restart_daemon() {
  Keepers keepers;
  keepers.main = Keeper::luo;
  keepers.by.emplace(Keeper::luo, std::make_shared<Luo>(kernel_, patience_, charge_));
  keepers.manifest = std::make_shared<LuoManifest>(kernel_, patience_);
  use(std::move(keepers));
}

TrackerWorld::TrackerWorld() : World(Keeper::tracker) { TrackerWorld::restart_daemon(); }

void TrackerWorld::restart_daemon() {
  // Also if the module is not there: it was when this began.
  const bool loaded = module_->loaded();
  module_->load();
  use(checked(make_keepers(fail(ErrorCode::no_such_backend, "no LUO"), module_, Keeper::tracker,
                           Charge())));
  if (!loaded) module_->unload();
}

CompositeWorld::CompositeWorld(Keeper main, bool tracker_allowed, LuoPatience patience)
    : World(main),
      wanted_(main == Keeper::tracker ? std::optional(Keeper::tracker)
              : tracker_allowed       ? std::nullopt
                                      : std::optional(Keeper::luo)),
      patience_(patience) {
  CompositeWorld::restart_daemon();
}

void CompositeWorld::reboot() {
  leave_kernel();
  restart_daemon();
}

void CompositeWorld::leave_kernel() {
  kernel_->reboot();
  module_->reboot();
}

void CompositeWorld::restart_daemon() {
  use(checked(
      make_keepers(std::shared_ptr<LuoDevice>(kernel_), module_, wanted_, Charge(), patience_)));
}

EmulatedWorld::EmulatedWorld() : World(Keeper::emulated) { EmulatedWorld::restart_daemon(); }

void EmulatedWorld::restart_daemon() {
  use(checked(make_keepers(fail(ErrorCode::no_such_backend, "no LUO"), nullptr, Keeper::emulated,
                           Charge())));
}

void EmulatedWorld::update(Sessions& sessions) {
  std::map<std::string, Adopted> passed;
  for (const auto& [name, session] : sessions) passed[name] = kept_session(*session, true);
  auto manifest_parts = kept(manifest().stored_fds());
  for (auto& [name, session] : sessions) session.reset();
  restart_daemon();
  if (!manifest_parts.empty()) {
    if (auto adopted = manifest().adopt(manifest_parts); !adopted) {
      throw std::runtime_error(adopted.error().message);
    }
  }
  for (auto& [name, session] : sessions) session = checked(adopt(std::move(passed[name])));
}

std::vector<Adopted::Part> kept(const std::vector<Session::StoredFd>& stored) {
  std::vector<Adopted::Part> parts;
  parts.reserve(stored.size());
  for (const Session::StoredFd& one : stored) {
    parts.push_back(Adopted::Part{one.part, UniqueFd(::fcntl(one.fd, F_DUPFD_CLOEXEC, 3))});
  }
  return parts;
}

Adopted kept_session(const Session& session, bool incoming) {
  Adopted adopted;
  adopted.name = session.name();
  adopted.keeper = session.keeper();
  adopted.incoming = incoming;
  adopted.tokens = session.describe();
  adopted.parts = kept(session.stored_fds());
  return adopted;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator fds("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(fds, std::filesystem::directory_iterator()));
}

}  // namespace handover::backend::test
