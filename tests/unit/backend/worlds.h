// SPDX-License-Identifier: LGPL-2.1-or-later
// A machine with one of the backends, that can be updated: the same tests run on each.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/composite.h"
#include "backend/luo_session.h"
#include "fake_liveupdate.h"
#include "fake_tracker.h"

namespace handover::backend::test {

/// Sessions by name, as a daemon keeps them.
using Sessions = std::map<std::string, std::unique_ptr<Session>>;

class World {
 public:
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  virtual Backend& backend() = 0;
  /// The whole update: `sessions` come back as incoming ones, with a new backend.
  virtual void update(Sessions& sessions) = 0;

  std::unique_ptr<Session> create(const std::string& name);
};

class LuoWorld final : public World {
 public:
  /// `patience`: how long the backend waits for others to let a session go.
  explicit LuoWorld(LuoPatience patience = {std::chrono::milliseconds(20),
                                            std::chrono::milliseconds(300)});
  Backend& backend() override { return *backend_; }
  void update(Sessions& sessions) override;
  /// A new backend object, as after a crash of the daemon; the sessions are the test's to drop.
  void restart_daemon();
  [[nodiscard]] FakeLiveupdate& kernel() { return *kernel_; }

 private:
  LuoPatience patience_;
  std::shared_ptr<FakeLiveupdate> kernel_ = std::make_shared<FakeLiveupdate>();
  std::unique_ptr<Backend> backend_;
};

class TrackerWorld final : public World {
 public:
  TrackerWorld();
  Backend& backend() override { return *backend_; }
  void update(Sessions& sessions) override;
  /// A new backend object, as after a crash of the daemon.
  void restart_daemon();
  [[nodiscard]] FakeTracker& module() { return *module_; }

 private:
  std::shared_ptr<FakeTracker> module_ = std::make_shared<FakeTracker>();
  std::unique_ptr<Backend> backend_;
};

/// LUO and the companion module as one backend.
class CompositeWorld final : public World {
 public:
  explicit CompositeWorld(Keeper main = Keeper::luo, bool tracker_allowed = true);
  Backend& backend() override { return *backend_; }
  void update(Sessions& sessions) override;
  /// The whole update for one session, whose tokens the manifest knows.
  std::unique_ptr<Session> update_one(std::unique_ptr<Session> session);
  void reboot();
  void restart_daemon();
  [[nodiscard]] FakeLiveupdate& kernel() { return *kernel_; }
  [[nodiscard]] FakeTracker& module() { return *module_; }

 private:
  Keeper main_;
  bool tracker_allowed_;
  std::shared_ptr<FakeLiveupdate> kernel_ = std::make_shared<FakeLiveupdate>();
  std::shared_ptr<FakeTracker> module_ = std::make_shared<FakeTracker>();
  std::unique_ptr<Backend> backend_;
};

class EmulatedWorld final : public World {
 public:
  EmulatedWorld();
  Backend& backend() override { return *backend_; }
  void update(Sessions& sessions) override;

 private:
  std::unique_ptr<Backend> backend_;
};

/// Duplicates of stored descriptors, as systemd's fd store or an execve() gives them back.
std::vector<Adopted::Part> kept(const std::vector<Session::StoredFd>& stored);

/// A new object for the same session out of its stored descriptors.
Adopted kept_session(const Session& session, bool incoming);

}  // namespace handover::backend::test
