// SPDX-License-Identifier: LGPL-2.1-or-later
// One session of the kernel's LUO, and a duplicate of each descriptor that it preserves.
//
// The kernel can neither list descriptors nor unpreserve a single one. To take one out, this closes
// the session, which drops all of them, makes a session of the same name, and preserves the others
// in it. While another process has the session's descriptor (systemd's fd store), closing it drops
// nothing and the name stays taken: take it out of the store first.
//
// The new session can fail for want of memory. Then this one is degraded: it still has the
// duplicates, and mend() tries again.
//
// A session whose owner has its descriptor (open_luo()) is never made anew: nobody could preserve
// again what he has put there, and his descriptor would keep the name.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/charge.h"
#include "backend/luo_device.h"

namespace handover::backend {

class LuoSession final : public Session {
 public:
  static Result<std::unique_ptr<Session>> create(std::shared_ptr<LuoDevice> device,
                                                 const std::string& name, LuoPatience patience,
                                                 Charge charge);
  /// As Backend::adopt().
  static Result<Adoption> adopt(std::shared_ptr<LuoDevice> device, Adopted& adopted,
                                LuoPatience patience, Charge charge);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] Keeper keeper() const override { return Keeper::luo; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Preserved> preserve(std::uint64_t token, int fd, std::optional<Keeper> only,
                             const std::string& cgroup) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<Retrieved> retrieve(std::uint64_t token, const std::string& cgroup) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] bool whole() const override;
  Result<void> mend() override;
  std::vector<Loss> take_losses() override { return std::exchange(losses_, {}); }
  [[nodiscard]] bool holds(std::uint64_t token) const override { return held_.contains(token); }
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  Result<UniqueFd> open_luo() override;
  [[nodiscard]] bool is_luo_opened() const override { return opened_; }
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  struct Held {
    Descriptor descriptor;
    UniqueFd fd;              ///< empty if the fd store did not give it back
    std::uint64_t order = 0;  ///< LUO freezes descriptors in the order of their preservation
    bool in_kernel = false;   ///< session_ preserves it
  };

  LuoSession(std::shared_ptr<LuoDevice> device, std::string name, bool incoming,
             LuoPatience patience, Charge charge)
      : device_(std::move(device)),
        name_(std::move(name)),
        incoming_(incoming),
        patience_(patience),
        charge_(std::move(charge)) {}

  /// Retrieves the earlier kernel's session of this name. no_such_session; state_lost; passing.
  Result<void> retrieve_session();
  /// Takes over the tokens of an outgoing session, and finds out what the kernel has of them.
  void take_over(Adopted& adopted);
  /// Whether the kernel's session preserves something under `token`; nullopt if it does not say.
  [[nodiscard]] std::optional<bool> is_in_kernel(std::uint64_t token) const;
  Result<void> make_session(const LuoPatience& patience, std::chrono::milliseconds for_name);
  [[nodiscard]] bool preserved_unheard(const Charge::Done& done, std::uint64_t token) const;
  /// The warning that the owner was not charged.
  [[nodiscard]] std::string charged_here(std::uint64_t token, const std::string& why) const;
  /// Closes the kernel's session, which drops what it preserves. held_ stays.
  void let_go();
  /// Makes the kernel's session if there is none, and preserves what is not in it. A descriptor
  /// that the kernel will never take is a loss. passing: something is still missing. state_lost.
  Result<void> complete(const LuoPatience& patience);
  /// Tries once to preserve each token that is missing. Returns the errnos of those that still are.
  std::map<std::uint64_t, int> preserve_missing();
  /// Keeps /dev/liveupdate open while the result lives. passing if it cannot be opened.
  Result<std::shared_ptr<void>> hold_device();
  /// Whether the session can be made anew with all but `except`. not_supported: its owner has the
  /// session's descriptor, or there is no duplicate of a descriptor.
  [[nodiscard]] Result<void> can_make_anew(std::optional<std::uint64_t> except) const;

  std::shared_ptr<LuoDevice> device_;
  std::string name_;
  bool incoming_ = false;
  bool discarded_ = false;
  bool opened_ = false;  ///< by its owner, who may have preserved in it what is not in held_
  LuoPatience patience_;
  Charge charge_;
  UniqueFd session_;  ///< empty if it is finished or discarded, or could not be made
  std::map<std::uint64_t, Held> held_;  ///< outgoing
  std::uint64_t next_order_ = 0;
  std::map<std::uint64_t, std::uint64_t> bytes_;  ///< incoming: the size of each token, as recorded
  std::vector<Loss> losses_;
};

}  // namespace handover::backend
