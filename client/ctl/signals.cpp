// SPDX-License-Identifier: LGPL-2.1-or-later
#include "signals.h"

#include <cerrno>
#include <csignal>

namespace handover::ctl {
namespace {

volatile std::sig_atomic_t interrupt_count = 0;

}  // namespace

client::Result<void> Signals::subscribe() {
  sd_bus* bus = connection_.bus();
  if (!bus) return bus_error(-ENOTCONN, nullptr);
  sd_bus_slot* slot = nullptr;
  // On the private socket nobody but the daemon can send, and messages carry no sender.
  int r = sd_bus_match_signal(bus, &slot, connection_.destination(), nullptr, nullptr, nullptr,
                              on_signal, this);
  if (r < 0) return bus_error(r, nullptr);
  signal_slot_.reset(slot);
  owner_slot_.reset();
  if (connection_.destination()) {
    r = sd_bus_add_match(bus, &slot,
                         "type='signal',sender='org.freedesktop.DBus',"
                         "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                         "member='NameOwnerChanged',arg0='org.handover1'",
                         on_owner_changed, this);
    if (r < 0) return bus_error(r, nullptr);
    owner_slot_.reset(slot);
  }
  bus_ = bus;
  r = ask_daemon();
  if (r < 0) return bus_error(r, nullptr);
  return {};
}

/// Without waiting, since calls are answered in their order. A daemon that does not know the method
/// sends all its signals to everybody.
int Signals::ask_daemon() {
  return sd_bus_call_method_async(bus_, nullptr, connection_.destination(), "/org/handover1",
                                  "org.handover1.Manager", "Subscribe", nullptr, nullptr, "");
}

int Signals::on_signal(sd_bus_message* message, void* userdata, sd_bus_error*) {
  static_cast<Signals*>(userdata)->handler_(message);
  return 0;
}

int Signals::on_owner_changed(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const char* name = nullptr;
  const char* old_owner = nullptr;
  const char* new_owner = nullptr;
  const int r = sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner);
  if (r < 0) return r;
  if (*new_owner) static_cast<Signals*>(userdata)->back_ = true;
  return 0;
}

client::Result<bool> Signals::wait(std::uint64_t timeout_usec) {
  const int r = connection_.wait(timeout_usec);
  if (r < 0 && r != -EINTR) return bus_error(r, nullptr);
  if (connection_.bus() && connection_.bus() != bus_) {
    if (auto subscribed = subscribe(); !subscribed) return subscribed.error();
    back_ = true;
  } else if (back_ && connection_.connected()) {
    const int asked = ask_daemon();
    if (asked < 0) return bus_error(asked, nullptr);
  }
  return std::exchange(back_, false);
}

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupt_count = interrupt_count + 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int interrupts() { return interrupt_count; }

}  // namespace handover::ctl
