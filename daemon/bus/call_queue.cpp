// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/call_queue.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <string_view>
#include <utility>

#include "core/text.h"

namespace handover::bus {

namespace {

constexpr std::uint64_t first_pause_usec = 50'000;
constexpr std::uint64_t longest_pause_usec = 1'000'000;
/// Between two looks at whether a connection was read dry.
constexpr std::uint64_t look_again_usec = 5'000;
/// sd-bus's own: no time limit.
constexpr std::uint64_t forever = UINT64_MAX;
/// What is kept of a client's sentence.
constexpr std::size_t most_sentence_bytes = 512;

/// A Freeze that is sent behind its Thaw would be for ever.
Error undone_unsent() { return {ErrorCode::busy, "it was not called: that is undone already."}; }

constexpr const char* driver = "org.freedesktop.DBus";

/// Of the clock that stands still with the whole machine.
std::uint64_t now_usec() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

/// Without going round at a time limit of "for ever".
std::uint64_t later(std::uint64_t usec, std::uint64_t by) {
  return by > forever - usec ? forever : usec + by;
}

/// The bus itself could not take the call now. (The client can say the same: that is its veto.)
bool is_full(sd_bus_message* reply, std::string_view error) {
  const char* sender = sd_bus_message_get_sender(reply);
  return sender != nullptr && std::string_view(sender) == driver &&
         (error == SD_BUS_ERROR_LIMITS_EXCEEDED || error == SD_BUS_ERROR_NO_MEMORY);
}

Error error_from(const sd_bus_error& error) {
  const std::string_view name = error.name;
  if (name == SD_BUS_ERROR_NO_REPLY || name == SD_BUS_ERROR_SERVICE_UNKNOWN ||
      name == SD_BUS_ERROR_NAME_HAS_NO_OWNER || name == SD_BUS_ERROR_DISCONNECTED ||
      name == "org.freedesktop.DBus.Error.NoServer") {
    return {ErrorCode::client_gone, "it left the bus."};
  }
  return {ErrorCode::vetoed,
          printable(error.message != nullptr ? error.message : error.name, most_sentence_bytes)};
}

}  // namespace

CallQueue::~CallQueue() {
  const auto all = [](const Pending& /*pending*/) { return true; };
  List unsent = undoing_.take_if(all);
  unsent.splice(unsent.end(), others_.take_if(all));
  for (auto* list : {&unsent, &sent_}) {
    for (auto& pending : *list) {
      if (pending.overdue) continue;
      end_later(std::move(pending),
                Error{ErrorCode::client_gone, "it cannot be called.", ENOTCONN});
    }
  }
}

void CallQueue::end_later(Pending pending, Error error) {
  loop_.post([answered = std::move(pending.call.answered), error = std::move(error)] {
    answered(Answer{fail(error)});
  });
}

void CallQueue::send(Call call) {
  Pending pending;
  pending.queue = this;
  pending.object = call.connection + sd_bus_message_get_path(call.message.get());
  pending.since_usec = now_usec();
  pending.call = std::move(call);
  if (pending.call.undoes) end_undone(pending);
  auto& waiting = pending.call.undoes ? undoing_ : others_;
  look_by(later(pending.since_usec, pending.call.limit_usec));
  const auto place = waiting.push_back(std::move(pending));
  place->place = place;
  send_waiting();
}

void CallQueue::send_waiting() {
  if (now_usec() < next_send_usec_) return;
  send_waiting(undoing_, limits_.unanswered, 0, &undoing_users_);
  send_waiting(undoing_, limits_.unanswered_debtors, limits_.owed);
  send_waiting(others_, limits_.unanswered_others, limits_.owed - 1);
}

/// In their order, those first that can be sent: the others' own clients or users are in the way.
/// `also`: a quota for what has no place in the users' own.
void CallQueue::send_waiting(Calls& waiting, std::size_t most, std::size_t owed_at_most,
                             Quota* also) {
  if (sent_.size() >= most) return;
  waiting.offer([&](List::iterator pending) {
    if (sent_.size() >= most) return Offer::full;
    if (owed_by(*pending) > owed_at_most) return Offer::kept;
    auto share = users_.take(pending->call.uid);
    if (!share && also != nullptr) share = also->take(pending->call.uid);
    if (!share) return Offer::refused;
    send_now(waiting, pending, std::move(*share));
    return Offer::taken;
  });
}

std::size_t CallQueue::owed_by(const Pending& pending) const {
  const auto owed = owed_.find(pending.object);
  return owed == owed_.end() ? 0 : owed->second;
}

bool CallQueue::owes_too_much(const Pending& pending) const {
  return owed_by(pending) > limits_.owed - (pending.call.undoes ? 0 : 1);
}

void CallQueue::send_now(Calls& waiting, List::iterator pending, Quota::Share share) {
  waiting.take(pending, sent_);
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_call_async(bus_, &slot, pending->call.message.get(), safe<on_reply>,
                                       &*pending, forever);
  pending->slot.reset(slot);
  if (result < 0) {
    end_later(std::move(*pending), Error{ErrorCode::client_gone, "it cannot be called.", -result});
    sent_.erase(pending);
    return;
  }
  pending->share = std::move(share);
  pending->since_usec = now_usec();
  pending->left_usec = pending->call.limit_usec;
  ++owed_[pending->object];
  look_by(due_usec(*pending));
}

int CallQueue::on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  const auto call = static_cast<Pending*>(userdata)->place;
  auto& queue = *call->queue;
  const auto owed = queue.owed_.find(call->object);
  if (--owed->second == 0) queue.owed_.erase(owed);
  Result<void> result;
  bool no_answer = false;
  if (const auto* error = sd_bus_message_get_error(reply)) {
    const bool full = is_full(reply, error->name);
    if (full && !call->overdue && !queue.is_undone(call)) {
      queue.put_back(call);
      return 1;
    }
    result = fail(full ? undone_unsent() : error_from(*error));
    no_answer = full || result.error().code == ErrorCode::client_gone;
  }
  List one;
  one.splice(one.end(), queue.sent_, call);
  one.front().share.give_back();
  queue.moved_usec_ = now_usec();
  queue.pause_usec_ = 0;
  queue.send_waiting();
  if (one.front().overdue && no_answer) return 1;
  one.front().call.answered(Answer{std::move(result), one.front().overdue});
  return 1;
}

