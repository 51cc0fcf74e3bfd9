// SPDX-License-Identifier: LGPL-2.1-or-later
// The fleet's lock: asks its server, request after request, until it is known what became of it.
//
// Threads: as its server.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <handover/handover.hpp>
#include <vector>

#include "config.h"
#include "etcd.h"
#include "http.h"
#include "message.h"

namespace handover::fleet {

class LockClient {
 public:
  /// Both are to outlive it. `given_up` ends waits, too.
  LockClient(const Lock& lock, Server& server, const std::atomic<bool>& given_up)
      : lock_(lock), server_(server), given_up_(given_up) {}

  /// Takes a slot, or the one that is ours already. Waits for one up to lock.wait_usec.
  LockOutcome take(const Claim& claim);
  /// Also what an earlier request of ours may still take is free for others then.
  LockOutcome give_back(const Claim& claim);

  /// How far this host's clock was from the server's, in seconds, when it answered last.
  [[nodiscard]] std::int64_t clock_skew() const { return clock_skew_; }

  // etcd only
  client::Result<Board> board(const std::string& id = "-");
  /// False: it has changed hands since.
  client::Result<bool> break_slot(const HeldSlot& slot, const std::string& now);

 private:
  LockOutcome take_once(const Claim& claim);
  LockOutcome run_etcd(const Claim& claim, bool takes);
  Reply ask_etcd(const Request& request);
  Reply exchange(const std::string& url, const Request& request);
  [[nodiscard]] SlotGroup group() const { return {lock_.prefix, lock_.group, lock_.slots}; }

  const Lock& lock_;
  Server& server_;
  const std::atomic<bool>& given_up_;
  std::int64_t clock_skew_ = 0;
  std::size_t endpoint_ = 0;  ///< that has answered last
};

}  // namespace handover::fleet
