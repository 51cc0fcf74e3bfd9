// SPDX-License-Identifier: LGPL-2.1-or-later
// What the owners of sessions do with them.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "backend/descriptor.h"
#include "core/names.h"
#include "engine/session_work.h"
#include "engine/sessions.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// A new session's owner may wait for the answer with all that he does.
constexpr std::uint64_t longest_put_off_usec = 2'000'000;

/// As the kernel knows it: to ask a client's file server (FUSE) would make the loop wait for it.
std::uint64_t size_of(int fd) {
  struct statx status {};
  const int done =
      statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_SIZE, &status);
  return done == 0 && (status.stx_mask & STATX_SIZE) != 0 ? status.stx_size : 0;
}

/// (waits) Ends a session of the module's that is on nobody's record and has nothing in it: a
/// daemon that died before it had a new one written down leaves it behind.
bool end_left_behind(backend::Backend& backend, const std::string& name) {
  backend::Adopted left;
  left.name = name;
  left.keeper = Keeper::tracker;
  auto adoption = backend.adopt(left);
  if (!adoption || adoption->session->incoming() || adoption->unexpected) return false;
  return adoption->session->describe().empty() && adoption->session->discard();
}

}  // namespace

void Sessions::create(Spec spec, Reply<void> done) {
  if (auto valid = check_session_name(spec.name); !valid) return done(fail(valid.error()));
  if (const auto it = sessions_.find(spec.name); it != sessions_.end()) {
    if (it->second.record.ending || will_be_gone(it->second)) {
      // Its end is on the way: the name is free in a moment.
      it->second.when_gone.push_back(
          [this, spec = std::move(spec), done = std::move(done)]() mutable {
            create(std::move(spec), std::move(done));
          });
      return;
    }
    if (it->second.to_end) return done(fail(ends_soon(spec.name)));
    return done(fail(
        ErrorCode::name_taken,
        "A session '" + spec.name + "' exists; finish or discard it, or choose another name."));
  }
  const auto keeper = spec.keeper.value_or(keepers_.main);
  const auto made_by = keepers_.by.find(keeper);
  if (made_by == keepers_.by.end()) {
    std::string have;
    for (const auto& known : keeper_names()) have += (have.empty() ? "" : ", ") + known;
    return done(fail(ErrorCode::no_such_backend, "There is no backend '" +
                                                     std::string(to_string(keeper)) +
                                                     "' here; available: " + have + "."));
  }
  auto charge = ledger_.take(spec.owner, Resource::sessions, 1);
  if (!charge) return done(fail(charge.error()));

  auto& held = sessions_[spec.name];
  names_[spec.id] = spec.name;
  if (!spec.client.empty()) by_client_[spec.client].insert(spec.name);
  held.charge = std::move(*charge);
  held.record.id = spec.id;
  held.record.name = spec.name;
  held.record.keeper = keeper;
  held.record.client = spec.client;
  held.record.owner = spec.owner;
  held.record.cgroup = spec.cgroup;
  begin_or_put_off(spec.can_wait,
                   [this, id = spec.id, backend = made_by->second, done = std::move(done)] {
                     if (auto* const there = find_by_id(id)) make(*there, backend, done);
                   });
}

void Sessions::begin_or_put_off(bool can_wait, std::function<void()> begin) {
  if (!putting_off_ || !can_wait) return begin();
  put_off_.push_back({host_.now(), std::move(begin)});
  if (!put_off_alarm_) watch_put_off();
}

void Sessions::put_off(bool wait) {
  putting_off_ = wait;
  if (!wait) begin_put_off(0);
}

/// Those that have waited for so long.
void Sessions::begin_put_off(std::uint64_t waited_usec) {
  std::vector<std::function<void()>> due;
  const auto now = host_.now();
  while (!put_off_.empty() &&
         ticks_to_usec(now - put_off_.front().since, host_.ticks_per_second()) >= waited_usec) {
    due.push_back(std::move(put_off_.front().begin));
    put_off_.pop_front();
  }
  for (const auto& begin : due) begin();
}

void Sessions::watch_put_off() {
  put_off_alarm_ = host_.after(longest_put_off_usec, [this] {
    put_off_alarm_.reset();
    begin_put_off(longest_put_off_usec);
    if (!put_off_.empty()) watch_put_off();
  });
}

