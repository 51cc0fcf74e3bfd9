// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/composite_session.h"

#include <algorithm>
#include <set>
#include <utility>

#include "backend/refusal.h"

namespace handover::backend {
namespace {

bool holds(const Session& session, std::uint64_t token) {
  const auto held = session.describe();
  return std::any_of(held.begin(), held.end(),
                     [token](const Descriptor& one) { return one.token == token; });
}

/// Another keeper may do what this one cannot.
bool cannot_keep(const Error& error) {
  return error.code == ErrorCode::unsupported || error.code == ErrorCode::no_such_backend ||
         error.code == ErrorCode::not_supported;
}

bool is_absent(const Error& error) {
  return error.code == ErrorCode::no_such_session || error.code == ErrorCode::no_such_backend;
}

/// What came back, parted between the halves by where the manifest says each token is.
struct Parted {
  Adopted luo;
  Adopted tracker;
  bool has_luo_session = false;
};

Parted part(Adopted adopted) {
  Parted parted;
  for (Adopted* half : {&parted.luo, &parted.tracker}) {
    half->name = adopted.name;
    half->incoming = adopted.incoming;
  }
  std::set<std::string> tracker_parts;
  for (Descriptor& descriptor : adopted.tokens) {
    const bool tracker = descriptor.backend == keeper_name(Keeper::tracker);
    if (tracker) tracker_parts.insert("t" + std::to_string(descriptor.token));
    (tracker ? parted.tracker : parted.luo).tokens.push_back(std::move(descriptor));
  }
  for (Adopted::Part& one : adopted.parts) {
    parted.has_luo_session = parted.has_luo_session || one.part == "s";
    (tracker_parts.contains(one.part) ? parted.tracker : parted.luo)
        .parts.push_back(std::move(one));
  }
  return parted;
}

Result<std::unique_ptr<Session>> adopt_luo(Backend& luo, Parted& parted, Keeper main) {
  const bool wanted = main == Keeper::luo || !parted.luo.tokens.empty();
  if (parted.has_luo_session || wanted) return luo.adopt(std::move(parted.luo));
  return fail(ErrorCode::no_such_session,
              "nothing came back for session \"" + parted.luo.name + "\"");
}

}  // namespace

std::string_view keeper_name(Keeper keeper) { return keeper == Keeper::luo ? "luo" : "tracker"; }

Result<std::unique_ptr<CompositeSession>> CompositeSession::create(const Halves& halves,
                                                                   Keeper main,
                                                                   const std::string& name,
                                                                   const Limits& limits) {
  std::unique_ptr<CompositeSession> session(new CompositeSession(halves, main, name, limits));
  if (auto made = session->make(main); !made) return fail(made.error());
  return session;
}

Result<std::unique_ptr<CompositeSession>> CompositeSession::adopt(const Halves& halves, Keeper main,
                                                                  Adopted adopted) {
  std::unique_ptr<CompositeSession> session(
      new CompositeSession(halves, main, adopted.name, adopted.limits));
  Parted parted = part(std::move(adopted));
  const std::vector<Descriptor> luo_tokens = parted.luo.tokens;
  const std::vector<Descriptor> tracker_tokens = parted.tracker.tokens;
  const bool expected_incoming = parted.luo.incoming;

  auto luo = adopt_luo(*halves.luo, parted, main);
  auto tracker = halves.tracker->adopt(std::move(parted.tracker));
  // The kernel knows best which way a session goes, and LUO's is certainly ours.
  session->incoming_ = luo                                  ? (*luo)->incoming()
                       : tracker && !tracker_tokens.empty() ? (*tracker)->incoming()
                                                            : expected_incoming;
  if (tracker && (*tracker)->incoming() != session->incoming_) {
    // A resting session of that name (tracker_rest.h), or somebody else's.
    tracker = fail(ErrorCode::no_such_session,
                   "the companion module has no session \"" + session->name_ + "\" of ours");
  }
  if (!luo && !tracker) {
    return fail(is_absent(luo.error()) && !tracker_tokens.empty() ? tracker.error() : luo.error());
  }
  const auto lost = [&](const std::vector<Descriptor>& tokens, const Error& error) {
    for (const Descriptor& descriptor : tokens) {
      session->losses_.push_back({descriptor.token, "token " + std::to_string(descriptor.token) +
                                                        " of session \"" + session->name_ +
                                                        "\" is lost: " + error.message});
    }
  };
  if (luo) {
    session->luo_ = std::move(*luo);
  } else {
    lost(luo_tokens, luo.error());
  }
  if (tracker) {
    session->tracker_ = std::move(*tracker);
  } else {
    lost(tracker_tokens, tracker.error());
  }
  return session;
}

Result<Descriptor> CompositeSession::preserve(std::uint64_t token, int fd) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  ChoiceInput input;
  auto type = examine(fd);
  if (!type) return fail(type.error());
  input.type = std::move(*type);
  input.main = main_;
  input.module_there = halves_.tracker_allowed && halves_.tracker->available();
  if (input.module_there && input.type.preservable) input.frozen = frozen(fd, input.type);
  if (auto checked = check(token, input.type, input.frozen); !checked) {
    return fail(checked.error());
  }
  std::optional<Error> first;
  for (const Keeper keeper : choose(input)) {
    auto preserved = preserve_in(keeper, token, fd);
    if (preserved || !cannot_keep(preserved.error())) return preserved;
    if (!first) first = preserved.error();
    // That the first one is not there at all says less than what the second says of the file.
    if (first->code == ErrorCode::no_such_backend) first = preserved.error();
  }
  return fail(*first);
}

