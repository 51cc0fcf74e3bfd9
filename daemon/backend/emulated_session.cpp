// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated_session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/memory_file.h"
#include "backend/refusal.h"

namespace handover::backend {
namespace {

std::string marker_text(const std::string& name) {
  return "handover-emulated-session 1\n" + name + "\n";
}

Result<UniqueFd> make_marker(const std::string& name) {
  const std::string text = marker_text(name);
  auto marker = make_memory_file("handoverd-session", text.size());
  if (!marker) return marker;
  if (auto written = write_memory_file(marker->get(), text); !written) {
    return fail(written.error());
  }
  return marker;
}

}  // namespace

Result<std::unique_ptr<Session>> EmulatedSession::create(std::shared_ptr<EmulatedKernel> kernel,
                                                         const std::string& name) {
  auto marker = make_marker(name);
  if (!marker) return fail(marker.error());
  if (!kernel->claim_name(name)) return fail(session_name_taken(name));
  std::unique_ptr<EmulatedSession> session(new EmulatedSession(std::move(kernel), name, false));
  session->marker_ = std::move(*marker);
  session->name_claimed_ = true;
  return session;
}

Result<Adoption> EmulatedSession::adopt(std::shared_ptr<EmulatedKernel> kernel, Adopted& adopted) {
  std::unique_ptr<EmulatedSession> session(
      new EmulatedSession(std::move(kernel), adopted.name, adopted.incoming));
  if (!adopted.incoming) {
    session->name_claimed_ = session->kernel_->claim_name(adopted.name);
    if (!session->name_claimed_) return fail(session_name_taken(adopted.name));
  }
  auto losses = session->take_over(adopted);
  if (!losses) return fail(losses.error());
  return Adoption{std::move(session), std::move(*losses), {}};
}

Result<std::vector<Loss>> EmulatedSession::take_over(Adopted& adopted) {
  const auto find = [&](Part wanted) -> UniqueFd* {
    for (Adopted::Part& part : adopted.parts) {
      if (part.part == wanted && part.fd) return &part.fd;
    }
    return nullptr;
  };
  UniqueFd* const marker = find(session_part);
  std::vector<std::pair<Held, UniqueFd*>> there;
  for (const Descriptor& descriptor : adopted.tokens) {
    UniqueFd* const fd = find(token_part(descriptor.token));
    if (fd == nullptr) {
      lost_[descriptor.token] = {descriptor.token,
                                 token_of(name_, descriptor.token) +
                                     " was preserved and did not come back; its contents are lost"};
      continue;
    }
    auto type = examine(fd->get());
    if (!type) return fail(type.error());
    Held held;
    held.descriptor = descriptor;
    held.type = std::move(*type);
    there.emplace_back(std::move(held), fd);
  }
  // The daemon may have died while it made the session anew.
  if (marker == nullptr && (incoming_ || there.empty())) {
    return fail(incoming_ ? ErrorCode::no_such_session : ErrorCode::io,
                "nothing came back for session \"" + name_ + "\"");
  }
  if (marker != nullptr) {
    const auto text = read_memory_file(marker->get());
    if (!text || *text != marker_text(name_)) {
      return fail(ErrorCode::io,
                  "what came back for session \"" + name_ + "\" is no mark of that session");
    }
  }
  auto made = marker != nullptr ? UniqueFd() : make_marker(name_);
  if (!made) return fail(made.error());
  for (auto one = there.begin(); one != there.end(); ++one) {
    if (claim(one->first, one->second->get())) continue;
    for (auto claimed = there.begin(); claimed != one; ++claimed) {
      kernel_->release_file(claimed->first.type);
    }
    return fail(already_preserved(one->first.type));
  }
  // From here on nothing can fail.
  marker_ = marker != nullptr ? std::move(*marker) : std::move(*made);
  for (auto& [held, fd] : there) {
    held.fd = std::move(*fd);
    held_.emplace(held.descriptor.token, std::move(held));
  }
  std::vector<Loss> losses;
  for (const auto& [token, loss] : lost_) losses.push_back(loss);
  return losses;
}

EmulatedSession::~EmulatedSession() { release(); }

bool EmulatedSession::claim(const Held& held, int fd) {
  if (incoming_) return kernel_->claim_file(held.type);
  return kernel_->claim_file(held.type, {name_, held.descriptor.token, held.descriptor.bytes, fd});
}

void EmulatedSession::release() {
  for (const auto& [token, held] : held_) kernel_->release_file(held.type);
  held_.clear();
  if (name_claimed_) kernel_->release_name(name_);
  name_claimed_ = false;
  marker_.reset();
}

Result<Session::Preserved> EmulatedSession::preserve(std::uint64_t token, int fd,
                                                     std::optional<Keeper> only,
                                                     const std::string& /*cgroup*/) {
  if (only && *only != keeper()) return fail(other_backend(name_, keeper(), *only));
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  if (held_.contains(token)) return fail(token_taken(name_, token));
  auto type = examine(fd);
  if (!type) return fail(type.error());
  if (!type->preservable) return fail(unsupported(*type, ENOENT));
  auto copy = duplicate_fd(fd);
  if (!copy) return fail(copy.error());
  Held held;
  held.descriptor = Descriptor{token, type->kind, type->bytes, keeper()};
  held.type = std::move(*type);
  held.fd = std::move(*copy);
  if (!claim(held, held.fd.get())) return fail(already_preserved(held.type));
  const Held& there = held_.emplace(token, std::move(held)).first->second;
  return Preserved{there.descriptor, {StoredFd{token_part(token), there.fd.get()}}, ""};
}

Result<void> EmulatedSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  const auto found = held_.find(token);
  if (found == held_.end()) return fail(no_such_token(name_, token));
  kernel_->release_file(found->second.type);
  held_.erase(found);
  return {};
}