/// Has the kernel make a session that is on record.
void Sessions::make(Held& held, const std::shared_ptr<backend::Backend>& backend,
                    Reply<void> done) {
  using Made = Result<std::shared_ptr<backend::Session>>;
  work<Made>(
      held,
      [this, backend, name = held.record.name, keeper = held.record.keeper,
       limits = kernel_limits(held.record.owner), prefix = prefix_of(held)]() -> Made {
        auto made = backend->create(name, keeper, limits);
        if (!made && made.error().code == ErrorCode::name_taken && keeper == Keeper::tracker &&
            end_left_behind(*backend, name)) {
          made = backend->create(name, keeper, limits);
        }
        if (!made) return fail(made.error());
        std::shared_ptr<backend::Session> session = std::move(*made);
        for (const auto& stored : session->stored_fds()) {
          auto kept = fd_store_.keep(prefix, stored.part, stored.fd);
          if (kept) continue;
          // A session that the fd store refuses would be lost with the daemon: not made at all.
          if (auto undone = session->discard(); !undone) return fail(undone.error());
          return fail(kept.error());
        }
        return session;
      },
      [this, done = std::move(done)](Held* there, Made made) {
        if (there == nullptr) return;
        if (!made) {
          erase(*there);
          return done(fail(made.error()));
        }
        there->kernel = std::move(*made);
        set_standing(*there, Standing::here);
        watch_.session_noted(there->record.id);
        auto waiting = std::exchange(there->when_here, {});
        done({});
        for (const auto& then : waiting) then();
      });
}

void Sessions::preserve(Held& held, std::uint64_t token, UniqueFd fd, bool blob,
                        std::optional<Keeper> keeper, const std::string& cgroup, Reply<void> done) {
  auto& record = held.record;
  if (record.incoming) {
    return done(fail(ErrorCode::incoming,
                     "Session '" + record.name +
                         "' still holds state from the earlier kernel; retrieve it, finish the "
                         "session and create it anew."));
  }
  if (!held.kernel) return done(fail(not_here(held)));
  if (find_token(record, token) != nullptr || held.preserving.contains(token)) {
    return done(fail(ErrorCode::token_taken, "Session '" + record.name + "' already holds token " +
                                                 std::to_string(token) +
                                                 "; choose another, or unpreserve it first."));
  }
  Held::TokenCharges charges;
  auto one = ledger_.take(record.owner, Resource::descriptors, 1);
  if (!one) return done(fail(one.error()));
  charges.descriptor = std::move(*one);
  auto bytes = ledger_.take(record.owner, Resource::bytes, size_of(fd.get()));
  if (!bytes) return done(fail(bytes.error()));
  charges.bytes = std::move(*bytes);

  held.preserving.insert(token);
  struct Done {
    Result<backend::Descriptor> descriptor;
    std::vector<backend::Loss> losses = {};
    bool whole = false;  // unless it is looked at
    std::string warning = {};
  };
  auto shared_charges = std::make_shared<Held::TokenCharges>(std::move(charges));
  auto shared_fd = std::make_shared<UniqueFd>(std::move(fd));
  work<Done>(
      held,
      [this, kernel = held.kernel, token, shared_fd, keeper, cgroup, in_tracker = record.opened,
       prefix = prefix_of(held)]() -> Done {
        // Asked here: OpenLUO may have come just before in this queue.
        const bool luo_opened = kernel->is_luo_opened();
        const bool opened = in_tracker || luo_opened;
        auto preserved = kernel->preserve(token, shared_fd->get(), keeper, cgroup);
        std::vector<backend::Loss> losses = {};
        // What the owner has preserved there by his own descriptor is his.
        if (!preserved && preserved.error().code == ErrorCode::token_taken && !opened) {
          // An earlier process died between the kernel's work and its record: what the kernel holds
          // under this token was never promised to anybody, and goes.
          (void)fd_store_.let_go(prefix, session_part);
          auto made = kernel->unpreserve(token);
          // LUO does not tell which tokens it has.
          if (!made) made = kernel->preserve_again(nullptr);
          losses = kernel->take_losses();
          if (made) preserved = kernel->preserve(token, shared_fd->get(), keeper, cgroup);
          keep_anyway(prefix, *kernel);
        }
        if (!preserved) return {fail(preserved.error()), losses, kernel->whole()};
        for (const auto& stored : preserved->stored) {
          auto kept = fd_store_.keep(prefix, stored.part, stored.fd);
          if (kept) continue;
          if (luo_opened) {
            // It cannot be taken out again, and is safe as long as this process lives.
            log::warning(kept.error().message);
            continue;
          }
          Done undone{fail(kept.error()), {}, true};
          // The kernel's session may have to be made anew under its name.
          (void)fd_store_.let_go(prefix, session_part);
          if (auto gone = kernel->unpreserve(token); !gone) {
            undone.losses = kernel->take_losses();
          }
          keep_anyway(prefix, *kernel);
          undone.whole = kernel->whole();
          return undone;
        }
        return {preserved->descriptor, losses, kernel->whole(), std::move(preserved->warning)};
      },
      [this, token, blob, shared_charges, done = std::move(done)](Held* there, Done result) {
        if (there == nullptr) {
          return done(fail(ErrorCode::no_such_session, "The session has ended."));
        }
        there->preserving.erase(token);
        look_after(*there, result.losses, result.whole, "");
        tell_charged_here(result.warning);
        if (!result.descriptor) return done(fail(result.descriptor.error()));
        if (blob) result.descriptor->kind = Kind::blob;
        there->token_charges.insert_or_assign(token, std::move(*shared_charges));
        add_token(*there, record_of(there->record, *result.descriptor));
        done({});
      });
}