/// It is the next one again, once the bus has had time to get rid of something.
void CallQueue::put_back(List::iterator pending) {
  pause_usec_ = std::clamp(pause_usec_ * 2, first_pause_usec, longest_pause_usec);
  pending->since_usec = now_usec();
  pending->slot.reset();
  pending->share.give_back();
  auto& waiting = pending->call.undoes ? undoing_ : others_;
  waiting.put_back(sent_, pending);
  next_send_usec_ = later(now_usec(), pause_usec_);
  look_by(next_send_usec_);
}

/// What waits for the same client overtakes nothing, but is overtaken by what undoes it.
void CallQueue::end_undone(const Pending& undoing) {
  if (!others_.any_for(undoing.object)) return;
  const auto same = [&](const Pending& pending) { return pending.object == undoing.object; };
  auto ended = others_.take_if(undoing.call.uid, same);
  // Of another owner's client there, for certain.
  if (others_.any_for(undoing.object)) ended.splice(ended.end(), others_.take_if(same));
  for (auto& pending : ended) end_later(std::move(pending), undone_unsent());
}

/// The bus did not take this call, and what undoes it is behind it.
bool CallQueue::is_undone(List::const_iterator call) const {
  const auto undoes_it = [&](const Pending& later) {
    return later.call.undoes && later.object == call->object;
  };
  return !call->call.undoes &&
         (undoing_.any_for(call->object) || std::any_of(std::next(call), sent_.end(), undoes_it));
}

void CallQueue::stop_clock(const std::string& connection) {
  if (++stopped_[connection] > 1) return;
  const auto now = now_usec();
  for (auto& pending : sent_) {
    if (pending.call.connection != connection) continue;
    pending.left_usec -= std::min(pending.left_usec, now - pending.since_usec);
    pending.since_usec = now;
  }
}

