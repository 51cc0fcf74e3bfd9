// SPDX-License-Identifier: LGPL-2.1-or-later
// A machine with one of the backends, that can be updated: the same tests run on each.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/keepers.h"
#include "fake_liveupdate.h"
#include "fake_tracker.h"

namespace handover::backend::test {

/// Sessions by name, as a daemon keeps them.
using Sessions = std::map<std::string, std::unique_ptr<Session>>;

class World {
 public:
  explicit World(Keeper keeper) : keeper_(keeper) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  virtual ~World() = default;

  Backend& backend() { return *keepers_.by.at(keeper_); }
  ManifestStore& manifest() { return *keepers_.manifest; }
  Keepers& keepers() { return keepers_; }
  [[nodiscard]] Keeper keeper() const { return keeper_; }

  Result<std::unique_ptr<Session>> try_create(const std::string& name, const Limits& limits = {});
  /// The same, which must not fail.
  std::unique_ptr<Session> create(const std::string& name);
  Result<std::unique_ptr<Session>> adopt(Adopted adopted);
  /// A session of the earlier kernel of which nothing came back.
  Result<std::unique_ptr<Session>> retrieve(const std::string& name,
                                            const std::vector<Descriptor>& tokens = {});
  Adopted by_name(const std::string& name, bool incoming,
                  const std::vector<Descriptor>& tokens = {}) const;

  /// A new process of the daemon; the sessions are the test's to drop.
  virtual void restart_daemon() = 0;
  /// The whole update: `sessions` come back as incoming ones.
  virtual void update(Sessions& sessions);
  std::unique_ptr<Session> update_one(std::unique_ptr<Session> session);

 protected:
  /// kexec, if there is a kernel.
  virtual void leave_kernel() {}
  void use(Keepers keepers) { keepers_ = std::move(keepers); }

 private:
  Keeper keeper_;
  Keepers keepers_;
};

/// For holders that never let go.
inline LuoPatience short_patience() {
  using std::chrono::milliseconds;
  return {milliseconds(20), milliseconds(20), milliseconds(300)};
}

class LuoWorld final : public World {
 public:
  /// `patience`: how long the backend waits for others to let a session go.
  explicit LuoWorld(LuoPatience patience = short_patience(), Charge charge = Charge());
  void restart_daemon() override;
  [[nodiscard]] FakeLiveupdate& kernel() { return *kernel_; }

 private:
  void leave_kernel() override { kernel_->reboot(); }

  LuoPatience patience_;
  Charge charge_;
  std::shared_ptr<FakeLiveupdate> kernel_ = std::make_shared<FakeLiveupdate>();
};

class TrackerWorld final : public World {
 public:
  TrackerWorld();
  void restart_daemon() override;
  [[nodiscard]] FakeTracker& module() { return *module_; }

 private:
  void leave_kernel() override { module_->reboot(); }

  std::shared_ptr<FakeTracker> module_ = std::make_shared<FakeTracker>();
};

/// LUO and the companion module as one backend.
class CompositeWorld final : public World {
 public:
  explicit CompositeWorld(Keeper main = Keeper::luo, bool tracker_allowed = true,
                          LuoPatience patience = short_patience());
  void restart_daemon() override;
  void reboot();
  [[nodiscard]] FakeLiveupdate& kernel() { return *kernel_; }
  [[nodiscard]] FakeTracker& module() { return *module_; }

 private:
  void leave_kernel() override;

  std::optional<Keeper> wanted_;
  LuoPatience patience_;
  std::shared_ptr<FakeLiveupdate> kernel_ = std::make_shared<FakeLiveupdate>();
  std::shared_ptr<FakeTracker> module_ = std::make_shared<FakeTracker>();
};

class EmulatedWorld final : public World {
 public:
  EmulatedWorld();
  void restart_daemon() override;
  void update(Sessions& sessions) override;
};

/// Duplicates of stored descriptors, as systemd's fd store or an execve() gives them back.
std::vector<Adopted::Part> kept(const std::vector<Session::StoredFd>& stored);

/// What the fd store and the manifest have of a session.
Adopted kept_session(const Session& session, bool incoming);

/// Descriptors that this process has open.
std::size_t open_descriptors();

}  // namespace handover::backend::test