/// Its owner does not pay for it: the daemon's own limits are at stake.
void Sessions::tell_charged_here(const std::string& warning) {
  if (warning.empty()) return;
  ++charged_here_;
  log::warning(warning);
}

void Sessions::unpreserve(Held& held, std::uint64_t token, Reply<void> done) {
  auto& record = held.record;
  if (record.incoming) {
    return done(fail(ErrorCode::incoming, "Session '" + record.name +
                                              "' holds state from the earlier kernel; retrieve or "
                                              "finish it."));
  }
  if (!held.kernel) return done(fail(not_here(held)));
  if (held.preserving.contains(token)) {
    // Its owner does not wait for one answer before the next call: one after the other.
    work<int>(
        held, [] { return 0; },
        [this, token, done = std::move(done)](Held* there, int) {
          if (there == nullptr) {
            return done(fail(ErrorCode::no_such_session, "The session has ended."));
          }
          unpreserve(*there, token, done);
        });
    return;
  }
  if (find_token(record, token) == nullptr) {
    return done(fail(ErrorCode::no_such_token, "Session '" + record.name + "' holds no token " +
                                                   std::to_string(token) + "."));
  }
  struct Done {
    Result<void> result;
    std::vector<backend::Loss> losses = {};
    bool whole = false;  // unless it is looked at
  };
  work<Done>(
      held,
      [this, kernel = held.kernel, token, prefix = prefix_of(held)]() -> Done {
        // The backend may have to make the kernel session anew under its name.
        const auto gone =
            kernel->is_luo_opened() ? Result<void>() : fd_store_.let_go(prefix, session_part);
        if (!gone) {
          keep_anyway(prefix, *kernel);
          return {gone, {}, kernel->whole()};
        }
        Done result{kernel->unpreserve(token), {}, true};
        result.losses = kernel->take_losses();
        result.whole = kernel->whole();
        keep_anyway(prefix, *kernel);
        return result;
      },
      [this, token, done = std::move(done)](Held* there, const Done& result) {
        if (there == nullptr) return done({});
        if (result.result) drop_token(*there, token);
        look_after(*there, result.losses, result.whole, "");
        done(result.result);
      });
}

