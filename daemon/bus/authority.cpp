// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/authority.h"

#include <unistd.h>

namespace handover::bus {

namespace {

tl::unexpected<Error> denied(const std::string& action, const std::string& why) {
  return fail(ErrorCode::access_denied,
              "polkit does not allow " + action + " (" + why + "); ask as root, or add a rule.");
}

}  // namespace

Result<Authority::Verdict> Authority::check(const Link& link, sd_bus_message* message,
                                            const engine::Caller& caller, const char* action) {
  if (link.direct || caller.owner.uid == 0 || caller.owner.uid == geteuid()) return Verdict::yes;

  if (const auto it = questions_.find(message); it != questions_.end() && it->second.answered) {
    const bool allowed = it->second.allowed;
    const auto problem = it->second.problem;
    questions_.erase(it);
    if (allowed) return Verdict::yes;
    return denied(action, problem);
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
