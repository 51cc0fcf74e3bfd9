// SPDX-License-Identifier: LGPL-2.1-or-later
// What each user of the daemon holds, and how much of it he may hold: a Charge is taken where a
// thing is made, and gives back when the thing is destroyed.
//
// Threads: the loop only. A ledger outlives its charges or not, as it comes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "core/config.h"
#include "core/enum_words.h"
#include "core/error.h"
#include "core/manifest.h"

namespace handover::engine {

enum class Resource { sessions, descriptors, bytes, clients, needs };
/// As a person reads them, and as `Statistics` names them.
constexpr auto words(Resource) {
  return std::to_array<Word<Resource>>({{Resource::sessions, "sessions"},
                                        {Resource::descriptors, "descriptors"},
                                        {Resource::bytes, "bytes"},
                                        {Resource::clients, "clients"},
                                        {Resource::needs, "needs"}});
}
inline constexpr std::size_t resource_count = words_of<Resource>.size();

/// Who is charged: a user; for root's services each service by itself, so that one does not use up
/// what the others need.
std::string account_of(const Owner& owner);

/// How much one account may hold. 0: as much as it likes.
using Limits = std::array<std::uint64_t, resource_count>;

/// The configured limits; those that are left to the host follow its memory and the fd store. Each
/// descriptor that is preserved is open here, too: whatever the configuration says, one user has
/// `most_descriptors` at most and leaves the others to others; 0: any number.
Limits limits_of(const Config& config, std::uint64_t memory_bytes,
                 std::uint64_t most_descriptors = 0);

class Charge;

class Ledger {
 public:
  explicit Ledger(const Limits& limits) : limits_(limits) {}

  void set_limits(const Limits& limits) { limits_ = limits; }
  [[nodiscard]] std::uint64_t limit(Resource resource) const {
    return limits_.at(static_cast<std::size_t>(resource));
  }
  /// limit_exceeded says what is used up, by whom, and which setting raises it.
  Result<Charge> take(const Owner& owner, Resource resource, std::uint64_t amount);
  /// What is there already, and only has to be counted: it came from an earlier process or kernel.
  Charge take_anyway(const Owner& owner, Resource resource, std::uint64_t amount);
  /// In use by all accounts together.
  [[nodiscard]] std::uint64_t used(Resource resource) const;
  [[nodiscard]] std::size_t accounts() const { return accounts_.size(); }

 private:
  friend class Charge;
  using Account = std::array<std::uint64_t, resource_count>;
  using Accounts = std::map<std::string, std::shared_ptr<Account>>;

  std::shared_ptr<Account> account(const std::string& name);

  Limits limits_;
  Accounts accounts_;
  std::size_t sweep_at_ = 64;
  std::shared_ptr<Account> all_ = std::make_shared<Account>();
};

/// One holding. Empty when default-made or moved from.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept;
  Charge& operator=(Charge&& other) noexcept;
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { give_back(); }

  void give_back();
  [[nodiscard]] std::uint64_t amount() const { return amount_; }

 private:
  friend class Ledger;
  using Account = std::array<std::uint64_t, resource_count>;

  std::shared_ptr<Account> account_;
  std::shared_ptr<Account> all_;
  Resource resource_ = Resource::sessions;
  std::uint64_t amount_ = 0;
};

}  // namespace handover::engine