void Sessions::retrieve(Held& held, std::uint64_t token, const std::string& cgroup,
                        Reply<UniqueFd> done) {
  auto& record = held.record;
  if (!record.incoming) return give_back(held, token, std::move(done));
  if (find_token(record, token) == nullptr && !record.opened && !record.luo_opened) {
    return done(fail(ErrorCode::no_such_token, "Session '" + record.name + "' holds no token " +
                                                   std::to_string(token) + "."));
  }
  if (!held.kernel) return done(fail(not_here(held)));
  if (const auto given = held.given.find(token); given != held.given.end()) {
    return done(backend::duplicate_fd(given->second.get()));
  }
  auto& waiting = held.retrieving[token];
  waiting.push_back(std::move(done));
  if (waiting.size() > 1) return;
  // Also what the record calls retrieved: whoever got it from the daemon before us may be dead, and
  // LUO gives a file again until the session is finished (luo_retrieve_file(), Linux 7.2).
  using Retrieved = Result<backend::Session::Retrieved>;
  work<Retrieved>(
      held,
      [this, kernel = held.kernel, token, cgroup, prefix = prefix_of(held)]() -> Retrieved {
        auto got = kernel->retrieve(token, cgroup);
        if (got && got->once) {
          // At once: from here on our death does not take it along.
          auto kept = fd_store_.keep(prefix, token_part(token), got->fd.get());
          if (!kept) log::warning(kept.error().message);
        }
        return got;
      },
      [this, token](Held* there, Retrieved retrieved) {
        if (there == nullptr) return;
        auto replies = std::move(there->retrieving[token]);
        there->retrieving.erase(token);
        if (!retrieved) {
          for (const auto& reply : replies) reply(fail(retrieved.error()));
          return;
        }
        tell_charged_here(retrieved->warning);
        if (auto* const known = find_token(there->record, token)) {
          known->retrieved = true;
          watch_.token_noted(*there, token);
        } else if (there->record.luo_opened) {
          there->record.luo_claimed = true;
          watch_.session_noted(there->record.id);
        }
        auto& given = there->given[token] = std::move(retrieved->fd);
        for (const auto& reply : replies) reply(backend::duplicate_fd(given.get()));
      });
}

/// In the same kernel: its owner may have died, and what it preserved is here.
void Sessions::give_back(Held& held, std::uint64_t token, Reply<UniqueFd> done) {
  auto& record = held.record;
  if (record.ending) {
    return done(fail(ErrorCode::busy, "Session '" + record.name + "' is being discarded."));
  }
  if (!held.kernel) return done(fail(not_here(held)));
  const auto* const known = find_token(record, token);
  if (known == nullptr && !held.preserving.contains(token)) {
    return done(fail(ErrorCode::no_such_token, "Session '" + record.name + "' holds no token " +
                                                   std::to_string(token) + "."));
  }
  // By his own descriptor the owner can have put another file there.
  const bool unsure =
      record.opened && (known == nullptr || keeper_of(record, *known) == Keeper::tracker);
  using Duplicate = Result<UniqueFd>;
  work<Duplicate>(
      held,
      [kernel = held.kernel, token, name = record.name, unsure]() -> Duplicate {
        auto duplicate = unsure ? std::nullopt : kernel->duplicate(token);
        if (duplicate) return std::move(*duplicate);
        return fail(ErrorCode::not_supported,
                    "The kernel alone holds token " + std::to_string(token) + " of session '" +
                        name +
                        "' and gives it back only after the next live update: it was preserved by "
                        "OpenTracker, or before the daemon was started.");
      },
      [done = std::move(done)](Held*, Duplicate given) { done(std::move(given)); });
}

void Sessions::open_tracker(Held& held, Reply<UniqueFd> done) {
  if (!held.kernel) return done(fail(not_here(held)));
  work<Result<UniqueFd>>(
      held, [kernel = held.kernel]() -> Result<UniqueFd> { return kernel->open_tracker(); },
      [this, done = std::move(done)](Held* there, Result<UniqueFd> fd) {
        if (there != nullptr && fd) {
          there->record.opened = true;
          watch_.session_noted(there->record.id);
        }
        done(std::move(fd));
      });
}

void Sessions::open_luo(Held& held, Reply<UniqueFd> done) {
  if (!held.kernel) return done(fail(not_here(held)));
  if (held.record.ending) {
    return done(fail(ErrorCode::busy, "Session '" + held.record.name + "' is being ended."));
  }
  work<Result<UniqueFd>>(
      held, [kernel = held.kernel]() -> Result<UniqueFd> { return kernel->open_luo(); },
      [this, done = std::move(done)](Held* there, Result<UniqueFd> fd) {
        if (there != nullptr && fd) {
          auto& record = there->record;
          record.luo_opened = true;
          record.luo_claimed = record.incoming;
          watch_.session_noted(record.id);
        }
        done(std::move(fd));
      });
}

