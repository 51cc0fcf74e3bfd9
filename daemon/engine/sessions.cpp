// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/sessions.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "backend/descriptor.h"
#include "core/names.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t first_again_usec = 50'000;
constexpr std::uint64_t longest_again_usec = 2'000'000;
/// A new session's owner may wait for the answer with all that he does.
constexpr std::uint64_t longest_put_off_usec = 2'000'000;

std::vector<TokenRecord>::iterator token_at(SessionRecord& record, std::uint64_t token) {
  return std::lower_bound(
      record.tokens.begin(), record.tokens.end(), token,
      [](const TokenRecord& have, std::uint64_t want) { return have.token < want; });
}

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

std::uint64_t size_of(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size)
                                                       : 0;
}

/// Small pages cost the companion module nothing: it joins those that lie side by side.
bool to_collapse(const SessionRecord& session, const TokenRecord& token) {
  return token.kind == Kind::memfd && keeper_of(session, token) != Keeper::tracker;
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

}  // namespace

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

// ---- the queues

template <typename T>
void Sessions::work(Held& held, std::function<T()> job, std::function<void(Held*, T)> then) {
  ++held.working;
  ++working_;
  const auto id = held.record.id;
  host_.run(queue_of(held),
            [this, alive = alive_, id, job = std::move(job),
             then = std::move(then)]() mutable -> std::function<void()> {
              auto result = std::make_shared<T>(run_or_fail("a job of a session", job));
              job = nullptr;
              return [this, alive, id, result, then = std::move(then)] {
                if (!*alive) return;
                auto* const there = find_by_id(id);
                if (there != nullptr) --there->working;
                --working_;
                then(there, std::move(*result));
                if (working_ == 0) watch_.sessions_idle();
              };
            });
}

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

