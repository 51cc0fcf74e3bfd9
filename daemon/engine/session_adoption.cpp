// SPDX-License-Identifier: LGPL-2.1-or-later
// What a new process of the daemon does with the sessions on record: it asks the kernel for them,
// again and again where it must, or gives them up.
#include <algorithm>
#include <utility>

#include "engine/session_work.h"
#include "engine/sessions.h"
#include "system/log.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t first_again_usec = 50'000;
constexpr std::uint64_t longest_again_usec = 2'000'000;

}  // namespace

void Sessions::charge_anyway(Held& held) {
  const auto& record = held.record;
  held.charge = ledger_.take_anyway(record.owner, Resource::sessions, 1);
  for (const auto& token : record.tokens) {
    held.token_charges[token.token] = {
        ledger_.take_anyway(record.owner, Resource::descriptors, 1),
        ledger_.take_anyway(record.owner, Resource::bytes, token.bytes)};
  }
}

void Sessions::expect(std::vector<SessionRecord> records,
                      std::map<std::uint64_t, std::vector<backend::Adopted::Part>> parts) {
  for (auto& record : records) {
    const auto name = record.name;
    const auto id = record.id;
    expected_.push_back(id);
    names_[id] = name;
    if (!record.client.empty()) by_client_[record.client].insert(name);
    auto& held = sessions_[name];
    held.record = std::move(record);
    held.parts = std::move(parts[id]);
    charge_anyway(held);
    for (const auto& part : held.parts) {
      fd_store_.came_back(prefix_of(held), part.part, part.fd.get());
    }
    set_standing(held, Standing::adopting);
  }
}

void Sessions::adopt() {
  // In this order the pool takes them.
  for (const auto id : std::exchange(expected_, {})) adopt_one(*find_by_id(id));
}

void Sessions::adopt_one(Held& held) {
  const auto made_by = keepers_.by.find(held.record.keeper);
  if (made_by == keepers_.by.end()) {
    host_.post([this, alive = alive_, id = held.record.id] {
      auto* const there = *alive ? find_by_id(id) : nullptr;
      if (there == nullptr) return;
      lose(*there, "it was kept by backend '" + std::string(to_string(there->record.keeper)) +
                       "', which is not here any more.");
    });
    return;
  }
  // While one is asked for, the kernel's device stays open for all.
  if (!device_) device_ = made_by->second->hold();
  auto adopted = std::make_shared<backend::Adopted>();
  adopted->name = held.record.name;
  adopted->keeper = held.record.keeper;
  adopted->incoming = held.record.incoming;
  adopted->parts = std::exchange(held.parts, {});
  adopted->luo_opened = held.record.luo_opened;
  adopted->limits = kernel_limits(held.record.owner);
  for (const auto& token : held.record.tokens) {
    backend::Descriptor descriptor;
    descriptor.token = token.token;
    descriptor.kind = token.kind;
    descriptor.bytes = token.bytes;
    descriptor.keeper = keeper_of(held.record, token);
    adopted->tokens.push_back(descriptor);
  }
  work<Result<Found>>(
      held,
      [this, backend = made_by->second, adopted, prefix = prefix_of(held)]() -> Result<Found> {
        auto adoption = backend->adopt(*adopted);
        if (!adoption) return fail(adoption.error());
        // At once: a session that only this process has would go with it. What was stored just
        // before the daemon died, and never promised, leaves the fd store: another descriptor may
        // be stored under its name later, and nobody could tell the two apart.
        auto stored = adoption->session->stored_fds();
        for (const auto& [token, fd] : adoption->given) {
          stored.push_back({token_part(token), fd.get()});
        }
        // Its second copy would be missing, not the first.
        if (auto kept = fd_store_.keep_exactly(prefix, stored); !kept) {
          log::warning(kept.error().message);
        }
        auto there = adoption->session->describe();
        const bool whole = adoption->session->whole();
        return Found{std::move(*adoption), std::move(there), whole};
      },
      [this, adopted](Held* there, Result<Found> found) {
        if (there == nullptr) return;
        if (found) return take_over(*there, std::move(*found));
        if (found.error().nature != Nature::passing || std::exchange(there->given_up, false)) {
          return lose(*there, found.error().message);
        }
        // On record it stays, and what came back for it stays with us.
        there->parts = std::move(adopted->parts);
        there->why_unreached = found.error();
        if (there->standing != Standing::unreached) {
          set_standing(*there, Standing::unreached);
          watch_.session_unreached(*there);
        }
        // Who waits for its name hears that it takes longer.
        for (const auto& then : std::exchange(there->when_gone, {})) then();
        schedule_again();
      });
}