void Sessions::finish(Held& held, bool can_wait, Reply<std::vector<std::uint64_t>> done) {
  auto& record = held.record;
  if (!record.incoming) {
    return done(fail(ErrorCode::not_incoming,
                     "Session '" + record.name +
                         "' holds nothing from an earlier kernel, so there is nothing to finish; "
                         "'discard' ends it."));
  }
  if (record.ending) {
    return done(fail(ErrorCode::busy, "Session '" + record.name + "' is being finished."));
  }
  if (!held.kernel) return done(fail(not_here(held)));
  // Written down before it is done: a daemon that dies half-way must not call the rest lost. And
  // before anybody else is called, so that the next process does not ask this owner again.
  record.ending = true;
  watch_.session_noted(record.id);
  watch_.write_down();
  ++finishing_;
  begin_or_put_off(can_wait, [this, id = record.id, done = std::move(done)] {
    if (auto* const there = find_by_id(id)) return have_finished(*there, done);
    if (--finishing_ == 0) watch_.finishes_over();
  });
}

void Sessions::have_finished(Held& held, Reply<std::vector<std::uint64_t>> done) {
  struct Done {
    Result<void> result;
    std::optional<std::vector<backend::Descriptor>> there = {};
  };
  work<Done>(
      held,
      [this, kernel = held.kernel, opened = held.record.opened,
       prefix = prefix_of(held)]() -> Done {
        Done result;
        if (opened) result.there = kernel->describe();
        result.result = kernel->finish();
        if (!result.result) return result;
        // It is finished, whatever PID 1 says, and nobody waits for it in the blackout: an incoming
        // session's name is not in a new one's way.
        if (auto gone = fd_store_.forget_all(prefix); !gone) log::error(gone.error().message);
        return result;
      },
      [this, done = std::move(done)](Held* there, Done result) {
        if (--finishing_ == 0) watch_.finishes_over();
        if (there == nullptr) return;
        if (result.there) take_in(*there, *result.there);
        if (!result.result) {
          there->record.ending = false;
          watch_.session_noted(there->record.id);
          const auto waiting = std::exchange(there->when_gone, {});
          done(fail(result.result.error()));
          for (const auto& then : waiting) then();
          return;
        }
        std::vector<std::uint64_t> unclaimed;
        for (const auto& token : there->record.tokens) {
          if (!token.retrieved) unclaimed.push_back(token.token);
        }
        const auto ended = there->record;
        erase(*there);
        watch_.session_gone(ended);
        done(std::move(unclaimed));
      });
}

void Sessions::discard(Held& held, Reply<void> done) {
  auto& record = held.record;
  if (record.incoming) {
    return done(fail(ErrorCode::incoming, "Session '" + record.name +
                                              "' holds state from the earlier kernel; 'finish' "
                                              "ends it."));
  }
  if (record.ending) {
    return done(fail(ErrorCode::busy, "Session '" + record.name + "' is being discarded."));
  }
  if (!held.kernel) return done(fail(not_here(held)));
  record.ending = true;
  watch_.session_noted(record.id);
  watch_.write_down();
  work<Result<void>>(
      held,
      [this, kernel = held.kernel, prefix = prefix_of(held)]() -> Result<void> {
        if (auto gone = kernel->discard(); !gone) return gone;
        // The kernel's session goes with its last descriptor, and with it the name.
        if (auto gone = fd_store_.let_go_all(prefix); !gone) log::warning(gone.error().message);
        return {};
      },
      [this, done = std::move(done)](Held* there, const Result<void>& result) {
        if (there == nullptr) return;
        if (!result) {
          there->record.ending = false;
          watch_.session_noted(there->record.id);
          auto waiting = std::move(there->when_gone);
          for (const auto& then : waiting) then();
          return done(result);
        }
        const auto ended = there->record;
        erase(*there);
        watch_.session_gone(ended);
        done({});
      });
}

}  // namespace handover::engine
