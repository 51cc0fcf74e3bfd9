// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_session.h"

#include <algorithm>
#include <cerrno>

#include "backend/descriptor.h"
#include "backend/refusal.h"
#include "backend/tracker_refusal.h"

namespace handover::backend {

Result<std::unique_ptr<Session>> TrackerSession::create(std::shared_ptr<TrackerDevice> device,
                                                        std::shared_ptr<TrackerRest> rest,
                                                        const std::string& name,
                                                        const Limits& limits) {
  if (auto freed = rest->free_name(name); !freed) return fail(freed.error());
  auto fd = device->create_session(name, TrackerLimits{limits.bytes, limits.descriptors});
  if (!fd) return fail(tracker_error("create", name, fd.error()));
  return std::unique_ptr<Session>(
      new TrackerSession(std::move(device), std::move(rest), name, std::move(*fd)));
}

Result<Adoption> TrackerSession::adopt(std::shared_ptr<TrackerDevice> device,
                                       std::shared_ptr<TrackerRest> rest, Adopted& adopted) {
  auto fd = device->retrieve_session(adopted.name);
  if (!fd) {
    const Error error = tracker_error("retrieve", adopted.name, fd.error());
    // Nothing is lost: when the module is loaded, it has the session.
    return fail(fd.error() == ENODEV ? passing(error) : error);
  }
  const auto incoming = device->is_incoming(fd->get());
  if (!incoming) return fail(tracker_error("look into", adopted.name, incoming.error()));
  const auto tokens = device->list_tokens(fd->get());
  if (!tokens) return fail(tracker_error("look into", adopted.name, tokens.error()));

  Adoption adoption;
  std::unique_ptr<TrackerSession> session(
      new TrackerSession(std::move(device), std::move(rest), adopted.name, std::move(*fd)));
  session->incoming_ = *incoming;
  for (const Descriptor& descriptor : adopted.tokens) {
    const std::uint64_t token = descriptor.token;
    if (std::binary_search(tokens->begin(), tokens->end(), token)) {
      session->known_.emplace(token, descriptor);
    } else if (*incoming) {
      adoption.losses.push_back(
          {token, token_of(adopted.name, token) + " did not come back with the companion module"});
    }
    // The owner of an outgoing session may just have unpreserved it.
  }
  adoption.unexpected = std::any_of(tokens->begin(), tokens->end(), [&](std::uint64_t token) {
    return std::none_of(adopted.tokens.begin(), adopted.tokens.end(),
                        [token](const Descriptor& known) { return known.token == token; });
  });
  for (Adopted::Part& part : adopted.parts) {
    if (!*incoming || part.part.kind != Part::Kind::token || !part.fd) continue;
    adoption.given.insert_or_assign(part.part.token, std::move(part.fd));
  }
  adoption.session = std::move(session);
  return adoption;
}

Result<Session::Preserved> TrackerSession::preserve(std::uint64_t token, int fd,
                                                    std::optional<Keeper> only,
                                                    const std::string& /*cgroup*/) {
  if (only && *only != keeper()) return fail(other_backend(name_, keeper(), *only));
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  const auto type = examine(fd);
  if (!type) return fail(type.error());
  auto copy = duplicate_fd(fd);
  if (!copy) return fail(copy.error());
  if (auto done = device_->preserve_fd(session_.get(), token, fd); !done) {
    return fail(tracker_preserve_error(name_, token, *type, done.error()));
  }
  known_.erase(token);
  Descriptor descriptor = ask(Descriptor{token, type->kind, type->bytes, keeper()});
  if (type->kind == Kind::tmpfs) descriptor.kind = type->kind;
  known_.insert_or_assign(token, descriptor);
  if (!opened_) files_.insert_or_assign(token, std::move(*copy));
  return Preserved{descriptor, {}, ""};
}

Result<void> TrackerSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  if (auto done = device_->unpreserve(session_.get(), token); !done) {
    if (done.error() == ENOENT) return fail(no_such_token(name_, token));
    return fail(tracker_error("unpreserve a token of", name_, done.error()));
  }
  known_.erase(token);
  files_.erase(token);
  return {};
}

Result<Session::Retrieved> TrackerSession::retrieve(std::uint64_t token,
                                                    const std::string& /*cgroup*/) {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  auto fd = device_->retrieve(session_.get(), token);
  if (!fd) return fail(tracker_retrieve_error(name_, token, fd.error()));
  return Retrieved{std::move(*fd), /*once=*/true, ""};
}

Result<void> TrackerSession::finish() {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  return rest_->finish(name_, session_);
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
  files_.clear();
  return {};
}

bool TrackerSession::holds(std::uint64_t token) const {
  if (!session_) return false;
  const auto entry = device_->describe(session_.get(), token);
  return entry || (is_passing(entry.error()) && known_.contains(token));
}

std::vector<Descriptor> TrackerSession::describe() const {
  std::vector<Descriptor> descriptors;
  if (!session_) return descriptors;
  if (const auto tokens = device_->list_tokens(session_.get())) {
    std::map<std::uint64_t, Descriptor> there;
    for (const std::uint64_t token : *tokens) {
      const auto known = known_.find(token);
      const bool asked = known != known_.end();
      // Only in an incoming session does an entry change.
      there.emplace(token, asked && !incoming_ ? known->second
                           : asked             ? ask(known->second)
                                   : ask(Descriptor{token, Kind::fd, 0, Keeper::tracker}));
    }
    std::erase_if(files_, [&](const auto& file) { return !there.contains(file.first); });
    known_ = std::move(there);
  }
  descriptors.reserve(known_.size());
  for (const auto& [token, descriptor] : known_) descriptors.push_back(descriptor);
  return descriptors;
}

Descriptor TrackerSession::ask(const Descriptor& fallback) const {
  Descriptor descriptor = fallback;
  descriptor.keeper = keeper();
  const auto entry = device_->describe(session_.get(), descriptor.token);
  if (!entry) return descriptor;
  if (!known_.contains(descriptor.token)) descriptor.kind = entry->kind;
  descriptor.bytes = entry->length;
  descriptor.retrieved = entry->retrieved;
  return descriptor;
}

Result<UniqueFd> TrackerSession::open_tracker() {
  if (!session_) return fail(tracker_error("open", name_, ENOENT));
  auto opened = duplicate_fd(session_.get());
  if (!opened) return opened;
  opened_ = true;
  files_.clear();
  return opened;
}

std::optional<UniqueFd> TrackerSession::duplicate(std::uint64_t token) const {
  const auto found = files_.find(token);
  if (found == files_.end()) return std::nullopt;  // the kernel alone has it
  // Its owner may have given it up by a descriptor of his own.
  const auto entry = device_->describe(session_.get(), token);
  if (!entry && !is_passing(entry.error())) return std::nullopt;
  auto copy = duplicate_fd(found->second.get());
  if (!copy) return std::nullopt;
  return std::move(*copy);
}

Result<void> TrackerSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  // Small pages cost the module nothing, so that nothing need be collapsed.
  return between ? between() : Result<void>{};
}

}  // namespace handover::backend
