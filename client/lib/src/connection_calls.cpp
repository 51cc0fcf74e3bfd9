// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls to the daemon, with and without waiting.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "connection.h"
#include "error.h"

using handover::client::CallLimit;
using handover::client::Follower;
using handover::client::manager_interface;
using handover::client::manager_path;
using handover::client::report;
using handover::client::report_bus;
using handover::client::report_errno;
namespace sd = handover::client::sd;

int handover_connection::new_call(const char* path, const char* interface, const char* method,
                                  sd::Message* ret, handover_error** error) {
  if (is_of_parent()) {
    return report(error, ECHILD, SD_BUS_ERROR_FAILED,
                  "The connection to handoverd is the parent process's; connect anew behind "
                  "fork().");
  }
  if (closed_) return report(error, ECANCELED, SD_BUS_ERROR_FAILED, given_back);
  if (!connected()) {
    return report(error, ENOTCONN, SD_BUS_ERROR_DISCONNECTED,
                  "There is no connection to handoverd at the moment; it is being made again.");
  }
  sd_bus_message* message = nullptr;
  const int r = sd_bus_message_new_method_call(link_.bus.get(), &message, destination(), path,
                                               interface, method);
  if (r < 0) return report_errno(error, r, "Making a call to handoverd");
  ret->reset(message);
  return 0;
}

int handover_connection::call(sd_bus_message* message, sd::Message* ret, handover_error** error) {
  sd::BusError bus_error;
  sd_bus_message* reply = nullptr;
  const CallLimit limit(link_.bus.get());
  const int r = sd_bus_call(link_.bus.get(), message, 0, bus_error.get(), &reply);
  wake();  // other messages may have been read meanwhile
  if (r < 0) return report_bus(error, r, bus_error.value, limit);
  sd::Message owned(reply);
  if (ret) *ret = std::move(owned);
  return 0;
}

int handover_connection::send(sd_bus_message* message, handover_operation::Done done,
                              handover_operation** ret, handover_error** error) {
  auto operation = std::make_unique<handover_operation>(this, std::move(done));
  const int r = operation->send(link_.bus.get(), message);
  if (r < 0) return report_errno(error, r, "Calling handoverd");
  operations_.push_back(operation.get());
  wake();  // it may not be sent as a whole
  if (ret) {
    operation->own();
    *ret = operation.release();
  } else {
    static_cast<void>(operation.release());  // its own, until it is over
  }
  return 0;
}

namespace {

constexpr uint64_t unregister_pause_usec = 500'000;

}  // namespace

void handover_connection::unregister_abandoned(const std::string& client) {
  const auto is_it = [&](const Follower* follower) { return follower->is_client(client); };
  if (std::any_of(followers_.begin(), followers_.end(), is_it)) return;
  sd::Message call;
  int r = new_call(manager_path, manager_interface, "UnregisterClient", &call, nullptr);
  if (r >= 0) r = sd_bus_message_append(call.get(), "s", client.c_str());
  const auto done = [this, client](int, sd_bus_message*, handover_error* failure) {
    if (handover_error_is(failure, "Busy") > 0) unregister_later(client);
  };
  // Without a connection the daemon knows that the client is gone.
  if (r >= 0) send(call.get(), done, nullptr, nullptr);
}

void handover_connection::unregister_later(const std::string& client) {
  abandoned_.insert(client);
  if (unregister_) {
    sd_event_source_set_time_relative(unregister_.get(), unregister_pause_usec);
    sd_event_source_set_enabled(unregister_.get(), SD_EVENT_ONESHOT);
    return;
  }
  const auto again = [](sd_event_source*, uint64_t, void* userdata) {
    auto* const self = static_cast<handover_connection*>(userdata);
    for (const auto& name : std::exchange(self->abandoned_, {})) self->unregister_abandoned(name);
    return 0;
  };
  sd_event_source* source = nullptr;
  const int r = sd_event_add_time_relative(event_.get(), &source, CLOCK_MONOTONIC,
                                           unregister_pause_usec, 0, again, this);
  if (r >= 0) unregister_.reset(source);
}
