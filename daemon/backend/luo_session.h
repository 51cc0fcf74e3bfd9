// SPDX-License-Identifier: LGPL-2.1-or-later
// One session of the kernel's LUO, with a duplicate of every descriptor that it preserves.
//
// The kernel can neither list nor unpreserve single descriptors: to take one out, the session is
// closed, which drops all, and made anew under its name with the rest. While the session's
// descriptor is held anywhere else (systemd's fd store), closing it here drops nothing and the name
// stays taken: take it out of the store first.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.h"
#include "backend/luo_device.h"

namespace handover::backend {

/// How long a name that should be free may stay taken. systemd closes what it drops from the fd
/// store a moment later, in another thread (asynchronous_close() in systemd's service.c).
struct LuoPatience {
  std::chrono::milliseconds create{300};   ///< it may as well be taken by somebody else
  std::chrono::milliseconds remake{3000};  ///< it was ours
};

class LuoSession final : public Session {
 public:
  static Result<std::unique_ptr<LuoSession>> create(std::shared_ptr<LuoDevice> device,
                                                    const std::string& name, LuoPatience patience);
  static Result<std::unique_ptr<LuoSession>> retrieve(std::shared_ptr<LuoDevice> device,
                                                      const std::string& name,
                                                      LuoPatience patience);
  static Result<std::unique_ptr<LuoSession>> adopt(std::shared_ptr<LuoDevice> device,
                                                   Adopted adopted, LuoPatience patience);

  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] std::string_view backend() const override { return "luo"; }
  [[nodiscard]] bool incoming() const override { return incoming_; }
  Result<Descriptor> preserve(std::uint64_t token, int fd) override;
  Result<void> unpreserve(std::uint64_t token) override;
  Result<UniqueFd> retrieve(std::uint64_t token) override;
  Result<void> finish() override;
  Result<void> discard() override;
  [[nodiscard]] std::vector<Descriptor> describe() const override;
  [[nodiscard]] std::optional<UniqueFd> duplicate(std::uint64_t token) const override;
  Result<void> preserve_again(const std::function<Result<void>()>& between) override;
  [[nodiscard]] std::vector<StoredFd> stored_fds() const override;

 private:
  /// One descriptor; `fd` is empty if only the kernel has it (it did not come back after a crash).
  struct Held {
    Descriptor descriptor;
    UniqueFd fd;
  };

  LuoSession(std::shared_ptr<LuoDevice> device, std::string name, bool incoming,
             LuoPatience patience)
      : device_(std::move(device)),
        name_(std::move(name)),
        incoming_(incoming),
        patience_(patience) {}

  Result<void> make_session(std::chrono::milliseconds patience);
  Result<void> remake(const std::function<Result<void>()>& between);
  /// Preserves all of held_ in a new session; drops those that the kernel no longer takes and
  /// returns a sentence for each.
  std::vector<std::string> preserve_held();
  [[nodiscard]] std::vector<Held>::const_iterator find(std::uint64_t token) const;
  /// not_supported if a descriptor other than that of `except` exists in the kernel only.
  [[nodiscard]] Result<void> check_complete(std::optional<std::uint64_t> except) const;

  std::shared_ptr<LuoDevice> device_;
  std::string name_;
  bool incoming_ = false;
  LuoPatience patience_;
  UniqueFd session_;                   ///< empty once finished, or if making it anew failed
  std::vector<Held> held_;             ///< in the order of preservation, which LUO freezes in
  std::set<std::uint64_t> retrieved_;  ///< incoming: what was had (LUO would give it again)
};

}  // namespace handover::backend
