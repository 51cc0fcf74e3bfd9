// SPDX-License-Identifier: LGPL-2.1-or-later
// A method call that is answered later, once: by whoever does what it asks for.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "bus/quota.h"
#include "bus/sd_bus.h"
#include "core/unique_fd.h"
#include "engine/engine.h"

namespace handover::bus {

/// Its caller is charged for it until it is answered. Answers after the first one are ignored, and
/// those to a caller who has left go nowhere. Whoever drops it unanswered answers Internal.
class HeldCall {
 public:
  HeldCall(sd_bus_message* call, engine::Caller caller, Quota::Share share)
      : call_(reference(call)), caller_(std::move(caller)), share_(std::move(share)) {}
  HeldCall(const HeldCall&) = delete;
  HeldCall& operator=(const HeldCall&) = delete;
  ~HeldCall() {
    refuse(Error{ErrorCode::internal, "handoverd gave this call up; please report it."});
  }

  [[nodiscard]] const engine::Caller& caller() const { return caller_; }
  /// nullptr once it is answered.
  [[nodiscard]] sd_bus_message* message() const { return call_.get(); }

  /// As sd_bus_reply_method_return(3).
  template <typename... Arguments>
  void answer(const char* types, Arguments... arguments) {
    const auto call = take();
    if (!call) return;
    const int sent = sd_bus_reply_method_return(call.get(), types, arguments...);
    if (sent < 0) tell_unsent(call.get(), sent);
  }
  /// `fill` appends to the reply, and returns less than 0 if it cannot.
  template <typename Fill>
  void answer_with(Fill fill) {
    const auto call = take();
    if (!call) return;
    sd_bus_message* made = nullptr;
    int result = sd_bus_message_new_method_return(call.get(), &made);
    const MessagePtr reply(made);
    if (result >= 0) result = fill(made);
    if (result >= 0) result = sd_bus_send(nullptr, made, nullptr);
    if (result < 0) tell_unsent(call.get(), result);
  }
  void refuse(const Error& error) {
    const auto call = take();
    if (!call) return;
    if (error.code == ErrorCode::limit_exceeded) tell_limit(caller_.owner, error);
    reply_error(call.get(), error);
  }

 private:
  MessagePtr take() {
    share_.give_back();
    return std::move(call_);
  }
  /// Too large for the connection, or no descriptor is left to pass one.
  static void tell_unsent(sd_bus_message* call, int result);
  /// In the journal, a few times a minute at most: a caller who asks again and again must not make
  /// journald drop other lines of ours.
  static void tell_limit(const Owner& owner, const Error& error);

  MessagePtr call_;
  engine::Caller caller_;
  Quota::Share share_;
};

using HeldCallPtr = std::shared_ptr<HeldCall>;

using engine::Reply;

/// Answers `call` with nothing, or with the error.
Reply<void> empty_reply(HeldCallPtr call);
/// With the descriptor.
Reply<UniqueFd> descriptor_reply(HeldCallPtr call);

}  // namespace handover::bus
