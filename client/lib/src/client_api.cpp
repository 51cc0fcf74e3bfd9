// SPDX-License-Identifier: LGPL-2.1-or-later
// The C functions of a client, and its end.
#include <cerrno>
#include <memory>

#include "client.h"
#include "error.h"

using handover::client::manager_interface;
using handover::client::manager_path;
using handover::client::OwnError;
using handover::client::report_errno;
using handover::client::report_invalid;
namespace sd = handover::client::sd;

void handover_client::stop_registering() {
  connection_->remove(this);
  withdraw_registration();
  looking_.reset();
  if (retry_) sd_event_source_set_enabled(retry_.get(), SD_EVENT_OFF);
}

int handover_client::make_unregistration(sd::Message* ret, handover_error** error) {
  stop_registering();
  if (name_taken_) return 0;  // the one of that name is somebody else's
  int r = connection_->new_call(manager_path, manager_interface, "UnregisterClient", ret, error);
  if (r < 0) return r;
  r = sd_bus_message_append(ret->get(), "s", name_.c_str());
  return r < 0 ? report_errno(error, r, "Making a call to handoverd") : 0;
}

int handover_client::unregister(handover_error** error) {
  sd::Message call;
  int r = make_unregistration(&call, error);
  if (r < 0 || !call) return r;
  OwnError failure;
  r = connection_->call(call.get(), nullptr, failure.get());
  if (r >= 0 || handover_error_is(failure.value(), "NoSuchClient") > 0) return 0;
  failure.move_to(error);
  return r;
}

int handover_client::unregister_later(handover_done_callback callback, void* userdata,
                                      handover_operation** ret, handover_error** error) {
  sd::Message call;
  const int r = make_unregistration(&call, error);
  if (r < 0) return r;
  const auto done = [callback, userdata](int result, sd_bus_message*, handover_error* failure) {
    const bool gone = result >= 0 || handover_error_is(failure, "NoSuchClient") > 0;
    callback(gone ? 0 : result, gone ? nullptr : failure, userdata);
  };
  if (!call) {
    // Nothing to ask for; but the callback is to come from the loop.
    const int made =
        connection_->new_call(manager_path, "org.freedesktop.DBus.Peer", "Ping", &call, error);
    if (made < 0) return made;
  }
  return connection_->send(call.get(), done, ret, error);
}

namespace {

bool are_usable(const char* name, const handover_client_options* options,
                const handover_client_callbacks* callbacks) {
  return name && callbacks && callbacks->size != 0 && (!options || options->size != 0);
}

}  // namespace

int handover_client_register(handover_connection* connection, const char* name,
                             const handover_client_options* options,
                             const handover_client_callbacks* callbacks, void* userdata,
                             handover_client** ret, handover_error** error) {
  if (!connection || !ret || !are_usable(name, options, callbacks)) {
    return report_invalid(error, "handover_client_register");
  }
  auto client = std::make_unique<handover_client>(connection, name, options, callbacks, userdata);
  const int r = client->register_first(error);
  if (r < 0) return r;
  *ret = client.release();
  return 0;
}

int handover_client_register_async(handover_connection* connection, const char* name,
                                   const handover_client_options* options,
                                   const handover_client_callbacks* callbacks, void* userdata,
                                   handover_client** ret, handover_error** error) {
  if (!connection || !ret || !are_usable(name, options, callbacks)) {
    return report_invalid(error, "handover_client_register_async");
  }
  auto client = std::make_unique<handover_client>(connection, name, options, callbacks, userdata);
  const int r = client->register_later(error);
  if (r < 0) return r;
  *ret = client.release();
  return 0;
}

const char* handover_client_get_name(const handover_client* client) {
  return client ? client->name().c_str() : nullptr;
}

handover_client_state handover_client_get_state(const handover_client* client) {
  return client ? client->state() : HANDOVER_CLIENT_NEW;
}

int handover_client_unregister(handover_client* client, handover_error** error) {
  if (!client) return report_invalid(error, "handover_client_unregister");
  return client->unregister(error);
}

int handover_client_unregister_async(handover_client* client, handover_done_callback callback,
                                     void* userdata, handover_operation** ret,
                                     handover_error** error) {
  if (!client || !callback) return report_invalid(error, "handover_client_unregister_async");
  return client->unregister_later(callback, userdata, ret, error);
}

handover_client* handover_client_unref(handover_client* client) {
  delete client;
  return nullptr;
}