void CallQueue::start_clock(const std::string& connection) {
  const auto stopped = stopped_.find(connection);
  if (stopped == stopped_.end() || --stopped->second > 0) return;
  stopped_.erase(stopped);
  for (auto& pending : sent_) {
    if (pending.call.connection != connection) continue;
    pending.since_usec = now_usec();
    look_by(due_usec(pending));
  }
}

/// When the time limit of a sent call is over.
std::uint64_t CallQueue::due_usec(const Pending& pending) const {
  if (pending.overdue || stopped_.contains(pending.call.connection)) return forever;
  return later(pending.since_usec, pending.left_usec);
}

/// When a call that waits to be sent has waited in vain: answers of others make room for it, unless
/// it is its own client that owes some.
std::uint64_t CallQueue::stuck_usec(const Pending& pending) const {
  const auto since =
      owes_too_much(pending) ? pending.since_usec : std::max(pending.since_usec, moved_usec_);
  if (owes_too_much(pending)) return later(since, pending.call.limit_usec);
  // It is not its client that takes its time.
  return later(since, std::max(pending.call.limit_usec, limits_.stuck_usec));
}

/// Too early does no harm.
void CallQueue::look_by(std::uint64_t usec) {
  if (usec >= look_usec_) return;
  look_usec_ = usec;
  const auto now = now_usec();
  clock_ = loop_.after(usec > now ? usec - now : 0, [this] { look_at_clock(); });
}

/// sd-event may run this timer before it lets sd-bus read: a loop that was late has answers still
/// in the socket, and whoever sent them was in time.
bool CallQueue::may_judge(std::uint64_t now) {
  const bool any = std::any_of(sent_.begin(), sent_.end(),
                               [&](const Pending& pending) { return due_usec(pending) <= now; });
  if (any && !is_dry()) {
    if (first_judged_usec_ == 0) first_judged_usec_ = now;
    if (now < later(first_judged_usec_, limits_.grace_usec)) return false;
  }
  first_judged_usec_ = 0;
  return true;
}

void CallQueue::look_at_clock() {
  look_usec_ = forever;
  const auto now = now_usec();
  std::vector<std::pair<Answered, Error>> over;
  if (may_judge(now)) {
    for (auto& pending : sent_) {
      if (due_usec(pending) > now) continue;
      pending.overdue = true;
      over.emplace_back(pending.call.answered,
                        Error{ErrorCode::timed_out, "it did not answer in its time limit."});
    }
    take_stuck(undoing_, now, over);
    take_stuck(others_, now, over);
    send_waiting();
    for (const auto& pending : sent_) look_by(due_usec(pending));
    const auto look_at = [this](const Pending& pending) { look_by(stuck_usec(pending)); };
    undoing_.for_each(look_at);
    others_.for_each(look_at);
    if (waiting() > 0 && next_send_usec_ > now) look_by(next_send_usec_);
  } else {
    look_by(later(now, look_again_usec));
  }
  for (auto& [answered, error] : over) answered(Answer{fail(std::move(error))});
}

void CallQueue::take_stuck(Calls& waiting, std::uint64_t now,
                           std::vector<std::pair<Answered, Error>>& over) {
  auto stuck = waiting.take_if([&](const Pending& pending) { return stuck_usec(pending) <= now; });
  for (auto& pending : stuck) {
    auto error = owes_too_much(pending)
                     ? Error{ErrorCode::timed_out, "it has left its earlier calls unanswered."}
                     : Error{ErrorCode::busy,
                             "it cannot be called: the bus waits for too many answers already."};
    over.emplace_back(std::move(pending.call.answered), std::move(error));
  }
}

bool CallQueue::is_dry() const {
  std::uint64_t read = 0;
  if (sd_bus_get_n_queued_read(bus_, &read) < 0) return true;  // the connection has ended
  const int fd = sd_bus_get_fd(bus_);
  if (read > 0) return false;
  pollfd look{fd, POLLIN, 0};
  return fd < 0 || poll(&look, 1, 0) <= 0;
}

}  // namespace handover::bus
