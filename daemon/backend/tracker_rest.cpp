// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_rest.h"

#include <algorithm>
#include <cerrno>

#include "backend/tracker_refusal.h"

namespace handover::backend {

Result<void> TrackerRest::finish(const std::string& name, UniqueFd& session) {
  if (threads() == 0) {
    const auto retrieved = anything_retrieved(session.get());
    // In doubt let it rest: the rest of its files can be restored only while the session exists.
    if (!retrieved || *retrieved) {
      const std::lock_guard lock(mutex_);
      if (threads_ == 0) {
        resting_.insert_or_assign(name, std::make_shared<UniqueFd>(std::move(session)));
        return {};
      }
    }
  }
  if (auto ended = end(name, session.get()); !ended) return ended;
  session.reset();
  return {};
}

Result<void> TrackerRest::free_name(const std::string& name) {
  std::shared_ptr<UniqueFd> session;
  {
    const std::lock_guard lock(mutex_);
    const auto found = resting_.find(name);
    if (found == resting_.end()) return {};
    session = found->second;
  }
  return end_resting(name, session);
}

std::vector<std::string> TrackerRest::names() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  names.reserve(resting_.size());
  for (const auto& [name, session] : resting_) names.push_back(name);
  return names;
}

void TrackerRest::adopt(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    auto session = find(name);
    if (!session && !is_passing(session.error())) continue;
    auto resting = std::make_shared<UniqueFd>(session ? std::move(*session) : UniqueFd());
    const std::lock_guard lock(mutex_);
    resting_.insert_or_assign(name, std::move(resting));
  }
}

KernelResult<UniqueFd> TrackerRest::find(const std::string& name) const {
  auto session = device_->retrieve_session(name);
  if (!session) return session;
  const auto incoming = device_->is_incoming(session->get());
  if (!incoming) return tl::unexpected<int>(incoming.error());
  // An outgoing one of that name is a newer one.
  if (!*incoming) return tl::unexpected<int>(ENOENT);
  return session;
}

Result<void> TrackerRest::restore(unsigned threads) {
  constexpr unsigned most = 64;  // HANDOVER_SESSION_RESTORE
  Resting resting;
  {
    const std::lock_guard lock(mutex_);
    threads_ = std::clamp(threads, 1U, most);
    resting = resting_;
  }
  Result<void> outcome;
  for (const auto& [name, session] : resting) {
    if (auto ended = end_resting(name, session); !ended) outcome = ended;
  }
  return outcome;
}

unsigned TrackerRest::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_;
}

Result<void> TrackerRest::end(const std::string& name, int session) const {
  if (const unsigned count = threads(); count != 0) {
    // An error costs only time: what is not restored now is restored when it is touched.
    (void)device_->restore(session, count);
  }
  const auto done = device_->finish(session);
  if (done || done.error() == ENOENT) return {};
  return fail(tracker_error("finish", name, done.error()));
}

Result<void> TrackerRest::end_resting(const std::string& name,
                                      const std::shared_ptr<UniqueFd>& session) {
  if (*session) {
    if (auto ended = end(name, session->get()); !ended) return ended;
  } else if (auto late = find(name); late) {
    if (auto ended = end(name, late->get()); !ended) return ended;
  } else if (is_passing(late.error())) {
    return fail(tracker_error("retrieve", name, late.error()));
  }
  const std::lock_guard lock(mutex_);
  const auto found = resting_.find(name);
  if (found != resting_.end() && found->second == session) resting_.erase(found);
  return {};
}

KernelResult<bool> TrackerRest::anything_retrieved(int session) const {
  const auto tokens = device_->list_tokens(session);
  if (!tokens) return tl::unexpected<int>(tokens.error());
  for (const std::uint64_t token : *tokens) {
    const auto entry = device_->describe(session, token);
    if (!entry && is_passing(entry.error())) return tl::unexpected<int>(entry.error());
    if (entry && entry->retrieved) return true;
  }
  return false;
}

}  // namespace handover::backend
