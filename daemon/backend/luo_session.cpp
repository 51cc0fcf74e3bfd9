// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_session.h"

#include <algorithm>
#include <cerrno>

#include "backend/descriptor.h"
#include "backend/luo_calls.h"
#include "backend/refusal.h"

namespace handover::backend {
namespace {

Adopted::Part* find_part(std::vector<Adopted::Part>& parts, Part wanted) {
  const auto found = std::find_if(parts.begin(), parts.end(), [wanted](const Adopted::Part& part) {
    return part.part == wanted && part.fd;
  });
  return found == parts.end() ? nullptr : &*found;
}

}  // namespace

Result<std::unique_ptr<Session>> LuoSession::create(std::shared_ptr<LuoDevice> device,
                                                    const std::string& name, LuoPatience patience,
                                                    Charge charge) {
  std::unique_ptr<LuoSession> session(
      new LuoSession(std::move(device), name, false, patience, std::move(charge)));
  if (auto made = session->make_session(patience, patience.create); !made) {
    return fail(made.error());
  }
  return session;
}

Result<Adoption> LuoSession::adopt(std::shared_ptr<LuoDevice> device, Adopted& adopted,
                                   LuoPatience patience, Charge charge) {
  Adopted::Part* const own = find_part(adopted.parts, session_part);
  bool incoming = adopted.incoming;
  if (own != nullptr) {
    // The kernel is right and the record may be old.
    const auto said = examine_session(*device, own->fd.get(), adopted.name);
    if (!said) return fail(said.error());
    incoming = *said;
  }
  std::unique_ptr<LuoSession> session(
      new LuoSession(std::move(device), adopted.name, incoming, patience, std::move(charge)));
  session->opened_ = adopted.luo_opened;
  if (incoming) {
    if (own != nullptr) {
      session->session_ = std::move(own->fd);
    } else if (auto retrieved = session->retrieve_session(); !retrieved) {
      return fail(retrieved.error());
    }
    for (const Descriptor& one : adopted.tokens) session->bytes_.emplace(one.token, one.bytes);
    return Adoption{std::move(session), {}, {}};
  }

  const bool anything =
      std::any_of(adopted.tokens.begin(), adopted.tokens.end(), [&](const Descriptor& one) {
        return find_part(adopted.parts, token_part(one.token)) != nullptr;
      });
  if (own == nullptr && (!anything || session->opened_)) {
    return fail(ErrorCode::io, "session \"" + adopted.name +
                                   "\" did not come back, nor anything that it preserved");
  }
  if (own != nullptr) session->session_ = std::move(own->fd);
  session->take_over(adopted);
  // The daemon may have died before the session was whole. If mend() fails, it is degraded.
  (void)session->mend();
  auto losses = session->take_losses();
  return Adoption{std::move(session), std::move(losses), {}};
}

Result<void> LuoSession::retrieve_session() {
  auto fd = device_->retrieve_session(name_);
  if (!fd && fd.error() == ENOENT) {
    return fail(ErrorCode::no_such_session,
                "the earlier kernel left no session \"" + name_ + "\" here", ENOENT);
  }
  if (!fd && fd.error() == EINVAL) {
    return fail(ErrorCode::state_lost,
                "session \"" + name_ +
                    "\" of the earlier kernel was retrieved by another process before (systemd "
                    "hands it to the service in whose fd store it was)",
                EINVAL);
  }
  if (!fd) return fail(device_error("retrieve", name_, fd.error()));
  session_ = std::move(*fd);
  return {};
}

void LuoSession::take_over(Adopted& adopted) {
  for (const Descriptor& descriptor : adopted.tokens) {
    Adopted::Part* const part = find_part(adopted.parts, token_part(descriptor.token));
    const auto in_kernel = is_in_kernel(descriptor.token);
    if (part == nullptr && in_kernel == false) {
      losses_.push_back({descriptor.token,
                         token_of(name_, descriptor.token) +
                             " is no longer preserved: the daemon died while it made the session "
                             "anew, and this descriptor did not come back"});
      continue;
    }
    Held held;
    held.descriptor = descriptor;
    if (part != nullptr) held.fd = std::move(part->fd);
    held.order = next_order_++;
    held.in_kernel = in_kernel.value_or(!held.fd);
    held_.emplace(descriptor.token, std::move(held));
  }
}

std::optional<bool> LuoSession::is_in_kernel(std::uint64_t token) const {
  if (!session_) return false;
  // The kernel looks at the token before it looks at the descriptor, which is none
  // (luo_preserve_file() in luo_file.c).
  switch (device_->preserve_fd(session_.get(), token, -1)) {
    case -EEXIST:
      return true;
    case -EBADF:
      return false;
    default:
      return std::nullopt;
  }
}

Result<Session::Preserved> LuoSession::preserve(std::uint64_t token, int fd,
                                                std::optional<Keeper> only,
                                                const std::string& cgroup) {
  if (only && *only != keeper()) return fail(other_backend(name_, keeper(), *only));
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  if (holds(token)) return fail(token_taken(name_, token));
  auto type = examine(fd);
  if (!type) return fail(type.error());
  auto copy = duplicate_fd(fd);
  if (!copy) return fail(copy.error());
  Preserved preserved;
  if (!session_) {
    if (auto done = complete(patience_); !session_) return fail(done.error());
    preserved.stored = stored_fds();
  }
  const auto done =
      charge_.run(cgroup, type->bytes,
                  [device = device_.get(), session = session_.get(), token, file = copy->get()] {
                    return device->preserve_fd(session, token, file);
                  });
  if (done.result < 0 && !preserved_unheard(done, token)) {
    Error error = preserve_error(name_, token, *type, -done.result);
    if (done.result == -ENOMEM && done.charged) {
      error.message += " (it is charged to cgroup " + cgroup + ": see its memory.max)";
    } else if (done.charged && (done.result == -ETIMEDOUT || done.result == -EINPROGRESS)) {
      error = owner_too_slow(token_of(name_, token), cgroup);
    }
    return fail(std::move(error));
  }
  if (!done.why_here.empty()) preserved.warning = charged_here(token, done.why_here);
  preserved.descriptor = Descriptor{token, type->kind, type->bytes, keeper()};
  preserved.stored.push_back(StoredFd{token_part(token), copy->get()});
  Held held;
  held.descriptor = preserved.descriptor;
  held.fd = std::move(*copy);
  held.order = next_order_++;
  held.in_kernel = true;
  held_.emplace(token, std::move(held));
  return preserved;
}

/// The process was ended when the kernel had done its work, and could not say so.
bool LuoSession::preserved_unheard(const Charge::Done& done, std::uint64_t token) const {
  const bool ended = done.result == -ENOMEM || done.result == -ETIMEDOUT;
  return done.charged && ended && is_in_kernel(token) == true;
}

std::string LuoSession::charged_here(std::uint64_t token, const std::string& why) const {
  return token_of(name_, token) + " is charged to handoverd, not to its owner: " + why;
}

Result<void> LuoSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  const auto found = held_.find(token);
  if (found == held_.end()) return fail(no_such_token(name_, token));
  if (session_ && !found->second.in_kernel) {
    held_.erase(found);
    return {};
  }
  if (auto can = can_make_anew(token); !can) return can;
  // No other process can open the device between closing the session and making it anew.
  const auto device = hold_device();
  if (!device) return fail(device.error());
  auto taken_out = held_.extract(found);
  let_go();
  auto done = complete(patience_);
  // The new session is without it, even if it is not whole. And what has no duplicate is dropped.
  if (session_ || !taken_out.mapped().fd) return {};
  taken_out.mapped().in_kernel = false;
  held_.insert(std::move(taken_out));
  return done;
}

