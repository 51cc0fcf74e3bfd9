// SPDX-License-Identifier: LGPL-2.1-or-later
// A client of handoverd on a LightPeer, one of a thousand. It keeps the protocol of docs/dbus.md by
// itself; whoever watches it decides how it answers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "event_loop.h"
#include "journal.h"
#include "light_peer.h"

namespace handover::test {

class LightClient {
 public:
  struct Setup {
    std::string name{};
    std::vector<std::string> needs{};
    bool required = true;
    std::uint64_t timeout_usec = 0;  ///< for Prepare, Freeze and Restore; 0: not given
    unsigned tokens = 0;             ///< memfds in a session of its name
  };
  /// Asked at each call; it, or somebody later, has it answered by answer(), veto() or not at all.
  using OnCall = std::function<void(LightClient&, Call)>;

  LightClient(EventLoop& loop, Address address, Setup setup, OnCall on_call);
  LightClient(const LightClient&) = delete;
  LightClient& operator=(const LightClient&) = delete;

  [[nodiscard]] const Setup& setup() const { return setup_; }
  [[nodiscard]] const std::string& name() const { return setup_.name; }
  /// For the next registration.
  void change(Setup setup) { setup_ = std::move(setup); }

  /// Connects and registers; from then on again whenever the daemon comes back.
  void start();
  /// As a process that dies: the connection is gone, and what it kept still with it.
  void die();
  /// Registers; as the library does, again and again if it is refused, ever more rarely.
  void enroll();
  /// What came last is done and answered; the second does it, and leaves the answer to answer().
  void answer();
  void act();
  void veto(const std::string& sentence);
  /// Makes its session and fills it with what it has, or new memory. By itself after each
  /// registration as "new" and each Restore, unless `by_itself` is false.
  void preserve();
  void preserve_by_itself(bool by_itself) { preserves_ = by_itself; }
  /// A call without arguments of its session: Finish, Discard.
  void end_session(const char* member);

  [[nodiscard]] bool alive() const { return peer_ != nullptr; }
  [[nodiscard]] bool registered() const { return registered_; }
  [[nodiscard]] const std::string& state() const { return state_; }
  [[nodiscard]] bool preserved() const { return preserved_ == setup_.tokens; }
  [[nodiscard]] bool frozen() const { return frozen_; }
  [[nodiscard]] bool holds() const { return call_.has_value(); }
  /// How often all of its memory came back, or it was restored without any.
  [[nodiscard]] unsigned restored() const { return restored_; }
  /// Errors and wrong contents since the last forgive().
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  void forgive() { complaints_.clear(); }
  [[nodiscard]] LightPeer* peer() { return peer_.get(); }

 private:
  void connect();
  void came(LightPeer::Received& received);
  void owner_changed(const LightPeer::Received& received);
  void lost();
  void send_enrollment();
  void enroll_later();
  void preserve_later();
  void take_back();
  void answer_overtaken();
  void forget_calls();
  void complain(const char* what, const LightPeer::Received& answer);
  [[nodiscard]] std::string contents(unsigned token) const;

  EventLoop& loop_;
  Address address_;
  Setup setup_;
  OnCall on_call_;
  std::unique_ptr<LightPeer> peer_;
  SourcePtr enroll_later_;
  std::chrono::milliseconds enroll_pause_{0};
  SourcePtr later_;
  std::optional<wire::Message> call_;     ///< not answered yet
  std::vector<wire::Message> overtaken_;  ///< nor these, when another one came
  std::vector<UniqueFd> memory_;          ///< by token
  std::vector<std::string> complaints_;
  std::string state_;
  bool registered_ = false;
  bool preserves_ = true;
  bool frozen_ = false;
  // Answers to an earlier attempt are not counted.
  unsigned enrollment_ = 0;
  unsigned attempt_ = 0;  ///< of preserve() or take_back()
  unsigned preserved_ = 0;
  unsigned returned_ = 0;
  unsigned restored_ = 0;
};

}  // namespace handover::test
