// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls that are not sent yet: of each user in their order. Whom a quota holds back is in nobody's
// way, and is not looked at for each of the others.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <map>
#include <string>
#include <utility>

namespace handover::bus {

/// What became of a call that was offered.
enum class Offer {
  taken,    ///< by take()
  kept,     ///< it waits on
  refused,  ///< it waits on, and so do all of its user
  full      ///< it waits on, and so do all
};

/// `Pending` has a `number` (here alone), an `object`, and `call.uid`.
template <typename Pending>
class Waiting {
 public:
  using List = std::list<Pending>;
  using Place = typename List::iterator;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool any_for(const std::string& object) const { return objects_.contains(object); }

  Place push_back(Pending pending) {
    pending.number = ++pushed_;
    count(pending);
    auto& list = users_[pending.call.uid];
    return list.insert(list.end(), std::move(pending));
  }
  /// It was taken, and is the next one of its user again.
  void put_back(List& from, Place pending) {
    count(*pending);
    auto& list = users_[pending->call.uid];
    list.splice(list.begin(), from, pending);
  }
  void take(Place pending, List& into) {
    discount(*pending);
    const auto user = users_.find(pending->call.uid);
    into.splice(into.end(), user->second, pending);
    if (user->second.empty()) users_.erase(user);
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& [uid, list] : users_) {
      for (const auto& pending : list) visit(pending);
    }
  }
  /// Takes out those for which it is true.
  template <typename Condition>
  [[nodiscard]] List take_if(Condition condition) {
    List taken;
    for (auto user = users_.begin(); user != users_.end();) {
      // take() may be the end of that user's list.
      const auto next_user = std::next(user);
      take_of(user, condition, taken);
      user = next_user;
    }
    return taken;
  }
  /// The same of one user.
  template <typename Condition>
  [[nodiscard]] List take_if(uid_t uid, Condition condition) {
    List taken;
    if (const auto user = users_.find(uid); user != users_.end()) take_of(user, condition, taken);
    return taken;
  }

  /// Offers them, who has waited longest first.
  template <typename Visit>
  void offer(Visit visit) {
    struct Next {
      typename Users::iterator user;
      Place pending;
    };
    std::map<std::uint64_t, Next> next;
    for (auto user = users_.begin(); user != users_.end(); ++user) {
      next.emplace(user->second.begin()->number, Next{user, user->second.begin()});
    }
    while (!next.empty()) {
      const auto [user, pending] = next.extract(next.begin()).mapped();
      const auto behind = std::next(pending);
      const bool last = behind == user->second.end();
      const auto offered = visit(pending);
      if (offered == Offer::full) return;
      if (offered == Offer::refused || last) continue;
      next.emplace(behind->number, Next{user, behind});
    }
  }

 private:
  using Users = std::map<uid_t, List>;

  template <typename Condition>
  void take_of(typename Users::iterator user, Condition condition, List& taken) {
    for (auto pending = user->second.begin();;) {
      const auto behind = std::next(pending);
      const bool last = behind == user->second.end();
      if (condition(*pending)) take(pending, taken);
      if (last) return;
      pending = behind;
    }
  }
  void count(const Pending& pending) {
    ++size_;
    ++objects_[pending.object];
  }
  void discount(const Pending& pending) {
    --size_;
    const auto object = objects_.find(pending.object);
    if (--object->second == 0) objects_.erase(object);
  }

  Users users_;  ///< without users who have none
  std::map<std::string, std::size_t> objects_;
  std::size_t size_ = 0;
  std::uint64_t pushed_ = 0;
};

}  // namespace handover::bus
