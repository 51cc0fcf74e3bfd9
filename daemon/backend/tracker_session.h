// SPDX-License-Identifier: LGPL-2.1-or-later
// One session of the companion module. The kernel owns it and can list it, and others may have
// descriptors of it: what it holds is asked for each time, not remembered.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/tracker_device.h"
#include "backend/tracker_rest.h"

namespace handover::backend {

class TrackerSession final : public Session {
 public:
  static Result<std::unique_ptr<TrackerSession>> create(std::shared_ptr<TrackerDevice> device,
                                                        std::shared_ptr<TrackerRest> rest,
                                                        const std::string& name,
                                                        const Limits& limits);
  /// By its name, whichever way it goes; no_such_session. The parts are files that were retrieved
  /// just before the daemon died.
  static Result<std::unique_ptr<TrackerSession>> adopt(std::shared_ptr<TrackerDevice> device,
                                                       std::shared_ptr<TrackerRest> rest,
                                                       Adopted adopted);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::string_view backend() const override { return "tracker"; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Descriptor> preserve(std::uint64_t token, int fd) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<UniqueFd> retrieve(std::uint64_t token) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  Result<UniqueFd> open_tracker() override;
  [[nodiscard]] std::vector<Loss> losses() const override { return losses_; }
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  TrackerSession(std::shared_ptr<TrackerDevice> device, std::shared_ptr<TrackerRest> rest,
                 std::string name, UniqueFd session)
      : device_(std::move(device)),
        rest_(std::move(rest)),
        name_(std::move(name)),
        session_(std::move(session)) {}

  [[nodiscard]] Descriptor describe(std::uint64_t token) const;

  std::shared_ptr<TrackerDevice> device_;
  std::shared_ptr<TrackerRest> rest_;
  std::string name_;
  UniqueFd session_;  ///< empty once it is ended
  bool incoming_ = false;
  /// What was preserved through this object or the manifest knows: the module cannot tell a memfd
  /// from another file in tmpfs.
  std::map<std::uint64_t, Descriptor> known_;
  /// The kernel gives a file once, and frees its memory with the last descriptor: until the session
  /// is finished the daemon's death must not be that of a file on its way to its owner.
  std::map<std::uint64_t, UniqueFd> given_;
  /// Of these, what came back after such a death: whoever asks gets it once more.
  std::map<std::uint64_t, UniqueFd> again_;
  std::vector<Loss> losses_;
};

}  // namespace handover::backend
