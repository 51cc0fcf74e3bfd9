// SPDX-License-Identifier: LGPL-2.1-or-later
#include "watch.h"

#include <cerrno>
#include <memory>
#include <string_view>

#include "error.h"
#include "sized_copy.h"

using handover::client::manager_interface;
using handover::client::manager_path;
using handover::client::OwnError;
using handover::client::properties_interface;
using handover::client::report;
using handover::client::report_errno;
using handover::client::report_invalid;
using handover::client::sized_copy;
namespace sd = handover::client::sd;

namespace {

/// The value of a variant, if it has the type that we know.
template <typename T>
int read_value(sd_bus_message* message, const char* type, T* ret, bool* changed) {
  const int r = sd_bus_message_read(message, "v", type, ret);
  if (r >= 0) *changed = true;
  return r;
}

int read_text(sd_bus_message* message, std::string* ret, bool* changed) {
  const char* text = nullptr;
  const int r = read_value(message, "s", &text, changed);
  if (r >= 0) *ret = text;
  return r;
}

}  // namespace

handover_watch::handover_watch(handover_connection* connection,
                               const handover_watch_callbacks* callbacks, void* userdata)
    : connection_(connection), callbacks_(sized_copy(callbacks)), userdata_(userdata) {
  connection_->ref();
  ++connection_->watches;
}

handover_watch::~handover_watch() {
  connection_->remove(this);
  signals_.reset();
  subscribed_.reset();
  asked_.reset();
  // Nobody here listens any more: the daemon need not say what few want to hear.
  sd::Message call;
  if (--connection_->watches == 0 && connection_->connected() &&
      connection_->new_call(manager_path, manager_interface, "Unsubscribe", &call, nullptr) >= 0) {
    sd_bus_message_set_expect_reply(call.get(), 0);
    sd_bus_send(connection_->bus(), call.get(), nullptr);
    connection_->wake();
  }
  connection_->unref();
}

int handover_watch::start(handover_error** error) {
  if (connection_->is_of_parent()) {
    sd::Message none;
    return connection_->new_call(manager_path, manager_interface, "Subscribe", &none, error);
  }
  int r = connection_->link() ? follow_to(connection_->link()) : 0;
  if (r >= 0 && connection_->connected()) r = subscribe();
  if (r < 0) return report_errno(error, r, "Listening to handoverd");
  connection_->add(this);
  connection_->wake();
  return 0;
}

int handover_watch::follow_to(sd_bus* bus) {
  known_ = false;
  subscribed_.reset();
  asked_.reset();
  sd_bus_slot* slot = nullptr;
  // On the private socket nobody but the daemon can send, and messages carry no sender.
  const int r = sd_bus_match_signal_async(
      bus, &slot, connection_->is_peer() ? nullptr : handover::client::service_name, nullptr,
      nullptr, nullptr,
      [](sd_bus_message* message, void* userdata, sd_bus_error*) {
        static_cast<handover_watch*>(userdata)->on_signal(message);
        return 0;
      },
      nullptr, this);
  if (r >= 0) signals_.reset(slot);
  return r;
}

/// Subscribed first: what changes behind the answer to the second call is told.
int handover_watch::subscribe() {
  sd_bus_slot* slot = nullptr;
  const auto ignore = [](sd_bus_message*, void*, sd_bus_error*) { return 0; };
  int r = sd_bus_call_method_async(connection_->bus(), &slot, connection_->destination(),
                                   manager_path, manager_interface, "Subscribe", ignore, this, "");
  if (r < 0) return r;
  subscribed_.reset(slot);
  r = sd_bus_call_method_async(
      connection_->bus(), &slot, connection_->destination(), manager_path, properties_interface,
      "GetAll",
      [](sd_bus_message* reply, void* userdata, sd_bus_error*) {
        static_cast<handover_watch*>(userdata)->on_status_read(reply);
        return 0;
      },
      this, "s", manager_interface);
  if (r >= 0) asked_.reset(slot);
  return r;
}

void handover_watch::daemon_came() {
  known_ = false;
  const int r = subscribe();
  if (r < 0) refused(-r, SD_BUS_ERROR_FAILED, "Listening to handoverd failed.");
}

void handover_watch::daemon_went(const handover_error& error) {
  known_ = false;
  if (callbacks_.disconnected) callbacks_.disconnected(this, &error, userdata_);
}

