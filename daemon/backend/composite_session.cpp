// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/composite_session.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "backend/choice.h"
#include "backend/kernel_result.h"
#include "backend/refusal.h"

namespace handover::backend {
namespace {

/// Whether it is worth asking the other keeper.
bool cannot_keep(const Error& error) {
  return error.code == ErrorCode::unsupported || error.code == ErrorCode::no_such_backend ||
         error.code == ErrorCode::not_supported;
}

bool is_absent(const Error& error) {
  return error.code == ErrorCode::no_such_session || error.code == ErrorCode::no_such_backend;
}

/// What came back for each half.
struct Split {
  Adopted luo;
  Adopted tracker;
};

Split split(Adopted& adopted) {
  Split halves;
  for (Adopted* half : {&halves.luo, &halves.tracker}) {
    half->name = adopted.name;
    half->incoming = adopted.incoming;
    half->limits = adopted.limits;
    half->luo_opened = adopted.luo_opened;
  }
  halves.luo.keeper = Keeper::luo;
  halves.tracker.keeper = Keeper::tracker;
  std::set<Part> of_tracker;
  for (const Descriptor& descriptor : adopted.tokens) {
    const bool tracker = descriptor.keeper == Keeper::tracker;
    if (tracker) of_tracker.insert(token_part(descriptor.token));
    (tracker ? halves.tracker : halves.luo).tokens.push_back(descriptor);
  }
  for (Adopted::Part& one : adopted.parts) {
    (of_tracker.contains(one.part) ? halves.tracker : halves.luo).parts.push_back(std::move(one));
  }
  adopted.parts.clear();
  return halves;
}

void move_parts(Adopted& from, Adopted& to) {
  to.parts.insert(to.parts.end(), std::make_move_iterator(from.parts.begin()),
                  std::make_move_iterator(from.parts.end()));
  from.parts.clear();
}

void take_given(Adopted& from, std::map<std::uint64_t, UniqueFd>& given) {
  for (Adopted::Part& part : from.parts) {
    if (part.part.kind == Part::Kind::token && part.fd) {
      given.insert_or_assign(part.part.token, std::move(part.fd));
    }
  }
}

Result<Adoption> adopt_luo(Backend& luo, Adopted& half, Keeper main) {
  const bool own = std::any_of(half.parts.begin(), half.parts.end(), [](const Adopted::Part& part) {
    return part.part == session_part && part.fd;
  });
  if (own || main == Keeper::luo || !half.tokens.empty()) return luo.adopt(half);
  return fail(ErrorCode::no_such_session, "nothing came back for session \"" + half.name + "\"");
}

/// Whether the session never had a half in the module.
bool is_unused(const Adopted& tracker, const Error& error, Keeper main) {
  return main != Keeper::tracker && tracker.tokens.empty() && is_absent(error);
}

}  // namespace

Result<std::unique_ptr<Session>> CompositeSession::create(const Halves& halves,
                                                          const std::string& name, Keeper keeper,
                                                          const Limits& limits) {
  std::unique_ptr<CompositeSession> session(new CompositeSession(halves, name, keeper, limits));
  if (auto made = session->make(keeper); !made) return fail(made.error());
  return session;
}

Result<Adoption> CompositeSession::adopt(const Halves& halves, Adopted& adopted) {
  const Keeper main = adopted.keeper;
  std::unique_ptr<CompositeSession> session(
      new CompositeSession(halves, adopted.name, main, adopted.limits));
  Split parts = split(adopted);
  auto luo = adopt_luo(*halves.luo, parts.luo, main);
  auto tracker = halves.tracker->adopt(parts.tracker);
  // The kernel knows which way a session goes. LUO's is ours for certain.
  session->incoming_ = luo                                        ? luo->session->incoming()
                       : tracker && !parts.tracker.tokens.empty() ? tracker->session->incoming()
                                                                  : adopted.incoming;
  if (tracker && tracker->session->incoming() != session->incoming_) {
    // It is a resting session of that name (rest.h), or not ours.
    tracker = fail(ErrorCode::no_such_session,
                   "the companion module has no session \"" + adopted.name + "\" of ours");
  }
  if (!tracker && is_unused(parts.tracker, tracker.error(), main)) {
    tracker.error() = refused(tracker.error());
  }
  if (!luo && !tracker) {
    move_parts(parts.luo, adopted);
    move_parts(parts.tracker, adopted);
    if (is_passing(luo.error())) return fail(luo.error());
    if (is_passing(tracker.error())) return fail(tracker.error());
    return fail(is_absent(luo.error()) && !parts.tracker.tokens.empty() ? tracker.error()
                                                                        : luo.error());
  }

  Adoption adoption;
  const auto take = [&](Half& half, Result<Adoption>& result, Adopted& part) {
    if (result) {
      half.session = std::move(result->session);
      adoption.given.merge(result->given);
      adoption.losses.insert(adoption.losses.end(), result->losses.begin(), result->losses.end());
      move_parts(part, adopted);  // those that were not needed
    } else if (is_passing(result.error())) {
      // Files that the module gave to an earlier daemon are here in any case.
      if (part.keeper == Keeper::tracker && part.incoming) take_given(part, adoption.given);
      half.unreachable = std::move(part);
    } else {
      session->lose(part.tokens, result.error());
      move_parts(part, adopted);
    }
  };
  take(session->luo_, luo, parts.luo);
  take(session->tracker_, tracker, parts.tracker);
  for (Loss& loss : session->take_losses()) adoption.losses.push_back(std::move(loss));
  adoption.session = std::move(session);
  return adoption;
}

Result<Session::Preserved> CompositeSession::preserve(std::uint64_t token, int fd,
                                                      std::optional<Keeper> only,
                                                      const std::string& cgroup) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  if (only == Keeper::emulated) return fail(other_backend(name_, main_, *only));
  ChoiceInput input;
  auto type = examine(fd);
  if (!type) return fail(type.error());
  input.type = std::move(*type);
  input.main = main_;
  input.module_there = halves_.tracker_allowed && halves_.tracker->available(Keeper::tracker);
  const bool to_luo = only != Keeper::tracker;
  if (to_luo && input.module_there && input.type.preservable) input.frozen = frozen(fd, input.type);
  if (only == Keeper::luo && input.frozen == Frozen::unknown) {
    return fail(ErrorCode::unsupported,
                input.type.noun +
                    " that cannot be written to does not tell whether it is preserved already: "
                    "leave the backend out, or give a descriptor opened for writing");
  }
  if (auto checked = check(token, input.type, input.frozen); !checked) {
    return fail(checked.error());
  }
  std::optional<Error> first;
  for (const Keeper keeper : only ? std::vector<Keeper>{*only} : choose(input)) {
    auto preserved = preserve_by(keeper, token, fd, cgroup);
    if (preserved || !cannot_keep(preserved.error())) return preserved;
    // What the second keeper says of the file is worth more than that the first one is not there.
    if (!first || first->code == ErrorCode::no_such_backend) first = preserved.error();
  }
  return fail(*first);
}

