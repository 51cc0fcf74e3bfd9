// SPDX-License-Identifier: LGPL-2.1-or-later
#include "policy_kit.h"

#include <array>
#include <utility>

namespace handover::test {

PolicyKit::PolicyKit(EventLoop& loop, const Address& address) : connection_(loop, address) {
  static const std::array<sd_bus_vtable, 4> vtable = {
      {SD_BUS_VTABLE_START(0),
       SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
                     SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_METHOD("CancelCheckAuthorization", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
       SD_BUS_VTABLE_END}};
  sd_bus_slot* slot = nullptr;
  must(sd_bus_add_object_vtable(connection_.get(), &slot, "/org/freedesktop/PolicyKit1/Authority",
                                "org.freedesktop.PolicyKit1.Authority", vtable.data(), this),
       "polkit's object");
  slot_.reset(slot);
  must(sd_bus_request_name(connection_.get(), "org.freedesktop.PolicyKit1", 0), "polkit's name");
}

int PolicyKit::on_check(sd_bus_message* message, void* userdata, sd_bus_error*) {
  auto& kit = *static_cast<PolicyKit*>(userdata);
  const char* kind = nullptr;
  const char* key = nullptr;
  const char* name = nullptr;
  const char* action = nullptr;
  must(sd_bus_message_enter_container(message, 'r', "sa{sv}"), "a subject");
  must(sd_bus_message_read(message, "s", &kind), "a subject's kind");
  must(sd_bus_message_enter_container(message, 'a', "{sv}"), "a subject's details");
  must(sd_bus_message_read(message, "{sv}", &key, "s", &name), "a subject's name");
  must(sd_bus_message_exit_container(message), "a subject's details");
  must(sd_bus_message_exit_container(message), "a subject");
  must(sd_bus_message_read(message, "s", &action), "an action");
  Question question{name, action, {}, {}};
  const char* value = nullptr;
  must(sd_bus_message_enter_container(message, 'a', "{ss}"), "details");
  while (must(sd_bus_message_read(message, "{ss}", &key, &value), "a detail") > 0) {
    question.details[key] = value;
  }
  must(sd_bus_message_exit_container(message), "details");
  std::uint32_t flags = 0;
  const char* id = nullptr;
  must(sd_bus_message_read(message, "us", &flags, &id), "flags and an id");
  question.id = id;
  kit.questions_.push_back(std::move(question));
  if (kit.behaviour_ == Behaviour::hold) {
    kit.held_.emplace_back(sd_bus_message_ref(message));
  } else {
    answer(message, kit.behaviour_);
  }
  return 1;
}

int PolicyKit::on_cancel(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* id = nullptr;
  must(sd_bus_message_read(message, "s", &id), "an id");
  static_cast<PolicyKit*>(userdata)->cancelled_.emplace_back(id);
  return sd_bus_reply_method_return(message, "");
}

void PolicyKit::answer(sd_bus_message* message, Behaviour behaviour) {
  if (behaviour == Behaviour::fail) {
    must(sd_bus_reply_method_errorf(message, "org.freedesktop.PolicyKit1.Error.Failed",
                                    "polkit has troubles of its own"),
         "polkit's error");
    return;
  }
  must(sd_bus_reply_method_return(message, "(bba{ss})", behaviour == Behaviour::allow ? 1 : 0,
                                  behaviour == Behaviour::challenge ? 1 : 0, 0),
       "polkit's answer");
}

void PolicyKit::let_go(Behaviour behaviour) {
  for (const auto& message : std::exchange(held_, {})) answer(message.get(), behaviour);
}

}  // namespace handover::test
