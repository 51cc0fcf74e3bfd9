// SPDX-License-Identifier: LGPL-2.1-or-later
// Lets the connections of the private socket read and write. sd_bus_attach_event() has sd-event ask
// each connection at each event of any of them: with a thousand that is most of what the daemon
// does. This asks those that have something to do.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "bus/sd_bus.h"
#include "bus/unread.h"
#include "core/unique_fd.h"
#include "system/loop.h"

namespace handover::bus {

/// Peers take turns, of a few messages each. Of a peer that leaves too much unread nothing is read:
/// what it calls for would wait for it as well.
class PeerPoll {
 public:
  struct Limits {
    std::uint64_t unread = 256;  ///< messages that wait for one peer
    /// And bytes of large answers. An answer is 4 MiB at most.
    std::size_t unread_bytes = std::size_t{8} << 20U;
    /// How late it is noticed that a peer does not finish its greeting, or that one which still
    /// sends has closed its other half.
    std::uint64_t look_again_usec = 10'000'000;
  };
  /// The connection has ended, and is not watched any more: it can be destroyed. From the loop, and
  /// not from a callback of the connection.
  using Ended = std::function<void(std::uint64_t id)>;

  PeerPoll(system::Loop& loop, Ended ended) : PeerPoll(loop, std::move(ended), Limits()) {}
  PeerPoll(system::Loop& loop, Ended ended, const Limits& limits)
      : loop_(loop), ended_(std::move(ended)), limits_(limits) {}
  PeerPoll(const PeerPoll&) = delete;
  PeerPoll& operator=(const PeerPoll&) = delete;

  /// Once, before the first peer. io.
  Result<void> open();
  /// `peer` is started, and stays until it has ended, as does `unread`, which is its. io.
  Result<void> add(std::uint64_t id, sd_bus* peer, Unread& unread);

 private:
  struct Unref {
    void operator()(sd_event_source* source) const { sd_event_source_disable_unref(source); }
  };
  struct Watched {
    sd_bus* bus = nullptr;
    Unread* unread = nullptr;
    bool queued = false;
    bool moves = false;  ///< the socket has room, or is closed: what is unread gets less
  };
  static int on_ready(sd_event_source*, int, std::uint32_t, void* userdata);

  void take_ready();
  void take(std::uint64_t id, std::uint32_t events);
  void enqueue(std::uint64_t id, Watched& watched);
  void work();
  void tell_loop();
  int process(std::uint64_t id, Watched& watched);
  void end(std::uint64_t id);
  void look_at_clocks();
  [[nodiscard]] bool leaves_too_much(const Watched& watched) const;

  system::Loop& loop_;
  Ended ended_;
  Limits limits_;
  UniqueFd epoll_;  ///< readable while there is something to do
  UniqueFd more_;   ///< an eventfd in it: somebody is queued
  bool told_ = false;
  std::unique_ptr<sd_event_source, Unref> ready_;
  std::map<std::uint64_t, Watched> peers_;
  std::deque<std::uint64_t> queue_;  ///< those that have something to do, each once
  system::Timer clock_;
};

}  // namespace handover::bus