Result<Session::Preserved> CompositeSession::preserve_by(Keeper keeper, std::uint64_t token, int fd,
                                                         const std::string& cgroup) {
  if (auto reached = reach(keeper); !reached) return fail(reached.error());
  const bool made_now = !half(keeper).session;
  if (auto made = make(keeper); !made) return fail(made.error());
  Session& session = *half(keeper).session;
  auto preserved = session.preserve(token, fd, std::nullopt, cgroup);
  if (!made_now) return preserved;
  if (preserved) {
    preserved->stored = session.stored_fds();
  } else if (keeper != main_ && session.discard()) {
    // Leave no empty session behind: the next kernel would have to end it.
    half(keeper).session.reset();
  }
  return preserved;
}

Result<void> CompositeSession::check(std::uint64_t token, const FileType& type,
                                     Frozen frozen) const {
  if (holds(token) || out_of_reach(token)) return fail(token_taken(name_, token));
  if (frozen == Frozen::yes) return fail(already_preserved(type));
  return {};
}

Result<void> CompositeSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  if (const auto keeper = out_of_reach(token)) {
    if (auto reached = reach(*keeper); !reached) return reached;
  }
  Session* const where = holder(token);
  if (where == nullptr) return fail(no_such_token(name_, token));
  return where->unpreserve(token);
}

