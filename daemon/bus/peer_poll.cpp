// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/peer_poll.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "system/log.h"

namespace handover::bus {

namespace {

/// Messages at once, of all peers and of one: then other events have their chance.
constexpr int most_messages = 8;
constexpr int most_messages_each = 4;

/// Not a peer's.
constexpr std::uint64_t id_of_more = UINT64_MAX;

}  // namespace

Result<void> PeerPoll::open() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return fail_errno("epoll_create1");
  // Not a source of kind "defer": sd-event takes it before all others as long as it is on.
  more_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!more_) return fail_errno("eventfd");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id_of_more;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, more_.get(), &event) < 0) {
    return fail_errno("epoll_ctl");
  }
  sd_event_source* source = nullptr;
  const int result =
      sd_event_add_io(loop_.get(), &source, epoll_.get(), EPOLLIN, safe<on_ready>, this);
  ready_.reset(source);
  return check(result, "watching the private connections");
}

Result<void> PeerPoll::add(std::uint64_t id, sd_bus* peer, Unread& unread) {
  const int fd = sd_bus_get_fd(peer);
  if (auto there = check(fd, "a private connection"); !there) return there;
  // Edges are enough: sd-bus reads and writes until it would have to wait. So nobody needs to tell
  // when a message waits to be written.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return fail_errno("epoll_ctl");
  enqueue(id, peers_[id] = {peer, &unread, false, true});
  tell_loop();
  if (!clock_) clock_ = loop_.after(limits_.look_again_usec, [this] { look_at_clocks(); });
  return {};
}

int PeerPoll::on_ready(sd_event_source*, int, std::uint32_t, void* userdata) {
  auto& self = *static_cast<PeerPoll*>(userdata);
  self.take_ready();
  self.work();
  return 0;
}

void PeerPoll::take_ready() {
  constexpr std::size_t at_once = 64;
  std::array<epoll_event, at_once> events{};
  const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(at_once), 0);
  for (int i = 0; i < count; ++i) {
    const auto& event = events.at(static_cast<std::size_t>(i));
    take(event.data.u64, event.events);
  }
}

void PeerPoll::take(std::uint64_t id, std::uint32_t events) {
  const auto peer = peers_.find(id);
  if (peer == peers_.end()) return;
  auto& watched = peer->second;
  // A peer that reads makes room each time: that is news only while something waits for it.
  const bool only_room = (events & ~std::uint32_t{EPOLLOUT}) == 0;
  if (only_room && sd_bus_is_ready(watched.bus) > 0 && watched.unread->messages() == 0) return;
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) watched.moves = true;
  enqueue(id, watched);
}

void PeerPoll::enqueue(std::uint64_t id, Watched& watched) {
  if (watched.queued) return;
  queue_.push_back(id);
  watched.queued = true;
}

/// Whether somebody is queued.
void PeerPoll::tell_loop() {
  const bool more = !queue_.empty();
  if (more == std::exchange(told_, more)) return;
  std::uint64_t count = 1;
  [[maybe_unused]] const auto done =
      more ? write(more_.get(), &count, sizeof count) : read(more_.get(), &count, sizeof count);
}

void PeerPoll::work() {
  // Whatever a callback throws.
  struct Telling {
    PeerPoll& poll;
    ~Telling() { poll.tell_loop(); }
  };
  const Telling telling{*this};
  for (int left = most_messages; left > 0 && !queue_.empty();) {
    const auto id = queue_.front();
    queue_.pop_front();
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) continue;
    peer->second.queued = false;
    left -= std::max(process(id, peer->second), 1);
  }
}

/// Afterwards the peer is queued again, or was read dry, or leaves so much unread that there will
/// be room again before it is its turn. Returns how much was done.
int PeerPoll::process(std::uint64_t id, Watched& watched) {
  bool moves = std::exchange(watched.moves, false);
  for (int taken = 0; taken < most_messages_each; ++taken) {
    if (!std::exchange(moves, false) && leaves_too_much(watched)) return taken;
    const int result = sd_bus_process(watched.bus, nullptr);
    if (result == 0) return taken;
    if (result > 0) continue;
    // After the end of the connection, of which it has told its callbacks; or of what cannot be
    // read, or not be sent. sd-event would close it, too.
    log::debug("A private connection ends: ",
               fail_errno("sd_bus_process", -result).value().message);
    end(id);
    return taken;
  }
  enqueue(id, watched);
  return most_messages_each;
}

bool PeerPoll::leaves_too_much(const Watched& watched) const {
  return sd_bus_is_ready(watched.bus) > 0 && (watched.unread->messages() > limits_.unread ||
                                              watched.unread->bytes() > limits_.unread_bytes);
}

void PeerPoll::end(std::uint64_t id) {
  const auto peer = peers_.find(id);
  // One that is closed is watched no more.
  const int fd = sd_bus_get_fd(peer->second.bus);
  if (fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  peers_.erase(peer);
  ended_(id);
}

/// What no event tells of: time limits of sd-bus's own, and a connection that ended as we wrote.
void PeerPoll::look_at_clocks() {
  std::uint64_t now = 0;
  sd_event_now(loop_.get(), CLOCK_MONOTONIC, &now);
  for (auto& [id, watched] : peers_) {
    std::uint64_t due = UINT64_MAX;
    if (sd_bus_get_timeout(watched.bus, &due) >= 0 && due > now) continue;
    watched.moves = true;
    enqueue(id, watched);
  }
  tell_loop();
  if (peers_.empty()) return clock_.cancel();
  clock_ = loop_.after(limits_.look_again_usec, [this] { look_at_clocks(); });
}

}  // namespace handover::bus
