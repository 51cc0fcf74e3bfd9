// SPDX-License-Identifier: LGPL-2.1-or-later
#include "worlds.h"

#include <fcntl.h>

#include <stdexcept>
#include <utility>

#include "backend/luo.h"
#include "backend/tracker.h"

namespace handover::backend::test {
namespace {

template <typename T>
T checked(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace

std::unique_ptr<Session> World::create(const std::string& name) {
  return checked(backend().create(name));
}

LuoWorld::LuoWorld(LuoPatience patience)
    : patience_(patience), backend_(make_luo(kernel_, patience)) {}

void LuoWorld::update(Sessions& sessions) {
  kernel_->reboot();
  backend_ = make_luo(kernel_, patience_);
  for (auto& [name, session] : sessions) session = checked(backend_->retrieve(name));
}

void LuoWorld::restart_daemon() { backend_ = make_luo(kernel_, patience_); }

TrackerWorld::TrackerWorld() : backend_(make_tracker(module_)) {}

void TrackerWorld::update(Sessions& sessions) {
  module_->reboot();
  backend_ = make_tracker(module_);
  for (auto& [name, session] : sessions) session = checked(backend_->retrieve(name));
}

void TrackerWorld::restart_daemon() { backend_ = make_tracker(module_); }

CompositeWorld::CompositeWorld(Keeper main, bool tracker_allowed)
    : main_(main), tracker_allowed_(tracker_allowed) {
  restart_daemon();
}

void CompositeWorld::update(Sessions& sessions) {
  reboot();
  for (auto& [name, session] : sessions) session = checked(backend_->retrieve(name));
}

std::unique_ptr<Session> CompositeWorld::update_one(std::unique_ptr<Session> session) {
  Adopted adopted;
  adopted.name = session->name();
  adopted.incoming = true;
  adopted.tokens = session->describe();
  reboot();
  session.reset();
  return checked(backend_->adopt(std::move(adopted)));
}

void CompositeWorld::reboot() {
  kernel_->reboot();
  module_->reboot();
  restart_daemon();
}

void CompositeWorld::restart_daemon() {
  const LuoPatience patience{std::chrono::milliseconds(20), std::chrono::milliseconds(300)};
  backend_ = make_composite(
      Halves{make_luo(kernel_, patience), make_tracker(module_), tracker_allowed_}, main_);
}

EmulatedWorld::EmulatedWorld() : backend_(checked(make_emulated())) {}

void EmulatedWorld::update(Sessions& sessions) {
  std::map<std::string, Adopted> passed;
  for (const auto& [name, session] : sessions) passed[name] = kept_session(*session, true);
  auto manifest = kept(backend_->stored_fds());
  for (auto& [name, session] : sessions) session.reset();
  backend_ = checked(make_emulated());
  if (!manifest.empty()) {
    if (auto adopted = backend_->adopt_manifest(std::move(manifest)); !adopted) {
      throw std::runtime_error(adopted.error().message);
    }
  }
  for (auto& [name, session] : sessions)
    session = checked(backend_->adopt(std::move(passed[name])));
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
  adopted.incoming = incoming;
  adopted.tokens = session.describe();
  adopted.parts = kept(session.stored_fds());
  return adopted;
}

}  // namespace handover::backend::test
