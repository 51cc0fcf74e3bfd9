// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's calls to clients on one connection: no more of them unanswered than a bus allows,
// each with a time limit that only the client's own time uses up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bus/quota.h"
#include "bus/sd_bus.h"
#include "bus/waiting.h"
#include "engine/outside.h"
#include "system/loop.h"

namespace handover::bus {

class CallQueue {
 public:
  using Answer = engine::Outside::Answer;
  using Answered = std::function<void(const Answer&)>;

  struct Limits {
    /// dbus-daemon ends the 129th with LimitsExceeded on a system bus (max_replies_per_connection,
    /// dbus-daemon(1)). An answer that is late counts until it comes: the bus waits for it, too.
    std::size_t unanswered = 120;
    /// Of these the calls that undo something (Thaw, Cancel) may have all, but to those who owe an
    /// answer already; all other calls have fewer. So silence keeps nobody else frozen.
    std::size_t unanswered_debtors = 110;
    std::size_t unanswered_others = 100;
    /// Who owes so many answers is called no more, but once to undo something.
    std::size_t owed = 2;
    /// Of the clients of one user other than root, and of all such users.
    Quota::Limits users{16, 64, SIZE_MAX};
    /// Besides, for what undoes something, and only to clients who owe no answer: those of a user
    /// who do not answer keep none of the others frozen.
    Quota::Limits undoing_users{4, 28, SIZE_MAX};
    /// What a connection still holds when a time limit is over may be the answer: it is read first,
    /// for at most so long.
    std::uint64_t grace_usec = 1'000'000;
    /// A call that is not sent, since others owe so many answers, waits for at least so long after
    /// the last of these has come.
    std::uint64_t stuck_usec = 5'000'000;
  };

  struct Call {
    MessagePtr message;
    /// The connection of the client: its unique name, or that of a direct one.
    std::string connection;
    uid_t uid = 0;  ///< of the client's owner
    std::uint64_t limit_usec = 0;
    bool undoes = false;
    /// Runs later, from the loop: vetoed with the sentence of an error reply, client_gone,
    /// timed_out, or busy if the bus does not take it. Once; and after timed_out once more, if the
    /// answer comes.
    Answered answered;
  };

  CallQueue(system::Loop& loop, sd_bus* bus) : CallQueue(loop, bus, Limits()) {}
  CallQueue(system::Loop& loop, sd_bus* bus, const Limits& limits)
      : loop_(loop),
        bus_(bus),
        limits_(limits),
        users_(limits.users),
        undoing_users_(limits.undoing_users) {}
  /// What is not answered ends in client_gone.
  ~CallQueue();
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  /// The time limit counts from when the call is sent. What waits to be sent ends when nothing has
  /// moved for as long as its time limit; and when it is undone before it was sent.
  void send(Call call);

  /// The time limits of the calls to this connection stand still until start_clock() has been
  /// called as often.
  void stop_clock(const std::string& connection);
  void start_clock(const std::string& connection);

  [[nodiscard]] std::size_t waiting() const { return undoing_.size() + others_.size(); }
  [[nodiscard]] std::size_t unanswered() const { return sent_.size(); }

 private:
  struct Pending {
    CallQueue* queue = nullptr;
    std::list<Pending>::iterator place;  ///< its own, in whichever list
    Call call;
    std::string object;            ///< connection and path
    std::uint64_t number = 0;      ///< of Waiting
    std::uint64_t since_usec = 0;  ///< from when `left_usec` runs; put into the queue
    std::uint64_t left_usec = 0;
    bool overdue = false;  ///< timed_out was told
    Quota::Share share;    ///< while it is sent
    SlotPtr slot;
  };
  using List = std::list<Pending>;
  static int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*);

  void send_waiting();
  using Calls = Waiting<Pending>;
  void send_waiting(Calls& waiting, std::size_t most, std::size_t owed_at_most,
                    Quota* also = nullptr);
  void send_now(Calls& waiting, List::iterator pending, Quota::Share share);
  [[nodiscard]] std::size_t owed_by(const Pending& pending) const;
  [[nodiscard]] bool owes_too_much(const Pending& pending) const;
  void put_back(List::iterator pending);
  void end_undone(const Pending& undoing);
  [[nodiscard]] bool is_undone(List::const_iterator call) const;
  void end_later(Pending pending, Error error);
  void look_at_clock();
  bool may_judge(std::uint64_t now);
  void take_stuck(Calls& waiting, std::uint64_t now, std::vector<std::pair<Answered, Error>>& over);
  [[nodiscard]] std::uint64_t due_usec(const Pending& pending) const;
  [[nodiscard]] std::uint64_t stuck_usec(const Pending& pending) const;
  [[nodiscard]] bool is_dry() const;
  void look_by(std::uint64_t usec);

  system::Loop& loop_;
  sd_bus* bus_;
  Limits limits_;
  Quota users_, undoing_users_;
  Calls undoing_;
  Calls others_;
  List sent_;
  std::map<std::string, std::size_t> owed_;  ///< by object, without zeros
  std::map<std::string, unsigned> stopped_;  ///< by connection, without zeros
  std::uint64_t moved_usec_ = 0;             ///< when a call was last answered
  std::uint64_t next_send_usec_ = 0;         ///< the bus was full: not before
  std::uint64_t pause_usec_ = 0;             ///< how long it was full last
  std::uint64_t first_judged_usec_ = 0;      ///< 0: nothing is due that might be here already
  system::Timer clock_;
  std::uint64_t look_usec_ = UINT64_MAX;  ///< when the clock is looked at next
};

}  // namespace handover::bus
