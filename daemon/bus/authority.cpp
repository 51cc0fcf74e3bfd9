// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/authority.h"

#include <unistd.h>

#include <utility>

namespace handover::bus {

namespace {

tl::unexpected<Error> denied(const std::string& action, const std::string& why) {
  return fail(ErrorCode::access_denied,
              "polkit does not allow " + action + " (" + why + "); ask as root, or add a rule.");
}

}  // namespace

Result<void> Authority::attach(Link& link) {
  questions_.clear();
  answered_.reset();
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_add_filter(link.bus.get(), &slot, on_message, this);
  if (result >= 0) link.slots.emplace_back(slot);
  return bus::check(result, "watching for calls that polkit was asked about");
}

/// Takes the question out before anybody can fail to: its caller may be gone by now, and its object
/// too, so that no handler comes as far as check(), or is called at all.
int Authority::on_message(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& authority = *static_cast<Authority*>(userdata);
  authority.answered_.reset();
  const auto it = authority.questions_.find(message);
  if (it != authority.questions_.end() && it->second.answered) {
    authority.answered_ = std::move(it->second);
    authority.questions_.erase(it);
  }
  return 0;
}

Result<Authority::Verdict> Authority::check(const Link& link, sd_bus_message* message,
                                            const engine::Caller& caller, const char* action) {
  if (link.direct || caller.owner.uid == 0 || caller.owner.uid == geteuid()) return Verdict::yes;

  if (answered_ && answered_->message.get() == message) {
    const auto answered = std::exchange(answered_, std::nullopt);
    if (answered->allowed) return Verdict::yes;
    return denied(action, answered->problem);
  }

  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(
      link.bus.get(), &made, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
      "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
  const MessagePtr call(made);
  constexpr std::uint32_t allow_user_interaction = 1;  // polkit, CheckAuthorizationFlags
  const std::uint32_t flags =
      sd_bus_message_get_allow_interactive_authorization(message) > 0 ? allow_user_interaction : 0;
  if (result >= 0) {
    result = sd_bus_message_append(call.get(), "(sa{sv})sa{ss}us", "system-bus-name", 1, "name",
                                   "s", sd_bus_message_get_sender(message), action, 0, flags, "");
  }
  if (result >= 0) {
    auto& question = questions_[message];
    question.message = reference(message);
    question.authority = this;
    question.action = action;
    sd_bus_slot* slot = nullptr;
    result = sd_bus_call_async(link.bus.get(), &slot, call.get(), on_answer, &question, 0);
    question.slot.reset(slot);
    if (result < 0) questions_.erase(message);
  }
  if (result < 0) return denied(action, "polkit cannot be asked");
  return Verdict::pending;
}

int Authority::on_answer(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& question = *static_cast<Question*>(userdata);
  question.answered = true;
  question.problem = "not authorized";
  int authorized = 0;
  int challenge = 0;
  if (const auto* error = sd_bus_message_get_error(reply)) {
    question.problem = error->message != nullptr ? error->message : error->name;
  } else if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") >= 0 &&
             sd_bus_message_read(reply, "bb", &authorized, &challenge) >= 0) {
    question.allowed = authorized != 0;
    if (challenge != 0) question.problem = "authentication is needed";
  }
  auto* message = question.message.get();
  int result = sd_bus_message_rewind(message, 1);
  if (result >= 0) result = sd_bus_enqueue_for_read(sd_bus_message_get_bus(message), message);
  if (result < 0) {
    reply_error(message, Error{ErrorCode::internal, "The call cannot be handled again."});
    question.authority->questions_.erase(message);
  }
  return 1;
}

}  // namespace handover::bus