Result<Session::Retrieved> CompositeSession::retrieve(std::uint64_t token,
                                                      const std::string& cgroup) {
  if (const auto keeper = out_of_reach(token)) {
    if (auto reached = reach(*keeper); !reached) return fail(reached.error());
  }
  if (!incoming_ || (!luo_.session && !tracker_.session)) return fail(not_incoming_error(name_));
  if (lost_.contains(token)) {
    return fail(ErrorCode::state_lost,
                token_of(name_, token) + " did not come back; its contents are lost");
  }
  Session* where = holder(token);
  // LUO cannot say what it has.
  if (where == nullptr) where = luo_.session.get();
  if (where == nullptr) return fail(no_such_token(name_, token));
  return where->retrieve(token, cgroup);
}

Result<void> CompositeSession::finish() {
  if (auto reached = reach_both(); !reached) return reached;
  if (!incoming_ || (!luo_.session && !tracker_.session)) return fail(not_incoming_error(name_));
  for (Half* half : {&tracker_, &luo_}) {
    if (!half->session) continue;
    if (auto done = half->session->finish(); !done) return done;
    half->session.reset();
  }
  return {};
}

Result<void> CompositeSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  if (auto reached = reach_both(); !reached) return reached;
  // The tracker first: it can refuse (sealed), LUO cannot. So after a refusal nothing has changed.
  for (Half* half : {&tracker_, &luo_}) {
    if (!half->session) continue;
    if (auto done = half->session->discard(); !done) return done;
    half->session.reset();
  }
  return {};
}

bool CompositeSession::whole() const {
  if (luo_.unreachable || tracker_.unreachable) return false;
  const auto all = sessions();
  return std::all_of(all.begin(), all.end(), [](const Session* one) { return one->whole(); });
}

Result<void> CompositeSession::mend() {
  auto outcome = reach_both();
  for (Session* session : sessions()) {
    if (auto mended = session->mend(); !mended && outcome) outcome = mended;
  }
  return outcome;
}

std::vector<Loss> CompositeSession::take_losses() {
  auto all = std::exchange(losses_, {});
  for (Session* session : sessions()) {
    auto more = session->take_losses();
    all.insert(all.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
  }
  return all;
}

std::vector<Descriptor> CompositeSession::describe() const {
  // With a descriptor of the module's session its owner can use a token that LUO has as well. Then
  // LUO's counts.
  std::map<std::uint64_t, Descriptor> all;
  for (const Session* session : sessions()) {
    for (Descriptor& descriptor : session->describe()) all.emplace(descriptor.token, descriptor);
  }
  for (const Half* half : {&luo_, &tracker_}) {
    if (!half->unreachable) continue;
    for (const Descriptor& descriptor : half->unreachable->tokens) {
      if (!incoming_ || descriptor.keeper == Keeper::tracker) {
        all.emplace(descriptor.token, descriptor);
      }
    }
  }
  std::vector<Descriptor> sorted;
  sorted.reserve(all.size());
  for (const auto& [token, descriptor] : all) sorted.push_back(descriptor);
  return sorted;
}

Result<UniqueFd> CompositeSession::open_tracker() {
  if (auto reached = reach(Keeper::tracker); !reached) return fail(reached.error());
  if (!tracker_.session && incoming_) {
    return fail(ErrorCode::no_such_session,
                "the companion module holds nothing of session \"" + name_ + "\"");
  }
  if (auto made = make(Keeper::tracker); !made) return fail(made.error());
  return tracker_.session->open_tracker();
}

Result<UniqueFd> CompositeSession::open_luo() {
  // Of a half that LUO would not be asked for after the next live update.
  if (main_ != Keeper::luo) return Session::open_luo();
  if (auto reached = reach(Keeper::luo); !reached) return fail(reached.error());
  if (!luo_.session) {
    return fail(ErrorCode::no_such_session, "LUO holds nothing of session \"" + name_ + "\"");
  }
  return luo_.session->open_luo();
}

std::optional<UniqueFd> CompositeSession::duplicate(std::uint64_t token) const {
  const Session* const where = holder(token);
  if (where == nullptr) return std::nullopt;
  return where->duplicate(token);
}

Result<void> CompositeSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  if (auto reached = reach(Keeper::luo); !reached) return reached;
  if (luo_.session) return luo_.session->preserve_again(between);
  return between ? between() : Result<void>{};
}

