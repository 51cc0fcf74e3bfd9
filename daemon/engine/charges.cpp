// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/charges.h"

#include <algorithm>
#include <utility>

namespace handover::engine {

namespace {

/// Memory of the host for each session or client that one user may have.
constexpr std::uint64_t most_per_bytes = std::uint64_t{64} << 20U;

/// The setting that raises a limit, as handoverd.json names it.
const char* setting_of(Resource resource) {
  switch (resource) {
    case Resource::sessions:
      return "max_sessions_per_user";
    case Resource::descriptors:
      return "max_descriptors_per_user";
    case Resource::bytes:
      return "max_bytes_per_user";
    case Resource::clients:
      return "max_clients_per_user";
    case Resource::needs:
      break;
  }
  return "max_needs_per_client";
}

}  // namespace

std::string account_of(const Owner& owner) {
  if (owner.uid == 0 && !owner.unit.empty()) return "Unit " + owner.unit;
  return "Uid " + std::to_string(owner.uid);
}

Limits limits_of(const Config& config, std::uint64_t memory_bytes, std::uint64_t most_descriptors) {
  Limits limits{};
  const auto set = [&limits](Resource resource, std::uint64_t limit) {
    limits.at(static_cast<std::size_t>(resource)) = limit;
  };
  // One for each 64 MiB of memory: nobody preserves less and is worth an update's seconds. The
  // least is for hosts of many small services of one user; the most, what the fd store has room
  // for.
  const auto by_host = std::clamp<std::uint64_t>(memory_bytes / most_per_bytes, 512, 4096);
  const auto or_by_host = [by_host](std::uint64_t limit) { return limit != 0 ? limit : by_host; };
  set(Resource::sessions, or_by_host(config.max_sessions_per_user));
  const auto wanted = config.max_descriptors_per_user;
  const bool bounded = most_descriptors != 0 && (wanted == 0 || wanted > most_descriptors);
  set(Resource::descriptors, bounded ? most_descriptors : wanted);
  set(Resource::bytes, config.max_bytes_per_user != 0 ? config.max_bytes_per_user : memory_bytes);
  set(Resource::clients, or_by_host(config.max_clients_per_user));
  // A user's clients together; each of them is limited by itself where it registers.
  set(Resource::needs, or_by_host(config.max_clients_per_user) * config.max_needs_per_client);
  return limits;
}

std::shared_ptr<Ledger::Account> Ledger::account(const std::string& name) {
  if (accounts_.size() >= sweep_at_) {
    // Those of whom nobody holds anything any more.
    std::erase_if(accounts_, [](const auto& entry) { return entry.second.use_count() == 1; });
    sweep_at_ = std::max<std::size_t>(64, 2 * accounts_.size());
  }
  auto& account = accounts_[name];
  if (!account) account = std::make_shared<Account>();
  return account;
}

Result<Charge> Ledger::take(const Owner& owner, Resource resource, std::uint64_t amount) {
  const auto index = static_cast<std::size_t>(resource);
  const auto known = accounts_.find(account_of(owner));
  const auto used = known == accounts_.end() ? UINT64_C(0) : known->second->at(index);
  const auto most = limits_.at(index);
  // Root is trusted with memory: its guests are as large as the host.
  const bool limited = most != 0 && !(resource == Resource::bytes && owner.uid == 0);
  if (limited && (amount > most || used > most - amount)) {
    return fail(ErrorCode::limit_exceeded,
                account_of(owner) + " has " + std::to_string(used) + " " +
                    std::string(to_string(resource)) + " of " + std::to_string(most) +
                    " that it may have, and asks for " + std::to_string(amount) +
                    " more; give some back, or raise " + setting_of(resource) + ".");
  }
  return take_anyway(owner, resource, amount);
}

Charge Ledger::take_anyway(const Owner& owner, Resource resource, std::uint64_t amount) {
  Charge charge;
  charge.account_ = account(account_of(owner));
  charge.all_ = all_;
  charge.resource_ = resource;
  charge.amount_ = amount;
  charge.account_->at(static_cast<std::size_t>(resource)) += amount;
  all_->at(static_cast<std::size_t>(resource)) += amount;
  return charge;
}

std::uint64_t Ledger::used(Resource resource) const {
  return all_->at(static_cast<std::size_t>(resource));
}

Charge::Charge(Charge&& other) noexcept
    : account_(std::move(other.account_)),
      all_(std::move(other.all_)),
      resource_(other.resource_),
      amount_(std::exchange(other.amount_, 0)) {}

Charge& Charge::operator=(Charge&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  account_ = std::move(other.account_);
  all_ = std::move(other.all_);
  resource_ = other.resource_;
  amount_ = std::exchange(other.amount_, 0);
  return *this;
}

void Charge::give_back() {
  if (!account_) return;
  const auto index = static_cast<std::size_t>(resource_);
  account_->at(index) -= amount_;
  all_->at(index) -= amount_;
  account_.reset();
  all_.reset();
  amount_ = 0;
}

}  // namespace handover::engine
