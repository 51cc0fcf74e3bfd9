// SPDX-License-Identifier: LGPL-2.1-or-later
// One session with tokens in LUO and in the companion module. It has two halves, a session of this
// name in each, and each half is made when the first descriptor goes there.
//
// If one half cannot be reached when the session is taken over, the other one can be used, and
// mend() tries again.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "backend/composite.h"
#include "backend/descriptor.h"

namespace handover::backend {

class CompositeSession final : public Session {
 public:
  static Result<std::unique_ptr<Session>> create(const Halves& halves, const std::string& name,
                                                 Keeper keeper, const Limits& limits);
  /// As Backend::adopt().
  static Result<Adoption> adopt(const Halves& halves, Adopted& adopted);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] Keeper keeper() const override { return main_; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Preserved> preserve(std::uint64_t token, int fd, std::optional<Keeper> only,
                             const std::string& cgroup) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<Retrieved> retrieve(std::uint64_t token, const std::string& cgroup) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] bool whole() const override;
  Result<void> mend() override;
  std::vector<Loss> take_losses() override;
  [[nodiscard]] bool holds(std::uint64_t token) const override { return holder(token) != nullptr; }
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  Result<UniqueFd> open_tracker() override;
  Result<UniqueFd> open_luo() override;
  [[nodiscard]] bool is_luo_opened() const override {
    return luo_.session && luo_.session->is_luo_opened();
  }
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  /// Both are empty if nothing has gone to this keeper.
  struct Half {
    std::unique_ptr<Session> session;
    std::optional<Adopted> unreachable;  ///< what has not been taken over yet
  };

  CompositeSession(Halves halves, std::string name, Keeper main, const Limits& limits)
      : halves_(std::move(halves)), name_(std::move(name)), main_(main), limits_(limits) {}

  [[nodiscard]] Half& half(Keeper keeper) { return keeper == Keeper::luo ? luo_ : tracker_; }
  /// The sessions that there are, LUO's first.
  [[nodiscard]] std::vector<Session*> sessions() const;
  /// Takes the half over, if that has not been done. passing if it cannot be reached.
  Result<void> reach(Keeper keeper);
  Result<void> reach_both();
  /// Makes the half if it is not there yet.
  Result<void> make(Keeper keeper);
  Result<Preserved> preserve_by(Keeper keeper, std::uint64_t token, int fd,
                                const std::string& cgroup);
  /// token_taken; already_preserved.
  [[nodiscard]] Result<void> check(std::uint64_t token, const FileType& type, Frozen frozen) const;
  /// The half that holds the token; nullptr if none is known to.
  [[nodiscard]] Session* holder(std::uint64_t token) const;
  /// The keeper of the unreachable half that has the token, as recorded.
  [[nodiscard]] std::optional<Keeper> out_of_reach(std::uint64_t token) const;
  void lose(const std::vector<Descriptor>& tokens, const Error& why);

  Halves halves_;
  std::string name_;
  Keeper main_;
  Limits limits_;
  bool incoming_ = false;
  Half luo_;
  Half tracker_;
  std::set<std::uint64_t> lost_;  ///< tokens of a half that did not come back
  std::vector<Loss> losses_;      ///< not taken yet
};

}  // namespace handover::backend
