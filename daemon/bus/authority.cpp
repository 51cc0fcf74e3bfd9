// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/authority.h"

#include <unistd.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace handover::bus {

namespace {

constexpr const char* polkit_name = "org.freedesktop.PolicyKit1";
constexpr const char* polkit_path = "/org/freedesktop/PolicyKit1/Authority";
constexpr const char* polkit_interface = "org.freedesktop.PolicyKit1.Authority";

/// Rules answer within milliseconds; a person types a password.
constexpr std::uint64_t rules_usec = 25'000'000;
constexpr std::uint64_t person_usec = 180'000'000;

Error denied(const std::string& action, const std::string& why) {
  return {ErrorCode::access_denied,
          "polkit does not allow " + action + " (" + why + "); ask as root, or add a rule."};
}

Error not_for_members(const std::string& action) {
  return {ErrorCode::access_denied, "Members of socket_group may not do what " + action +
                                        " is for; ask as root, or on the system bus."};
}

Error cannot_ask(const std::string& why) {
  return {ErrorCode::busy, "polkit cannot be asked now (" + why + "); call again in a moment."};
}

bool will_pass(std::string_view error) {
  return error == SD_BUS_ERROR_DISCONNECTED || error == SD_BUS_ERROR_LIMITS_EXCEEDED ||
         error == SD_BUS_ERROR_NO_MEMORY;
}

/// sd-bus has had both names for it.
bool is_time_out(std::string_view error) {
  return error == SD_BUS_ERROR_NO_REPLY || error == SD_BUS_ERROR_TIMEOUT;
}

}  // namespace

void Authority::check(const HeldCallPtr& call, const char* action, const Details& details,
                      std::function<void()> allowed) {
  const auto& caller = call->caller();
  const bool direct = !caller.connection.starts_with(':');
  if (caller.owner.uid == 0 || caller.owner.uid == geteuid()) return allowed();
  if (direct && action == member_action) return allowed();
  if (direct) return call->refuse(not_for_members(action));

  auto share = quota_.take(caller.owner.uid);
  if (!share) {
    ++refused_;
    return call->refuse(
        Error{ErrorCode::busy, "Too many calls wait for polkit (at most " +
                                   std::to_string(quota_.limits().each_user) +
                                   " of one user's). Answer or dismiss what it asks, and call "
                                   "again."});
  }
  auto& question = questions_.emplace_back();
  question.authority = this;
  question.id = "handoverd-" + std::to_string(next_id_++);
  question.action = action;
  question.call = call;
  question.share = std::move(*share);
  question.allowed = std::move(allowed);
  if (auto asked = ask(question, details); !asked) {
    questions_.pop_back();
    call->refuse(cannot_ask(asked.error().message));
  }
}

Result<void> Authority::ask(Question& question, const Details& details) {
  if (asking_ == nullptr) return fail(ErrorCode::io, "the bus is gone");
  auto* message = question.call->message();
  sd_bus_message* made = nullptr;
  int result = sd_bus_message_new_method_call(asking_, &made, polkit_name, polkit_path,
                                              polkit_interface, "CheckAuthorization");
  const MessagePtr call(made);
  constexpr std::uint32_t allow_user_interaction = 1;  // polkit, CheckAuthorizationFlags
  const bool interactive = sd_bus_message_get_allow_interactive_authorization(message) > 0;
  if (result >= 0) {
    result =
        sd_bus_message_append(made, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                              question.call->caller().connection.c_str(), question.action.c_str());
  }
  if (result >= 0) result = sd_bus_message_open_container(made, 'a', "{ss}");
  for (const auto& [key, value] : details) {
    if (result >= 0) result = sd_bus_message_append(made, "{ss}", key.c_str(), value.c_str());
  }
  if (result >= 0) result = sd_bus_message_close_container(made);
  if (result >= 0) {
    result = sd_bus_message_append(made, "us", interactive ? allow_user_interaction : 0U,
                                   question.id.c_str());
  }
  sd_bus_slot* slot = nullptr;
  if (result >= 0) {
    result = sd_bus_call_async(asking_, &slot, made, safe<on_answer>, &question,
                               interactive ? person_usec : rules_usec);
  }
  question.slot.reset(slot);
  return bus::check(result, "CheckAuthorization");
}

int Authority::on_answer(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& asked = *static_cast<Question*>(userdata);
  auto& self = *asked.authority;
  // Out of the list before anybody is told, who may ask again.
  Questions one;
  one.splice(one.end(), self.questions_, self.find(asked));
  auto& question = one.front();
  question.share.give_back();

  int authorized = 0;
  int challenge = 0;
  if (const auto* error = sd_bus_message_get_error(reply)) {
    const std::string sentence = error->message != nullptr ? error->message : error->name;
    const bool silent = is_time_out(error->name);
    if (silent) self.cancel(question);
    question.call->refuse(silent || will_pass(error->name) ? cannot_ask(sentence)
                                                           : denied(question.action, sentence));
  } else if (sd_bus_message_enter_container(reply, 'r', "bba{ss}") < 0 ||
             sd_bus_message_read(reply, "bb", &authorized, &challenge) < 0) {
    question.call->refuse(denied(question.action, "its answer cannot be read"));
  } else if (authorized == 0) {
    question.call->refuse(
        denied(question.action, challenge != 0 ? "authentication is needed" : "not authorized"));
  } else {
    question.allowed();
  }
  return 1;
}

Authority::Questions::iterator Authority::find(const Question& question) {
  return std::find_if(questions_.begin(), questions_.end(),
                      [&](const Question& other) { return &other == &question; });
}

/// So that an agent takes its dialogue away, and polkit forgets the question.
void Authority::cancel(const Question& question) {
  if (asking_ == nullptr) return;
  sd_bus_call_method_async(asking_, nullptr, polkit_name, polkit_path, polkit_interface,
                           "CancelCheckAuthorization", nullptr, nullptr, "s", question.id.c_str());
}

void Authority::gone(const std::string& connection) {
  for (auto question = questions_.begin(); question != questions_.end();) {
    if (question->call->caller().connection != connection) {
      ++question;
      continue;
    }
    cancel(*question);
    question = questions_.erase(question);
  }
}

void Authority::all_gone() {
  for (const auto& question : questions_) cancel(question);
  questions_.clear();
}

}  // namespace handover::bus
