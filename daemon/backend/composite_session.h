// SPDX-License-Identifier: LGPL-2.1-or-later
// One session with tokens in LUO and in the companion module: two kernel sessions of one name, each
// made when the first descriptor goes there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/composite.h"

namespace handover::backend {

std::string_view keeper_name(Keeper keeper);

class CompositeSession final : public Session {
 public:
  static Result<std::unique_ptr<CompositeSession>> create(const Halves& halves, Keeper main,
                                                          const std::string& name,
                                                          const Limits& limits);
  /// Takes over what there is of either half. What only one half of lost is in losses().
  static Result<std::unique_ptr<CompositeSession>> adopt(const Halves& halves, Keeper main,
                                                         Adopted adopted);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::string_view backend() const override { return keeper_name(main_); }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Descriptor> preserve(std::uint64_t token, int fd) override;
  Result<Descriptor> preserve_in(const std::string& backend, std::uint64_t token, int fd) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<UniqueFd> retrieve(std::uint64_t token) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  Result<UniqueFd> open_tracker() override;
  [[nodiscard]] std::vector<Loss> losses() const override;
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  CompositeSession(Halves halves, Keeper main, std::string name, const Limits& limits)
      : halves_(std::move(halves)), main_(main), name_(std::move(name)), limits_(limits) {}

  [[nodiscard]] std::unique_ptr<Session>& half(Keeper keeper) {
    return keeper == Keeper::luo ? luo_ : tracker_;
  }
  /// Makes the half if it is not there yet.
  Result<void> make(Keeper keeper);
  Result<Descriptor> preserve_in(Keeper keeper, std::uint64_t token, int fd);
  /// The half that holds the token; nullptr if neither does as far as can be told.
  [[nodiscard]] Session* holder(std::uint64_t token) const;
  /// token_taken; already_preserved: LUO must not be asked.
  [[nodiscard]] Result<void> check(std::uint64_t token, const FileType& type, Frozen frozen) const;

  Halves halves_;
  Keeper main_;
  std::string name_;
  Limits limits_;
  bool incoming_ = false;
  std::unique_ptr<Session> luo_;
  std::unique_ptr<Session> tracker_;
  std::vector<Loss> losses_;  ///< tokens of a half that did not come back
};

}  // namespace handover::backend