std::vector<Session::StoredFd> CompositeSession::stored_fds() const {
  std::vector<StoredFd> all;
  for (const Session* session : sessions()) {
    const auto more = session->stored_fds();
    all.insert(all.end(), more.begin(), more.end());
  }
  for (const Half* half : {&luo_, &tracker_}) {
    if (!half->unreachable) continue;
    for (const Adopted::Part& part : half->unreachable->parts) {
      if (part.fd) all.push_back(StoredFd{part.part, part.fd.get()});
    }
  }
  return all;
}

std::vector<Session*> CompositeSession::sessions() const {
  std::vector<Session*> all;
  for (const Half* half : {&luo_, &tracker_}) {
    if (half->session) all.push_back(half->session.get());
  }
  return all;
}

Result<void> CompositeSession::reach(Keeper keeper) {
  Half& wanted = half(keeper);
  if (!wanted.unreachable) return {};
  auto adopted = halves_.of(keeper).adopt(*wanted.unreachable);
  if (!adopted && is_passing(adopted.error())) return fail(adopted.error());
  if (adopted) {
    wanted.session = std::move(adopted->session);
    losses_.insert(losses_.end(), adopted->losses.begin(), adopted->losses.end());
  } else {
    lose(wanted.unreachable->tokens, adopted.error());
  }
  wanted.unreachable.reset();
  return {};
}

Result<void> CompositeSession::reach_both() {
  auto luo = reach(Keeper::luo);
  auto tracker = reach(Keeper::tracker);
  return luo ? tracker : luo;
}

Result<void> CompositeSession::make(Keeper keeper) {
  Half& wanted = half(keeper);
  if (wanted.session) return {};
  if (keeper == Keeper::tracker && !halves_.tracker_allowed) {
    return fail(other_backend(name_, Keeper::luo, keeper));
  }
  auto made = halves_.of(keeper).create(name_, keeper, limits_);
  if (!made) return fail(made.error());
  wanted.session = std::move(*made);
  return {};
}

Session* CompositeSession::holder(std::uint64_t token) const {
  for (Session* session : sessions()) {
    if (session->holds(token)) return session;
  }
  return nullptr;
}

std::optional<Keeper> CompositeSession::out_of_reach(std::uint64_t token) const {
  for (const Half* half : {&luo_, &tracker_}) {
    if (!half->unreachable) continue;
    for (const Descriptor& descriptor : half->unreachable->tokens) {
      if (descriptor.token == token) return half->unreachable->keeper;
    }
  }
  return std::nullopt;
}

void CompositeSession::lose(const std::vector<Descriptor>& tokens, const Error& why) {
  for (const Descriptor& descriptor : tokens) {
    lost_.insert(descriptor.token);
    losses_.push_back(
        {descriptor.token, token_of(name_, descriptor.token) + " is lost: " + why.message});
  }
}

}  // namespace handover::backend
