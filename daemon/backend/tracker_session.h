// SPDX-License-Identifier: LGPL-2.1-or-later
// One session of the companion module. The kernel owns it, and others can have descriptors of it,
// so the module is asked each time what the session holds.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/tracker_device.h"
#include "backend/tracker_rest.h"

namespace handover::backend {

class TrackerSession final : public Session {
 public:
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<TrackerDevice> device,
                                                 std::shared_ptr<TrackerRest> rest,
                                                 const std::string& name, const Limits& limits);
  /// As Backend::adopt(); by its name, whichever way it goes.
  static Result<Adoption> adopt(std::shared_ptr<TrackerDevice> device,
                                std::shared_ptr<TrackerRest> rest, Adopted& adopted);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] Keeper keeper() const override { return Keeper::tracker; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  /// `cgroup` is not used: the module cannot charge it yet.
  Result<Preserved> preserve(std::uint64_t token, int fd, std::optional<Keeper> only,
                             const std::string& cgroup) override;
  Result<void> unpreserve(std::uint64_t token) override;
  /// Gives a token once (Retrieved::once).
  Result<Retrieved> retrieve(std::uint64_t token, const std::string& cgroup) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] bool holds(std::uint64_t token) const override;
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  Result<UniqueFd> open_tracker() override;
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  /// Empty: the kernel owns the session.
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override { return {}; }

 private:
  TrackerSession(std::shared_ptr<TrackerDevice> device, std::shared_ptr<TrackerRest> rest,
                 std::string name, UniqueFd session)
      : device_(std::move(device)),
        rest_(std::move(rest)),
        name_(std::move(name)),
        session_(std::move(session)) {}

  /// What the module says of the token; `fallback` if it gives no answer.
  Descriptor ask(const Descriptor& fallback) const;

  std::shared_ptr<TrackerDevice> device_;
  std::shared_ptr<TrackerRest> rest_;
  std::string name_;
  UniqueFd session_;  ///< empty once it is ended
  /// Outgoing: duplicates of what this process preserved, for an owner that has lost his. They are
  /// not for the fd store: systemd >= 261 has LUO preserve what it finds there, a second time.
  /// None once the owner has the session's own descriptor: by that he can put another file under
  /// the same token.
  mutable std::map<std::uint64_t, UniqueFd> files_;
  bool opened_ = false;
  bool incoming_ = false;
  /// What the manifest or the module has said last. The module cannot tell a memfd from another
  /// file in tmpfs. And when it gives no answer, the session must not look empty.
  mutable std::map<std::uint64_t, Descriptor> known_;
};

}  // namespace handover::backend