void handover_watch::refused(int code, const char* name, const char* message) {
  OwnError error;
  report(error.get(), code, name, message ? message : name);
  daemon_went(*error.value());
}

void handover_watch::on_status_read(sd_bus_message* reply) {
  if (const sd_bus_error* failed = sd_bus_message_get_error(reply)) {
    // Without a daemon its end is told of by itself.
    if (connection_->connected()) {
      refused(sd_bus_message_get_errno(reply), failed->name, failed->message);
    }
    return;
  }
  if (read_properties(reply) < 0) {
    refused(EBADMSG, SD_BUS_ERROR_INVALID_SIGNATURE, "The daemon's answer cannot be read.");
    return;
  }
  known_ = true;
  if (callbacks_.status) callbacks_.status(this, state_.c_str(), generation_, userdata_);
}

int handover_watch::read_properties(sd_bus_message* message) {
  moved_ = advanced_ = false;
  int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
  while (r >= 0 &&
         (r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
    const char* key = nullptr;
    r = sd_bus_message_read(message, "s", &key);
    if (r < 0) return r;
    const std::string_view name(key);
    if (name == "State") {
      r = read_text(message, &state_, &moved_);
    } else if (name == "Generation") {
      r = read_value(message, "t", &generation_, &moved_);
    } else if (name == "Phase") {
      r = read_text(message, &phase_, &advanced_);
    } else if (name == "Detail") {
      r = read_text(message, &detail_, &advanced_);
    } else if (name == "Progress") {
      r = read_value(message, "u", &percent_, &advanced_);
    } else {
      r = sd_bus_message_skip(message, "v");
    }
    if (r >= 0) r = sd_bus_message_exit_container(message);
  }
  return r < 0 ? r : sd_bus_message_exit_container(message);
}

void handover_watch::on_properties(sd_bus_message* message) {
  const char* interface = nullptr;
  if (sd_bus_message_read(message, "s", &interface) < 0) return;
  const std::string_view of(interface);
  const bool manager = of == manager_interface;
  if (!manager && of != "org.handover1.Job") return;
  if (read_properties(message) < 0) return;
  // Before the first answer there is nothing that it could be a change of.
  if (manager && moved_ && known_ && callbacks_.status) {
    callbacks_.status(this, state_.c_str(), generation_, userdata_);
  } else if (!manager && advanced_ && callbacks_.progress) {
    callbacks_.progress(this, phase_.c_str(), percent_, detail_.c_str(), userdata_);
  }
}

void handover_watch::on_signal(sd_bus_message* message) {
  if (!connection_->is_from_daemon(message)) return;
  const char* reason = nullptr;
  if (sd_bus_message_is_signal(message, properties_interface, "PropertiesChanged") > 0) {
    on_properties(message);
  } else if (sd_bus_message_is_signal(message, manager_interface, "JobNew") > 0) {
    phase_.clear();
    detail_.clear();
    percent_ = 0;
  } else if (sd_bus_message_is_signal(message, manager_interface, "UpdateFinished") > 0) {
    const char* outcome = nullptr;
    uint64_t generation = 0;
    if (sd_bus_message_read(message, "sst", &outcome, &reason, &generation) < 0) return;
    if (callbacks_.finished) callbacks_.finished(this, outcome, reason, generation, userdata_);
  } else if (sd_bus_message_is_signal(message, manager_interface, "StateLost") > 0) {
    const char* session = nullptr;
    const char* client = nullptr;
    if (sd_bus_message_read(message, "sss", &session, &client, &reason) < 0) return;
    if (callbacks_.lost) callbacks_.lost(this, session, client, reason, userdata_);
  }
}

int handover_watch_new(handover_connection* connection, const handover_watch_callbacks* callbacks,
                       void* userdata, handover_watch** ret, handover_error** error) {
  if (!connection || !callbacks || callbacks->size == 0 || !ret) {
    return report_invalid(error, "handover_watch_new");
  }
  auto watch = std::make_unique<handover_watch>(connection, callbacks, userdata);
  const int r = watch->start(error);
  if (r < 0) return r;
  *ret = watch.release();
  return 0;
}

handover_watch* handover_watch_unref(handover_watch* watch) {
  delete watch;
  return nullptr;
}
