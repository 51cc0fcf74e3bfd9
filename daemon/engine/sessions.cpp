// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/sessions.h"

#include <algorithm>
#include <utility>

#include "engine/session_work.h"
#include "system/log.h"

namespace handover::engine {

namespace {

std::vector<TokenRecord>::iterator token_at(SessionRecord& record, std::uint64_t token) {
  return std::lower_bound(
      record.tokens.begin(), record.tokens.end(), token,
      [](const TokenRecord& have, std::uint64_t want) { return have.token < want; });
}

}  // namespace

TokenRecord* find_token(SessionRecord& record, std::uint64_t token) {
  const auto at = token_at(record, token);
  return at != record.tokens.end() && at->token == token ? &*at : nullptr;
}

TokenRecord record_of(const SessionRecord& session, const backend::Descriptor& descriptor) {
  TokenRecord record;
  record.token = descriptor.token;
  record.kind = descriptor.kind;
  record.bytes = descriptor.bytes;
  record.retrieved = descriptor.retrieved;
  // Written only where it differs: an earlier version of the daemon reads such a manifest, too.
  if (descriptor.keeper != session.keeper) record.keeper = descriptor.keeper;
  return record;
}

Error not_here(const Sessions::Held& held) {
  const auto why =
      held.why_unreached ? held.why_unreached->message : std::string("it is on its way");
  return passing(Error{ErrorCode::busy,
                       "The kernel cannot give session '" + held.record.name + "' now (" + why +
                           "); it is asked again, so try again in a moment.",
                       0});
}

Error ends_soon(const std::string& session) {
  return passing({ErrorCode::busy, "Session '" + session +
                                       "' of the earlier kernel cannot be ended now; that is tried "
                                       "again, so try again in a moment."});
}

Sessions::Sessions(Host& host, backend::Keepers keepers, Ledger& ledger, Watch& watch)
    : host_(host), keepers_(std::move(keepers)), ledger_(ledger), watch_(watch), fd_store_(host) {}

Sessions::~Sessions() { *alive_ = false; }

// ---- what there is

const Sessions::Held* Sessions::find(const std::string& name) const {
  const auto it = sessions_.find(name);
  return it == sessions_.end() ? nullptr : &it->second;
}

const Sessions::Held* Sessions::find(std::uint64_t id) const {
  const auto it = names_.find(id);
  return it == names_.end() ? nullptr : find(it->second);
}

Sessions::Held* Sessions::find_by_id(std::uint64_t id) {
  const auto it = names_.find(id);
  if (it == names_.end()) return nullptr;
  return &sessions_.at(it->second);
}

Result<Sessions::Held*> Sessions::find_usable(const std::string& name, const Owner& caller) {
  auto held = find(name, caller);
  if (held && (*held)->to_end) return fail(ends_soon(name));
  return held;
}

Result<Sessions::Held*> Sessions::find(const std::string& name, const Owner& caller) {
  const auto it = sessions_.find(name);
  if (it == sessions_.end()) {
    return fail(ErrorCode::no_such_session,
                "There is no session '" + name + "'; list them with 'handoverctl sessions'.");
  }
  if (!may_use(it->second.record.owner, caller)) {
    const auto& owner = it->second.record.owner;
    return fail(ErrorCode::access_denied, "Session '" + name + "' belongs to uid " +
                                              std::to_string(owner.uid) +
                                              (owner.unit.empty() ? "" : ", unit " + owner.unit) +
                                              "; only its owner or root may use it.");
  }
  return &it->second;
}

/// It ends, or does so as soon as it is here: nothing of it is for its owner any more.
bool Sessions::will_be_gone(const Held& held) {
  if (held.kernel) return held.record.ending;
  return held.to_end && held.standing == Standing::adopting;
}

bool Sessions::wait_for(const std::string& name, const Owner& caller, std::function<void()> then) {
  const auto it = sessions_.find(name);
  if (it == sessions_.end()) return false;
  auto& held = it->second;
  const bool own = may_use(held.record.owner, caller);
  if (will_be_gone(held)) {
    if (own && !held.kernel) host_.hurry(queue_of(held));
    // Another one of its name, of whatever owner, may be waiting for it to go, and be meant.
    held.when_gone.push_back(std::move(then));
    return true;
  }
  if (!own) return false;  // it is refused
  if (held.standing != Standing::coming && held.standing != Standing::adopting) return false;
  host_.hurry(queue_of(held));
  held.when_here.push_back(std::move(then));
  return true;
}

const std::set<std::string>& Sessions::of_client(const std::string& client) const {
  static const std::set<std::string> none;
  const auto it = by_client_.find(client);
  return it == by_client_.end() ? none : it->second;
}

std::vector<std::string> Sessions::incoming() const {
  std::vector<std::string> names;
  for (const auto& [name, held] : sessions_) {
    if (held.record.incoming) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Sessions::in(Standing standing) const {
  std::vector<std::string> names;
  for (const auto& [name, held] : sessions_) {
    if (held.standing == standing) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Sessions::busy() const {
  std::vector<std::string> names;
  for (const auto& [name, held] : sessions_) {
    if (held.working != 0) names.push_back(name);
  }
  return names;
}

std::vector<std::string> Sessions::keeper_names() const {
  std::vector<std::string> names;
  for (const auto& [keeper, backend] : keepers_.by) {
    if (backend->available(keeper)) names.emplace_back(to_string(keeper));
  }
  return names;
}

std::vector<std::string> Sessions::resting() const {
  return keepers_.rest ? keepers_.rest->resting() : std::vector<std::string>{};
}

// ---- their records

/// (waits) What PID 1 refuses is a second copy that is missing, not the first.
void Sessions::keep_anyway(const std::string& prefix, const backend::Session& kernel) {
  auto kept = fd_store_.keep_exactly(prefix, kernel.stored_fds());
  if (!kept) log::warning(kept.error().message);
}

void Sessions::set_standing(Held& held, Standing standing) {
  const auto unsettled = [](Standing one) {
    return one == Standing::adopting || one == Standing::unreached;
  };
  if (unsettled(standing) && !unsettled(held.standing)) ++unsettled_;
  if (!unsettled(standing) && unsettled(held.standing)) --unsettled_;
  held.standing = standing;
  if (unsettled_ == 0) device_.reset();
}

void Sessions::erase(Held& held) {
  set_standing(held, Standing::here);
  const auto record = std::move(held.record);
  auto gone = std::move(held.when_gone);
  auto here = std::move(held.when_here);
  auto retrieving = std::move(held.retrieving);
  names_.erase(record.id);
  if (const auto it = by_client_.find(record.client); it != by_client_.end()) {
    it->second.erase(record.name);
    if (it->second.empty()) by_client_.erase(it);
  }
  sessions_.erase(record.name);
  watch_.session_noted(record.id);
  for (auto& [token, replies] : retrieving) {
    for (const auto& reply : replies) {
      reply(fail(ErrorCode::no_such_session, "Session '" + record.name + "' has ended."));
    }
  }
  // A new one of its name first: what its owner sent behind CreateSession is meant for it.
  for (const auto& then : gone) then();
  for (const auto& then : here) then();
}

void Sessions::add_token(Held& held, TokenRecord token) {
  const auto number = token.token;
  const auto at = token_at(held.record, number);
  if (at != held.record.tokens.end() && at->token == number) {
    *at = std::move(token);
  } else {
    held.record.tokens.insert(at, std::move(token));
  }
  watch_.token_noted(held, number);
}

void Sessions::drop_token(Held& held, std::uint64_t token) {
  const auto at = token_at(held.record, token);
  if (at == held.record.tokens.end() || at->token != token) return;
  held.record.tokens.erase(at);
  held.token_charges.erase(token);
  watch_.token_noted(held, token);
}

backend::Limits Sessions::kernel_limits(const Owner& owner) const {
  backend::Limits limits;
  if (owner.uid != 0) limits.bytes = ledger_.limit(Resource::bytes);
  limits.descriptors = static_cast<std::uint32_t>(ledger_.limit(Resource::descriptors));
  return limits;
}

void Sessions::look_after(Held& held, const std::vector<backend::Loss>& losses, bool whole,
                          const std::string& why) {
  for (const auto& loss : losses) {
    drop_token(held, loss.token);
    watch_.lost(held.record, loss.token, loss.sentence);
  }
  if (!whole && held.standing == Standing::here) {
    set_standing(held, Standing::degraded);
    held.record.degraded = true;
    watch_.session_noted(held.record.id);
    watch_.session_degraded(held, why);
    schedule_again();
  } else if (whole && held.standing == Standing::degraded) {
    set_standing(held, Standing::here);
    held.record.degraded = false;
    watch_.session_noted(held.record.id);
    watch_.session_whole(held);
  }
}

void Sessions::refresh(Held& held, std::function<void(Held*)> then) {
  if (!held.record.opened || !held.kernel) return then(&held);
  // The kernel may be busy with the session, on behalf of its owner.
  using There = Result<std::vector<backend::Descriptor>>;
  work<There>(
      held, [kernel = held.kernel]() -> There { return kernel->describe(); },
      [this, then = std::move(then)](Held* there, const There& found) {
        if (there != nullptr && found) take_in(*there, *found);
        then(there);
      });
}

void Sessions::refresh_all(std::function<void()> then) {
  std::vector<std::string> opened;
  for (const auto& [name, held] : sessions_) {
    if (held.record.opened && held.kernel) opened.push_back(name);
  }
  if (opened.empty()) return then();
  const auto left = std::make_shared<std::size_t>(opened.size());
  const auto one = [left, then = std::move(then)](Held*) {
    if (--*left == 0) then();
  };
  for (const auto& name : opened) refresh(sessions_.at(name), one);
}

void Sessions::take_in(Held& held, const std::vector<backend::Descriptor>& there) {
  auto& record = held.record;
  std::map<std::uint64_t, const backend::Descriptor*> in_tracker;
  for (const auto& descriptor : there) {
    if (descriptor.keeper == Keeper::tracker) in_tracker.emplace(descriptor.token, &descriptor);
  }
  std::vector<std::uint64_t> gone;
  for (const auto& token : record.tokens) {
    // Lost with its half or given up by its owner; the first was told at the adoption.
    if (keeper_of(record, token) == Keeper::tracker && !in_tracker.contains(token.token)) {
      gone.push_back(token.token);
    }
  }
  for (const auto token : gone) drop_token(held, token);
  for (const auto& [token, descriptor] : in_tracker) {
    auto* const known = find_token(record, token);
    if (known == nullptr) {
      held.token_charges[token] = {
          ledger_.take_anyway(record.owner, Resource::descriptors, 1),
          ledger_.take_anyway(record.owner, Resource::bytes, descriptor->bytes)};
      add_token(held, record_of(record, *descriptor));
    } else if (keeper_of(record, *known) == Keeper::tracker && descriptor->retrieved &&
               !known->retrieved) {
      known->retrieved = true;
      watch_.token_noted(held, token);
    }
  }
}

}  // namespace handover::engine