void Sessions::take_over(Held& held, Found found) {
  held.kernel = std::move(found.adoption.session);
  held.why_unreached.reset();
  // The kernel knows best: a crash may have come between its change and our record of it.
  held.record.incoming = held.kernel->incoming();
  for (auto& [token, fd] : found.adoption.given) held.given.insert_or_assign(token, std::move(fd));
  const bool was_unreached = held.standing == Standing::unreached;
  set_standing(held, Standing::here);
  for (const auto& loss : found.adoption.losses) {
    const auto* const known = find_token(held.record, loss.token);
    // A session whose end was begun has given out what was wanted of it.
    const bool given = held.record.ending && (known == nullptr || known->retrieved);
    drop_token(held, loss.token);
    if (!given) watch_.lost(held.record, loss.token, loss.sentence);
  }
  take_in(held, found.there);
  look_after(held, {}, found.whole, "not all of it could be preserved again");
  watch_.session_noted(held.record.id);
  if (was_unreached) watch_.session_whole(held);
  tell_settled(held);
}

void Sessions::tell_settled(Held& held) {
  const auto name = held.record.name;
  const auto client = held.record.client;
  auto waiting = std::move(held.when_here);
  held.when_here.clear();
  for (const auto& then : waiting) then();
  watch_.session_settled(name, client);
}

void Sessions::lose(Held& held, const std::string& why) {
  // PID 1 keeps a file once, under whatever name: what it has of this session would be in the way
  // of an owner that preserves the same file in the next one.
  work<Result<void>>(
      held, [this, prefix = prefix_of(held)] { return fd_store_.forget_all(prefix); },
      [this, why](Held* there, const Result<void>& forgotten) {
        if (!forgotten) log::warning(forgotten.error().message);
        if (there != nullptr) lost(*there, why);
      });
}

void Sessions::lost(Held& held, const std::string& why) {
  auto record = held.record;
  erase(held);
  if (record.ending) {
    // It was on its way out, and is gone: what was not retrieved may not have been told.
    for (const auto& token : record.tokens) {
      if (!record.incoming || token.retrieved) continue;
      watch_.lost(record, token.token,
                  "Session '" + record.name + "', token " + std::to_string(token.token) +
                      " was not retrieved and is freed.");
    }
  } else {
    watch_.lost(record, std::nullopt, "Session '" + record.name + "' is lost: " + why);
  }
  watch_.session_gone(record);
  watch_.session_settled(record.name, record.client);
}

void Sessions::schedule_again() {
  if (again_) return;
  again_usec_ = std::clamp(2 * again_usec_, first_again_usec, longest_again_usec);
  again_ = host_.after(again_usec_, [this] {
    again_.reset();
    try_again();
  });
}

void Sessions::try_again() {
  bool any = false;
  for (const auto& name : in(Standing::unreached)) {
    auto& held = sessions_.at(name);
    if (held.working != 0) continue;
    any = true;
    adopt_one(held);
  }
  for (const auto& name : in(Standing::degraded)) {
    auto& held = sessions_.at(name);
    if (held.working != 0) continue;
    any = true;
    struct Done {
      std::vector<backend::Loss> losses = {};
      bool whole = false;
      std::string why;
    };
    work<Done>(
        held,
        [this, kernel = held.kernel, prefix = prefix_of(held)]() -> Done {
          Done done;
          if (auto mended = kernel->mend(); !mended) done.why = mended.error().message;
          done.losses = kernel->take_losses();
          done.whole = kernel->whole();
          keep_anyway(prefix, *kernel);
          return done;
        },
        [this](Held* there, const Done& done) {
          if (there == nullptr) return;
          look_after(*there, done.losses, done.whole, done.why);
          if (there->standing == Standing::degraded) schedule_again();
        });
  }
  if (!any && in(Standing::unreached).empty() && in(Standing::degraded).empty()) again_usec_ = 0;
}

void Sessions::give_up_unreached() {
  for (const auto& name : in(Standing::adopting)) sessions_.at(name).given_up = true;
  for (const auto& name : in(Standing::unreached)) {
    auto& held = sessions_.at(name);
    if (held.working != 0) {
      // It may be coming at this instant.
      held.given_up = true;
      continue;
    }
    lose(held, held.why_unreached ? held.why_unreached->message : "the kernel does not give it.");
  }
}

}  // namespace handover::engine