Result<Session::Retrieved> EmulatedSession::retrieve(std::uint64_t token,
                                                     const std::string& /*cgroup*/) {
  if (!incoming_ || !marker_) return fail(not_incoming_error(name_));
  if (const auto lost = lost_.find(token); lost != lost_.end()) {
    return fail(ErrorCode::state_lost, lost->second.sentence);
  }
  const auto found = held_.find(token);
  if (found == held_.end()) return fail(no_such_token(name_, token));
  auto copy = duplicate_fd(found->second.fd.get());
  if (!copy) return fail(copy.error());
  return Retrieved{std::move(*copy), /*once=*/false, ""};
}

Result<void> EmulatedSession::finish() {
  if (!incoming_ || !marker_) return fail(not_incoming_error(name_));
  release();
  return {};
}

Result<void> EmulatedSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  release();
  return {};
}

bool EmulatedSession::holds(std::uint64_t token) const { return held_.contains(token); }

std::vector<Descriptor> EmulatedSession::describe() const {
  std::vector<Descriptor> descriptors;
  if (incoming_) return descriptors;  // as LUO, which cannot list them
  for (const auto& [token, held] : held_) descriptors.push_back(held.descriptor);
  return descriptors;
}

std::optional<UniqueFd> EmulatedSession::duplicate(std::uint64_t token) const {
  const auto found = held_.find(token);
  if (found == held_.end()) return std::nullopt;
  auto copy = duplicate_fd(found->second.fd.get());
  if (!copy) return std::nullopt;
  return std::move(*copy);
}

Result<void> EmulatedSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  return between ? between() : Result<void>{};  // nothing is pinned here
}

std::vector<Session::StoredFd> EmulatedSession::stored_fds() const {
  std::vector<StoredFd> stored;
  if (marker_) stored.push_back(StoredFd{session_part, marker_.get()});
  for (const auto& [token, held] : held_) {
    stored.push_back(StoredFd{token_part(token), held.fd.get()});
  }
  return stored;
}

}  // namespace handover::backend
