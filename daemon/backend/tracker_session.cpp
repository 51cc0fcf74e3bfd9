// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_session.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "backend/descriptor.h"
#include "backend/refusal.h"
#include "backend/tracker_refusal.h"

namespace handover::backend {
namespace {

std::string part_of(std::uint64_t token) { return "t" + std::to_string(token); }

std::optional<std::uint64_t> token_of(const std::string& part) {
  if (!part.starts_with('t')) return std::nullopt;
  std::uint64_t token = 0;
  const char* const end = part.data() + part.size();
  const auto [stop, error] = std::from_chars(part.data() + 1, end, token);
  if (error != std::errc() || stop != end) return std::nullopt;
  return token;
}

std::string kind_words(TrackerKind kind) {
  switch (kind) {
    case TrackerKind::shmem:
      return "memfd";
    case TrackerKind::hugetlb:
      return "hugetlb";
    case TrackerKind::range:
      return "range";
    case TrackerKind::allocated:
      return "allocated";
    case TrackerKind::retrieved:
      return "handover";
    case TrackerKind::kernel:
      return "kernel";
    case TrackerKind::other:
      break;
  }
  return "fd";
}

}  // namespace

Result<std::unique_ptr<TrackerSession>> TrackerSession::create(
    std::shared_ptr<TrackerDevice> device, std::shared_ptr<TrackerRest> rest,
    const std::string& name, const Limits& limits) {
  if (auto freed = rest->free_name(name); !freed) return fail(freed.error());
  auto fd = device->create_session(name, TrackerLimits{limits.bytes, limits.descriptors});
  if (!fd) return fail(tracker_error("create", name, fd.error()));
  return std::unique_ptr<TrackerSession>(
      new TrackerSession(std::move(device), std::move(rest), name, std::move(*fd)));
}

Result<std::unique_ptr<TrackerSession>> TrackerSession::adopt(std::shared_ptr<TrackerDevice> device,
                                                              std::shared_ptr<TrackerRest> rest,
                                                              Adopted adopted) {
  auto fd = device->retrieve_session(adopted.name);
  if (!fd) return fail(tracker_error("retrieve", adopted.name, fd.error()));
  const auto incoming = device->is_incoming(fd->get());
  const auto tokens = device->list_tokens(fd->get());
  if (!incoming || !tokens) {
    return fail(
        tracker_error("look into", adopted.name, incoming ? tokens.error() : incoming.error()));
  }
  std::unique_ptr<TrackerSession> session(
      new TrackerSession(std::move(device), std::move(rest), adopted.name, std::move(*fd)));
  session->incoming_ = *incoming;
  for (Descriptor& descriptor : adopted.tokens) {
    const std::uint64_t token = descriptor.token;
    const bool there = std::binary_search(tokens->begin(), tokens->end(), token);
    // Of an outgoing session, one may just have been unpreserved by its owner.
    if (!there && *incoming) {
      session->losses_.push_back({token, "token " + std::to_string(token) + " of session \"" +
                                             adopted.name +
                                             "\" did not come back with the companion module"});
    }
    if (there) session->known_.emplace(token, std::move(descriptor));
  }
  for (Adopted::Part& part : adopted.parts) {
    const auto token = token_of(part.part);
    if (token && *incoming) session->again_.emplace(*token, std::move(part.fd));
  }
  return session;
}

Result<Descriptor> TrackerSession::preserve(std::uint64_t token, int fd) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  const auto type = examine(fd);
  if (!type) return fail(type.error());
  if (auto done = device_->preserve_fd(session_.get(), token, fd); !done) {
    return fail(tracker_preserve_error(name_, token, *type, done.error()));
  }
  Descriptor descriptor = describe(token);
  if (type->kind == "tmpfs") descriptor.kind = type->kind;
  known_.insert_or_assign(token, descriptor);
  return descriptor;
}

Result<void> TrackerSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  if (auto done = device_->unpreserve(session_.get(), token); !done) {
    if (done.error() == ENOENT) return fail(no_such_token(name_, token));
    return fail(tracker_error("unpreserve a token of", name_, done.error()));
  }
  known_.erase(token);
  return {};
}

Result<UniqueFd> TrackerSession::retrieve(std::uint64_t token) {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  if (const auto back = again_.find(token); back != again_.end()) {
    auto copy = duplicate_fd(back->second.get());
    if (!copy) return copy;
    given_.insert_or_assign(token, std::move(back->second));
    again_.erase(back);
    return copy;
  }
  auto fd = device_->retrieve(session_.get(), token);
  if (!fd) return fail(tracker_retrieve_error(name_, token, fd.error()));
  auto copy = duplicate_fd(fd->get());
  if (!copy) return std::move(*fd);  // not kept, then: the caller has it
  given_.insert_or_assign(token, std::move(*fd));
  return copy;
}

Result<void> TrackerSession::finish() {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  if (auto done = rest_->finish(name_, session_); !done) return done;
  given_.clear();
  again_.clear();
  return {};
}

Result<void> TrackerSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  if (!session_) return {};
  const auto done = device_->discard(session_.get());
  if (!done && done.error() != ENOENT) {
    return fail(tracker_error("discard", name_, done.error()));
  }
  session_.reset();
  known_.clear();
  return {};
}

std::vector<Descriptor> TrackerSession::describe() const {
  std::vector<Descriptor> descriptors;
  if (!session_) return descriptors;
  const auto tokens = device_->list_tokens(session_.get());
  if (!tokens) {
    for (const auto& [token, descriptor] : known_) descriptors.push_back(descriptor);
    return descriptors;
  }
  descriptors.reserve(tokens->size());
  for (const std::uint64_t token : *tokens) {
    const auto known = known_.find(token);
    // Only in an incoming session does an entry change.
    descriptors.push_back(known != known_.end() && !incoming_ ? known->second : describe(token));
  }
  return descriptors;
}

Descriptor TrackerSession::describe(std::uint64_t token) const {
  const auto known = known_.find(token);
  Descriptor descriptor =
      known != known_.end() ? known->second : Descriptor{token, "fd", 0, "tracker"};
  descriptor.backend = "tracker";
  const auto entry = device_->describe(session_.get(), token);
  if (!entry) return descriptor;
  if (known == known_.end()) descriptor.kind = kind_words(entry->kind);
  descriptor.bytes = entry->length;
  // What came back after a crash is here to be had.
  descriptor.retrieved = entry->retrieved && !again_.contains(token);
  return descriptor;
}

Result<UniqueFd> TrackerSession::open_tracker() {
  if (!session_) return fail(tracker_error("open", name_, ENOENT));
  return duplicate_fd(session_.get());
}

std::optional<UniqueFd> TrackerSession::duplicate(std::uint64_t /*token*/) const {
  return std::nullopt;  // the kernel has it, and nobody needs it here
}

Result<void> TrackerSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  // Small pages cost the module nothing: there is nothing to collapse, and no reason to let go.
  return between ? between() : Result<void>{};
}

std::vector<Session::StoredFd> TrackerSession::stored_fds() const {
  std::vector<StoredFd> stored;
  for (const auto* files : {&again_, &given_}) {
    for (const auto& [token, fd] : *files) stored.push_back(StoredFd{part_of(token), fd.get()});
  }
  return stored;
}

}  // namespace handover::backend