Result<void> LuoSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  if (held_.empty() && between && !opened_) return between();
  if (auto can = can_make_anew(std::nullopt); !can) return can;
  const auto device = hold_device();
  if (!device) return fail(device.error());
  let_go();
  auto outcome = between ? between() : Result<void>{};
  auto done = complete(patience_);
  if (done) return outcome;
  if (!outcome) done.error().message += "; before that: " + outcome.error().message;
  return done;
}

Result<Session::Retrieved> LuoSession::retrieve(std::uint64_t token, const std::string& cgroup) {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  const auto known = bytes_.find(token);
  const std::uint64_t bytes = known == bytes_.end() ? 0 : known->second;
  Retrieved retrieved;
  auto given = retrieve_token(session_.get(), [&] {
    auto done = charge_.run_if_room(cgroup, bytes,
                                    [device = device_.get(), session = session_.get(), token] {
                                      return device->retrieve_fd(session, token);
                                    });
    retrieved.warning = std::move(done.why_here);
    return done.result;
  });
  if (given.fd) {
    retrieved.fd = std::move(given.fd);
    if (!retrieved.warning.empty()) retrieved.warning = charged_here(token, retrieved.warning);
    return retrieved;
  }
  if (given.sys_errno == ENOENT) return fail(no_such_token(name_, token));
  if (given.for_ever) return fail(cannot_restore(token_of(name_, token), given.sys_errno));
  return fail_errno("cannot retrieve " + token_of(name_, token) + " now; try again",
                    given.sys_errno);
}

Result<void> LuoSession::finish() {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  if (auto done = device_->finish(session_.get()); !done) {
    return fail_errno("the kernel cannot finish session \"" + name_ +
                          "\" yet: what it holds stays preserved, finish it again later",
                      done.error());
  }
  session_.reset();
  return {};
}

Result<void> LuoSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  held_.clear();
  session_.reset();  // the kernel drops it with the last descriptor
  discarded_ = true;
  return {};
}

bool LuoSession::whole() const {
  if (incoming_ || discarded_) return true;
  return session_ && std::all_of(held_.begin(), held_.end(),
                                 [](const auto& held) { return held.second.in_kernel; });
}

Result<void> LuoSession::mend() {
  if (whole()) return {};
  return complete(LuoPatience::none());
}

