// SPDX-License-Identifier: LGPL-2.1-or-later
// How many of one thing each user may have at once: taken when it is made, given back with it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace handover::bus {

class Quota {
  struct Taken {
    std::map<uid_t, std::size_t> by_user;  ///< without zeros
    std::size_t of_root = 0;
    std::size_t of_users = 0;
  };

 public:
  struct Limits {
    std::size_t each_user = 0;
    std::size_t all_users = 0;
    std::size_t root = 0;
  };

  /// One of the things; may outlive the quota.
  class Share {
   public:
    Share() = default;
    Share(Share&&) noexcept = default;
    Share& operator=(Share&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      taken_ = std::move(other.taken_);
      uid_ = other.uid_;
      return *this;
    }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share() { give_back(); }

    void give_back() {
      const auto taken = std::exchange(taken_, nullptr);
      if (!taken) return;
      if (uid_ == 0) {
        --taken->of_root;
        return;
      }
      --taken->of_users;
      const auto own = taken->by_user.find(uid_);
      if (--own->second == 0) taken->by_user.erase(own);
    }

   private:
    friend class Quota;
    Share(std::shared_ptr<Taken> taken, uid_t uid) : taken_(std::move(taken)), uid_(uid) {}
    std::shared_ptr<Taken> taken_;
    uid_t uid_ = 0;
  };

  explicit Quota(const Limits& limits) : limits_(limits) {}

  /// nullopt: this user, or all of them, have as many as they may. Root has a limit of its own, so
  /// that nobody takes his place.
  [[nodiscard]] std::optional<Share> take(uid_t uid) {
    auto& taken = *taken_;
    if (uid == 0) {
      if (taken.of_root >= limits_.root) return std::nullopt;
      ++taken.of_root;
      return Share(taken_, uid);
    }
    const auto own = taken.by_user.find(uid);
    const auto has = own == taken.by_user.end() ? 0 : own->second;
    if (has >= limits_.each_user || taken.of_users >= limits_.all_users) return std::nullopt;
    ++taken.by_user[uid];
    ++taken.of_users;
    return Share(taken_, uid);
  }

  [[nodiscard]] const Limits& limits() const { return limits_; }
  [[nodiscard]] std::size_t taken() const { return taken_->of_root + taken_->of_users; }

 private:
  Limits limits_;
  std::shared_ptr<Taken> taken_ = std::make_shared<Taken>();
};

}  // namespace handover::bus