Result<Descriptor> CompositeSession::preserve_in(const std::string& backend, std::uint64_t token,
                                                 int fd) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  const bool luo = backend == keeper_name(Keeper::luo);
  if (!luo && backend != keeper_name(Keeper::tracker)) {
    return fail(ErrorCode::no_such_backend, "there is no backend '" + backend + "' for session \"" +
                                                name_ +
                                                "\": it is 'luo' or 'tracker', or leave it out");
  }
  const auto type = examine(fd);
  if (!type) return fail(type.error());
  Frozen held = Frozen::no;
  if (luo && type->preservable && halves_.tracker->available()) held = frozen(fd, *type);
  if (held == Frozen::unknown) {
    return fail(ErrorCode::unsupported,
                type->noun +
                    " that cannot be written to does not tell whether it is preserved already: "
                    "leave the backend out, or give a descriptor opened for writing");
  }
  if (auto checked = check(token, *type, held); !checked) return fail(checked.error());
  return preserve_in(luo ? Keeper::luo : Keeper::tracker, token, fd);
}

Result<Descriptor> CompositeSession::preserve_in(Keeper keeper, std::uint64_t token, int fd) {
  const bool made_now = !half(keeper);
  if (auto made = make(keeper); !made) return fail(made.error());
  auto preserved = half(keeper)->preserve(token, fd);
  if (!preserved && made_now && keeper != main_) {
    // As it was before: an empty session would be one more that the next kernel has to end.
    if (half(keeper)->discard()) half(keeper).reset();
  }
  return preserved;
}

Result<void> CompositeSession::check(std::uint64_t token, const FileType& type,
                                     Frozen frozen) const {
  if (holder(token) != nullptr) return fail(token_taken(name_, token));
  if (frozen == Frozen::yes) return fail(already_preserved(type));
  return {};
}

Result<void> CompositeSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  Session* const where = holder(token);
  if (where == nullptr) return fail(no_such_token(name_, token));
  return where->unpreserve(token);
}

Result<UniqueFd> CompositeSession::retrieve(std::uint64_t token) {
  if (!incoming_ || (!luo_ && !tracker_)) return fail(not_incoming_error(name_));
  if (std::any_of(losses_.begin(), losses_.end(),
                  [token](const Loss& loss) { return loss.token == token; })) {
    return fail(ErrorCode::state_lost, "token " + std::to_string(token) + " of session \"" + name_ +
                                           "\" did not come back; its contents are lost");
  }
  Session* const where = holder(token);
  // LUO cannot list what it has.
  if (where == nullptr && luo_) return luo_->retrieve(token);
  if (where == nullptr) return fail(no_such_token(name_, token));
  return where->retrieve(token);
}

Result<void> CompositeSession::finish() {
  if (!incoming_ || (!luo_ && !tracker_)) return fail(not_incoming_error(name_));
  // What is done stays done: after an error the rest can be finished again.
  for (auto* half : {&tracker_, &luo_}) {
    if (!*half) continue;
    if (auto done = (*half)->finish(); !done) return done;
    half->reset();
  }
  return {};
}

Result<void> CompositeSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  // The tracker can refuse (sealed), LUO cannot: a refusal has changed nothing.
  for (auto* half : {&tracker_, &luo_}) {
    if (!*half) continue;
    if (auto done = (*half)->discard(); !done) return done;
    half->reset();
  }
  return {};
}

std::vector<Descriptor> CompositeSession::describe() const {
  std::vector<Descriptor> all;
  if (luo_) all = luo_->describe();
  if (tracker_) {
    for (Descriptor& descriptor : tracker_->describe()) {
      // An owner of a descriptor of the module's session may use a token that LUO has as well.
      const bool twice = std::any_of(all.begin(), all.end(), [&](const Descriptor& have) {
        return have.token == descriptor.token;
      });
      if (!twice) all.push_back(std::move(descriptor));
    }
  }
  std::sort(all.begin(), all.end(),
            [](const Descriptor& a, const Descriptor& b) { return a.token < b.token; });
  return all;
}

Result<UniqueFd> CompositeSession::open_tracker() {
  if (!tracker_ && incoming_) {
    return fail(ErrorCode::no_such_session,
                "the companion module holds nothing of session \"" + name_ + "\"");
  }
  if (auto made = make(Keeper::tracker); !made) return fail(made.error());
  return tracker_->open_tracker();
}

std::vector<Session::Loss> CompositeSession::losses() const {
  auto all = losses_;
  for (const auto* half : {&luo_, &tracker_}) {
    if (!*half) continue;
    const auto more = (*half)->losses();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::optional<UniqueFd> CompositeSession::duplicate(std::uint64_t token) const {
  const Session* const where = holder(token);
  if (where == nullptr) return std::nullopt;
  return where->duplicate(token);
}

Result<void> CompositeSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  if (luo_ && !luo_->describe().empty()) return luo_->preserve_again(between);
  return between ? between() : Result<void>{};
}

std::vector<Session::StoredFd> CompositeSession::stored_fds() const {
  std::vector<StoredFd> all;
  for (const auto* half : {&luo_, &tracker_}) {
    if (!*half) continue;
    const auto more = (*half)->stored_fds();
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

Result<void> CompositeSession::make(Keeper keeper) {
  auto& wanted = half(keeper);
  if (wanted) return {};
  if (keeper == Keeper::tracker && !halves_.tracker_allowed) {
    return fail(other_backend(name_, keeper_name(Keeper::luo), keeper_name(keeper)));
  }
  auto made = (keeper == Keeper::luo ? halves_.luo : halves_.tracker)->create(name_, limits_);
  if (!made) return fail(made.error());
  wanted = std::move(*made);
  return {};
}

Session* CompositeSession::holder(std::uint64_t token) const {
  for (const auto* half : {&luo_, &tracker_}) {
    if (*half && holds(**half, token)) return half->get();
  }
  return nullptr;
}

}  // namespace handover::backend