std::vector<Descriptor> LuoSession::describe() const {
  std::vector<Descriptor> descriptors;
  descriptors.reserve(held_.size());
  for (const auto& [token, held] : held_) descriptors.push_back(held.descriptor);
  return descriptors;
}

Result<UniqueFd> LuoSession::open_luo() {
  if (!session_) {
    return fail(passing(
        Error{ErrorCode::busy,
              "the kernel does not hold session \"" + name_ + "\" now; that is tried again", 0}));
  }
  auto opened = duplicate_fd(session_.get());
  if (opened) opened_ = true;
  return opened;
}

std::optional<UniqueFd> LuoSession::duplicate(std::uint64_t token) const {
  const auto found = held_.find(token);
  if (found == held_.end() || !found->second.fd) return std::nullopt;
  auto copy = duplicate_fd(found->second.fd.get());
  if (!copy) return std::nullopt;
  return std::move(*copy);
}

std::vector<Session::StoredFd> LuoSession::stored_fds() const {
  std::vector<StoredFd> stored;
  if (session_) stored.push_back(StoredFd{session_part, session_.get()});
  for (const auto& [token, held] : held_) {
    if (held.fd) stored.push_back(StoredFd{token_part(token), held.fd.get()});
  }
  return stored;
}

Result<void> LuoSession::make_session(const LuoPatience& patience,
                                      std::chrono::milliseconds for_name) {
  Retry retry({{EEXIST, for_name}, {EBUSY, patience.open}});
  auto fd = device_->create_session(name_);
  while (!fd && retry.again(fd.error())) fd = device_->create_session(name_);
  if (!fd && fd.error() == EEXIST) return fail(session_name_taken(name_));
  if (!fd) return fail(device_error("create", name_, fd.error()));
  session_ = std::move(*fd);
  return {};
}

void LuoSession::let_go() {
  session_.reset();
  for (auto& [token, held] : held_) held.in_kernel = false;
}

Result<void> LuoSession::complete(const LuoPatience& patience) {
  if (!session_) {
    if (auto made = make_session(patience, patience.remake); !made) {
      const Error& cause = made.error();
      return fail(not_preserved_now(name_, held_.size(), cause.message, cause.sys_errno));
    }
  }
  if (preserve_missing().empty()) return {};
  // A second try: what failed for want of memory may fit when the others are in.
  std::map<std::uint64_t, int> waiting;
  std::string lost;
  for (const auto& [token, sys_errno] : preserve_missing()) {
    if (is_passing(sys_errno)) {
      waiting.emplace(token, sys_errno);
      continue;
    }
    const Error refusal =
        fail_errno(token_of(name_, token) + " is no longer preserved", sys_errno).value();
    losses_.push_back({token, refusal.message});
    lost += (lost.empty() ? "" : "; ") + refusal.message;
    held_.erase(token);
  }
  if (!waiting.empty()) {
    const auto& [token, sys_errno] = *waiting.begin();
    const Error cause =
        fail_errno("the kernel does not take token " + std::to_string(token), sys_errno).value();
    return fail(not_preserved_now(name_, waiting.size(), cause.message, sys_errno));
  }
  if (!lost.empty()) return fail(ErrorCode::state_lost, std::move(lost));
  return {};
}

std::map<std::uint64_t, int> LuoSession::preserve_missing() {
  std::vector<Held*> missing;
  for (auto& [token, held] : held_) {
    if (!held.in_kernel) missing.push_back(&held);
  }
  std::sort(missing.begin(), missing.end(),
            [](const Held* a, const Held* b) { return a->order < b->order; });
  std::map<std::uint64_t, int> refused;
  for (Held* held : missing) {
    const std::uint64_t token = held->descriptor.token;
    const int done = device_->preserve_fd(session_.get(), token, held->fd.get());
    // Nobody else preserves in this session: EEXIST means that this token is in it already.
    held->in_kernel = done == 0 || done == -EEXIST;
    if (!held->in_kernel) refused.emplace(token, -done);
  }
  return refused;
}

Result<std::shared_ptr<void>> LuoSession::hold_device() {
  auto held = device_->hold();
  Retry retry({{EBUSY, patience_.open}});
  auto opened = device_->open();
  while (!opened && retry.again(opened.error())) opened = device_->open();
  if (!opened) return fail(device_error("make anew", name_, opened.error()));
  return held;
}

Result<void> LuoSession::can_make_anew(std::optional<std::uint64_t> except) const {
  if (opened_) {
    return fail(ErrorCode::not_supported,
                "session \"" + name_ +
                    "\" is its owner's since OpenLUO, and LUO takes nothing out of a session: "
                    "discard it and make another one");
  }
  for (const auto& [token, held] : held_) {
    if (held.fd || token == except) continue;
    return fail(ErrorCode::not_supported,
                token_of(name_, token) +
                    " is in the kernel only, since the daemon was restarted: the session cannot be "
                    "made anew without losing it");
  }
  return {};
}

}  // namespace handover::backend