// ---- what their owners do with them

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
  auto begin = [this, id = spec.id, backend = made_by->second, done = std::move(done)] {
    if (auto* const there = find_by_id(id)) make(*there, backend, done);
  };
  if (!putting_off_ || !spec.can_wait) return begin();
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
  };
  auto shared_charges = std::make_shared<Held::TokenCharges>(std::move(charges));
  auto shared_fd = std::make_shared<UniqueFd>(std::move(fd));
  work<Done>(
      held,
      [this, kernel = held.kernel, token, shared_fd, keeper, cgroup,
       opened = record.opened || record.luo_opened, luo_opened = record.luo_opened,
       prefix = prefix_of(held)]() -> Done {
        auto preserved = kernel->preserve(token, shared_fd->get(), keeper, cgroup);
        std::vector<backend::Loss> losses = {};
        // What the owner has preserved there by his own descriptor is his.
        if (!preserved && preserved.error().code == ErrorCode::token_taken && !opened) {
          // An earlier process died between the kernel's work and its record: what the kernel holds
          // under this token was never promised to anybody, and goes.
          (void)fd_store_.forget(prefix, session_part);
          (void)fd_store_.barrier();
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
          (void)fd_store_.forget(prefix, session_part);
          (void)fd_store_.barrier();
          if (auto gone = kernel->unpreserve(token); !gone) {
            undone.losses = kernel->take_losses();
          }
          keep_anyway(prefix, *kernel);
          undone.whole = kernel->whole();
          return undone;
        }
        return {preserved->descriptor, losses, kernel->whole()};
      },
      [this, token, blob, shared_charges, done = std::move(done)](Held* there, Done result) {
        if (there == nullptr) {
          return done(fail(ErrorCode::no_such_session, "The session has ended."));
        }
        there->preserving.erase(token);
        look_after(*there, result.losses, result.whole, "");
        if (!result.descriptor) return done(fail(result.descriptor.error()));
        if (blob) result.descriptor->kind = Kind::blob;
        there->token_charges.insert_or_assign(token, std::move(*shared_charges));
        add_token(*there, record_of(there->record, *result.descriptor));
        done({});
      });
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
      [this, kernel = held.kernel, token, luo_opened = record.luo_opened,
       prefix = prefix_of(held)]() -> Done {
        if (luo_opened) return {kernel->unpreserve(token), {}, kernel->whole()};
        // The backend may have to make the kernel session anew under its name.
        Result<void> gone = fd_store_.forget(prefix, session_part);
        if (gone) gone = fd_store_.barrier();
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
        if (!retrieved->warning.empty()) log::warning(retrieved->warning);
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

void Sessions::finish(Held& held, Reply<std::vector<std::uint64_t>> done) {
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
  // Written down before it is done: a daemon that dies half-way must not call the rest lost.
  record.ending = true;
  watch_.session_noted(record.id);
  watch_.write_down();
  struct Done {
    Result<void> result;
    std::optional<std::vector<backend::Descriptor>> there = {};
  };
  work<Done>(
      held,
      [this, kernel = held.kernel, opened = record.opened, prefix = prefix_of(held)]() -> Done {
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
        Result<void> forgotten = fd_store_.forget_all(prefix);
        if (forgotten) forgotten = fd_store_.barrier();
        if (!forgotten) log::warning(forgotten.error().message);
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

// ---- an update

std::uint64_t Sessions::bytes_to_collapse(const SessionRecord& record) {
  std::uint64_t bytes = 0;
  if (record.luo_opened) return bytes;  // it is never made anew
  for (const auto& token : record.tokens) {
    if (to_collapse(record, token)) bytes += token.bytes;
  }
  return bytes;
}

void Sessions::collapse(Held& held, std::function<void(std::uint64_t)> progress,
                        const std::atomic<bool>& cancel, Reply<Collapse> done) {
  if (!held.kernel) return done(fail(not_here(held)));
  if (held.record.luo_opened) return done(Collapse{});
  std::vector<std::uint64_t> tokens;
  std::uint64_t before = 0;
  for (const auto& token : held.record.tokens) {
    if (to_collapse(held.record, token)) tokens.push_back(token.token);
  }
  struct Done {
    Result<Collapse> result;
    std::vector<backend::Loss> losses = {};
    bool whole = false;  // unless it is looked at
  };
  work<Done>(
      held,
      [this, kernel = held.kernel, tokens, before, progress = std::move(progress), &cancel,
       cgroup = held.record.cgroup, prefix = prefix_of(held)]() mutable -> Done {
        Collapse total;
        const auto collapse_all = [&]() -> Result<void> {
          for (const auto token : tokens) {
            if (cancel) return fail(ErrorCode::cancelled, "The collapse was cancelled.");
            const auto fd = kernel->duplicate(token);
            if (!fd) continue;
            std::uint64_t last = 0;
            const auto collapsed = host_.collapse(
                fd->get(), cgroup,
                [&](std::uint64_t bytes) {
                  last = bytes;
                  progress(before + bytes);
                },
                cancel);
            if (!collapsed) return fail(collapsed.error());
            before += last;
            total.bytes_huge += collapsed->bytes_huge;
            total.bytes_small += collapsed->bytes_small;
          }
          return {};
        };
        Result<void> gone = fd_store_.forget(prefix, session_part);
        if (gone) gone = fd_store_.barrier();
        Done result;
        Result<void> again = gone ? kernel->preserve_again(collapse_all) : gone;
        result.losses = kernel->take_losses();
        result.whole = kernel->whole();
        keep_anyway(prefix, *kernel);
        if (again) {
          result.result = total;
        } else {
          result.result = fail(again.error());
        }
        return result;
      },
      [this, done = std::move(done)](Held* there, Done result) {
        if (there != nullptr) look_after(*there, result.losses, result.whole, "");
        done(std::move(result.result));
      });
}

void Sessions::store_sessions_only() {
  for (auto& [name, held] : sessions_) {
    if (!held.kernel) continue;
    work<Result<void>>(
        held,
        [this, kernel = held.kernel, prefix = prefix_of(held)]() -> Result<void> {
          auto fds = kernel->stored_fds();
          std::erase_if(fds, [](const auto& stored) { return stored.part != session_part; });
          return fd_store_.keep_exactly(prefix, fds);
        },
        [](Held*, const Result<void>& kept) {
          if (!kept) log::warning(kept.error().message);
        });
  }
}

void Sessions::store_everything() {
  for (auto& [name, held] : sessions_) {
    if (!held.kernel) continue;
    work<Result<void>>(
        held,
        [this, kernel = held.kernel, prefix = prefix_of(held)]() -> Result<void> {
          return fd_store_.keep_exactly(prefix, kernel->stored_fds());
        },
        [](Held*, const Result<void>& kept) {
          if (!kept) log::warning(kept.error().message);
        });
  }
}

// ---- a new process of the daemon

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

std::vector<NamedDescriptor> Sessions::duplicate_all() const {
  std::vector<NamedDescriptor> all;
  for (const auto& [name, held] : sessions_) {
    if (!held.kernel) continue;
    for (const auto& stored : held.kernel->stored_fds()) {
      all.push_back({FdStore::stored_name(prefix_of(held), stored.part),
                     UniqueFd(fcntl(stored.fd, F_DUPFD_CLOEXEC, 3))});
    }
  }
  return all;
}

}  // namespace handover::engine
