// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_rest.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/tracker_refusal.h"

namespace handover::backend {

Result<void> TrackerRest::finish(const std::string& name, UniqueFd& session) {
  if (threads_ == 0 && anything_retrieved(session.get())) {
    resting_.insert_or_assign(name, std::move(session));
    return {};
  }
  if (auto ended = end(name, session.get()); !ended) return ended;
  session.reset();
  return {};
}

Result<void> TrackerRest::free_name(const std::string& name) {
  const auto found = resting_.find(name);
  if (found == resting_.end()) return {};
  if (auto ended = end(name, found->second.get()); !ended) return ended;
  resting_.erase(found);
  return {};
}

std::vector<std::string> TrackerRest::names() const {
  std::vector<std::string> names;
  names.reserve(resting_.size());
  for (const auto& [name, session] : resting_) names.push_back(name);
  return names;
}

void TrackerRest::adopt(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    auto session = device_->retrieve_session(name);
    if (!session) continue;
    // An outgoing one of that name is a newer one.
    const auto incoming = device_->is_incoming(session->get());
    if (incoming && *incoming) resting_.insert_or_assign(name, std::move(*session));
  }
}

Result<void> TrackerRest::restore(unsigned threads) {
  constexpr unsigned most = 64;  // HANDOVER_SESSION_RESTORE
  threads_ = std::clamp(threads, 1U, most);
  Result<void> outcome;
  for (auto session = resting_.begin(); session != resting_.end();) {
    if (auto ended = end(session->first, session->second.get()); ended) {
      session = resting_.erase(session);
    } else {
      outcome = ended;
      ++session;
    }
  }
  return outcome;
}

Result<void> TrackerRest::end(const std::string& name, int session) {
  if (threads_ != 0) {
    // Only a matter of time: what it does not restore is restored at first touch.
    (void)device_->restore(session, threads_);
  }
  const auto done = device_->finish(session);
  if (done || done.error() == ENOENT) return {};
  return fail(tracker_error("finish", name, done.error()));
}

bool TrackerRest::anything_retrieved(int session) const {
  const auto tokens = device_->list_tokens(session);
  if (!tokens) return false;
  return std::any_of(tokens->begin(), tokens->end(), [&](std::uint64_t token) {
    const auto entry = device_->describe(session, token);
    return entry && entry->retrieved;
  });
}

}  // namespace handover::backend
