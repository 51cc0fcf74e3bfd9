// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lock.h"

#include <algorithm>
#include <functional>

#include "fleetlock.h"
#include "pause.h"

namespace handover::fleet {
namespace {

using Kind = LockOutcome::Kind;

/// Others change the slots meanwhile, each at most once for each of our looks.
constexpr int most_steps = 64;
constexpr std::uint64_t first_pause_usec = 250'000;
constexpr std::uint64_t longest_pause_usec = 10'000'000;

}  // namespace

LockOutcome LockClient::take(const Claim& claim) {
  const auto until = now_usec() + lock_.wait_usec;
  auto pause_usec = first_pause_usec;
  for (;;) {
    auto outcome = take_once(claim);
    const auto now = now_usec();
    if (outcome.kind != Kind::refused || now >= until || given_up_) return outcome;
    pause(std::min(pause_usec, until - now), given_up_);
    pause_usec = std::min(pause_usec * 2, longest_pause_usec);
  }
}

LockOutcome LockClient::take_once(const Claim& claim) {
  LockOutcome outcome;
  switch (lock_.kind) {
    case LockKind::none:
      outcome.kind = Kind::held;
      break;
    case LockKind::fleetlock: {
      const auto request = fleetlock_request(FleetLockCall::pre_reboot, lock_.group, claim.id);
      const auto& url = lock_.urls.front();
      outcome = fleetlock_outcome(FleetLockCall::pre_reboot, exchange(url, request), url);
      break;
    }
    case LockKind::etcd:
      outcome = run_etcd(claim, true);
      break;
  }
  if (outcome.held()) outcome.since = claim.since;
  return outcome;
}

LockOutcome LockClient::give_back(const Claim& claim) {
  switch (lock_.kind) {
    case LockKind::none:
      break;
    case LockKind::fleetlock: {
      const auto request = fleetlock_request(FleetLockCall::steady_state, lock_.group, claim.id);
      const auto& url = lock_.urls.front();
      return fleetlock_outcome(FleetLockCall::steady_state, exchange(url, request), url);
    }
    case LockKind::etcd:
      return run_etcd(claim, false);
  }
  return {Kind::free, "", -1, ""};
}

Reply LockClient::exchange(const std::string& url, const Request& request) {
  auto reply = server_.exchange(url, request);
  if (reply.server_time != 0) {
    const auto ours = static_cast<std::int64_t>(wall_clock_usec() / usec_per_second);
    clock_skew_ = ours - reply.server_time;
  }
  return reply;
}

LockOutcome LockClient::run_etcd(const Claim& claim, bool takes) {
  // Whether a request that changes something may still arrive.
  bool sent = false;
  const auto failed = [&](const std::string& why) {
    return LockOutcome{sent ? Kind::uncertain : Kind::untouched,
                       "etcd cannot be asked for group '" + lock_.group + "': " + why + ".", -1,
                       ""};
  };
  auto spread = std::hash<std::string>()(claim.id + claim.since);
  for (int i = 0; i < most_steps && !given_up_; ++i) {
    auto board = parse_board(group(), ask_etcd(board_request(group(), claim.id)));
    if (!board) return failed(board.error().message);
    auto step = takes ? take_step(group(), *board, claim, spread++)
                      : give_back_step(group(), *board, claim);
    if (!step.request) {
      // What an earlier try has sent may still come.
      if (sent && step.outcome.kind == Kind::refused) step.outcome.kind = Kind::uncertain;
      return step.outcome;
    }
    const auto reply = ask_etcd(*step.request);
    auto done = parse_done(reply);
    if (done && *done) return {takes ? Kind::held : Kind::free, "", takes ? step.slot : -1, ""};
    // An answer that is not etcd's own is from somebody on the way, who may have handed it on.
    sent = sent || reply.sent || (!done && reply.status != 0);
    if (!done) return failed(done.error().message);
  }
  return failed(given_up_ ? "it was given up" : "the slots changed hands all the time");
}

/// Each endpoint once, beginning with the one that answered last. All of our requests may be sent
/// twice: the second time they find that something has changed. `sent` of an answer: another copy
/// may still be on its way.
Reply LockClient::ask_etcd(const Request& request) {
  Reply reply;
  std::string failures;
  bool sent = false;
  for (std::size_t i = 0; i < lock_.urls.size() && !given_up_; ++i) {
    const auto& url = lock_.urls[(endpoint_ + i) % lock_.urls.size()];
    reply = exchange(url, request);
    if (reply.status != 0 && reply.status < 500) {
      endpoint_ = (endpoint_ + i) % lock_.urls.size();
      reply.sent = sent;
      return reply;
    }
    sent = sent || reply.sent;
    failures += (failures.empty() ? "" : "; ") + url + ": " +
                (reply.status == 0 ? reply.failure : "HTTP status " + std::to_string(reply.status));
  }
  reply.status = 0;
  reply.sent = sent;
  reply.failure = failures.empty() ? "it was given up" : failures;
  return reply;
}

client::Result<Board> LockClient::board(const std::string& id) {
  return parse_board(group(), ask_etcd(board_request(group(), id)));
}

client::Result<bool> LockClient::break_slot(const HeldSlot& slot, const std::string& now) {
  return parse_done(ask_etcd(break_request(group(), slot, now)));
}

}  // namespace handover::fleet
