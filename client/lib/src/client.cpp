// SPDX-License-Identifier: LGPL-2.1-or-later
#include "client.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "call.h"
#include "error.h"
#include "name.h"
#include "sized_copy.h"

using handover::client::check_names;
using handover::client::manager_interface;
using handover::client::manager_path;
using handover::client::OwnError;
using handover::client::report_bus;
using handover::client::report_errno;
using handover::client::sized_copy;
namespace sd = handover::client::sd;

namespace {

constexpr uint64_t first_retry_usec = 50'000;
constexpr uint64_t longest_retry_usec = 5'000'000;

int append_timeout(sd_bus_message* message, const char* key, uint64_t usec) {
  if (usec == 0) return 0;
  return sd_bus_message_append(message, "{sv}", key, "t", usec);
}

}  // namespace

/// The methods of org.handover1.Client, each handed to its callback.
struct handover_client_vtable {
  using Callback = void (*handover_client_callbacks::*)(handover_client*, handover_call*, void*);

  template <Callback Member>
  static int method(sd_bus_message* message, void* userdata, sd_bus_error* error) {
    auto* self = static_cast<handover_client*>(userdata);
    if (!self->connection_->is_from_daemon(message)) {
      return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED,
                              "Only handoverd may call this client.");
    }
    std::unique_ptr<handover_call> call;
    const int r = handover_call::parse(message, self->connection_, &call);
    if (r < 0) return r;
    const auto callback = self->callbacks_.*Member;
    if (!callback) return call.release()->done();
    callback(self, call.release(), self->userdata_);
    return 1;
  }

  static const sd_bus_vtable table[];
};

// Unprivileged, since method() itself lets nobody but the daemon pass.
const sd_bus_vtable handover_client_vtable::table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Prepare", SD_BUS_ARGS("a{sv}", context), SD_BUS_NO_RESULT,
                            method<&handover_client_callbacks::prepare>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("a{sv}", context), SD_BUS_NO_RESULT,
                            method<&handover_client_callbacks::cancel>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Freeze", SD_BUS_ARGS("a{sv}", context), SD_BUS_NO_RESULT,
                            method<&handover_client_callbacks::freeze>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Thaw", SD_BUS_ARGS("a{sv}", context), SD_BUS_NO_RESULT,
                            method<&handover_client_callbacks::thaw>, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Restore", SD_BUS_ARGS("a{sv}", context), SD_BUS_NO_RESULT,
                            method<&handover_client_callbacks::restore>,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

handover_client::handover_client(handover_connection* connection, std::string name,
                                 const handover_client_options* options,
                                 const handover_client_callbacks* callbacks, void* userdata)
    : connection_(connection),
      name_(std::move(name)),
      options_(sized_copy(options)),
      callbacks_(sized_copy(callbacks)),
      userdata_(userdata) {
  connection_->ref();
  for (const char* const* need = options_.needs; need && *need; ++need) needs_.emplace_back(*need);
  options_.needs = nullptr;  // the caller's; ours are in needs_
}

handover_client::~handover_client() {
  connection_->remove(this);
  // Without a word to the daemon about one that was registered.
  if (registration_ && was_registered_) registration_->client = nullptr;
  if (!was_registered_) withdraw_registration();
  looking_.reset();
  object_.reset();
  retry_.reset();
  connection_->unref();
}

/// Checks what can be checked here, and makes what every registration needs.
int handover_client::prepare(handover_error** error) {
  int r = check_names({name_.c_str()}, error);
  for (const auto& need : needs_) {
    if (r >= 0) r = check_names({need.c_str()}, error);
  }
  if (r < 0) return r;
  char* path = nullptr;
  r = sd_bus_path_encode("/org/handover1/client", name_.c_str(), &path);
  if (r < 0) return report_errno(error, r, "Making an object path");
  path_ = path;
  free(path);

  sd_event_source* source = nullptr;
  r = sd_event_add_time(
      connection_->event(), &source, CLOCK_MONOTONIC, 0, 0,
      [](sd_event_source*, uint64_t, void* userdata) {
        static_cast<handover_client*>(userdata)->register_again();
        return 0;
      },
      this);
  if (r >= 0) {
    retry_.reset(source);
    r = sd_event_source_set_enabled(source, SD_EVENT_OFF);
  }
  if (r < 0) return report_errno(error, r, "Making a timer");
  return 0;
}

int handover_client::register_first(handover_error** error) {
  int r = prepare(error);
  if (r < 0) return r;
  sd::Message call;
  r = make_registration(&call, error);
  if (r < 0) return r;
  // The object first: Restore may come right behind the answer.
  r = follow_to(connection_->bus());
  if (r < 0) return report_errno(error, r, "Making the client's object");
  sd::Message reply;
  r = connection_->call(call.get(), &reply, error);
  if (r < 0) return r;
  r = read_state(reply.get());
  if (r < 0) return report_errno(error, r, "Reading the daemon's answer");
  was_registered_ = true;
  connection_->add(this);
  return 0;
}

int handover_client::register_later(handover_error** error) {
  int r = prepare(error);
  if (r < 0) return r;
  // Without a connection the next one does the rest.
  if (connection_->link()) r = follow_to(connection_->link());
  if (r < 0) return report_errno(error, r, "Making the client's object");
  if (connection_->connected() || connection_->is_of_parent()) r = send_registration(error);
  if (r < 0) return r;
  connection_->add(this);
  connection_->wake();
  return 0;
}

int handover_client::follow_to(sd_bus* bus) {
  sd_bus_slot* slot = nullptr;
  const int r = sd_bus_add_object_vtable(bus, &slot, path_.c_str(), "org.handover1.Client",
                                         handover_client_vtable::table, this);
  if (r < 0) return r;
  object_.reset(slot);
  return 0;
}

int handover_client::make_registration(sd::Message* ret, handover_error** error) {
  sd::Message call;
  int r = connection_->new_call(manager_path, manager_interface, "RegisterClient", &call, error);
  if (r < 0) return r;
  sd_bus_message* m = call.get();
  r = sd_bus_message_append(m, "so", name_.c_str(), path_.c_str());
  if (r >= 0) r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "s");
  for (const auto& need : needs_) {
    if (r >= 0) r = sd_bus_message_append(m, "s", need.c_str());
  }
  if (r >= 0) r = sd_bus_message_close_container(m);
  if (r >= 0) r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
  if (r >= 0) r = sd_bus_message_append(m, "{sv}", "required", "b", options_.optional ? 0 : 1);
  // Not asked of an older daemon unless it is wanted.
  if (r >= 0 && options_.gate != 0) r = sd_bus_message_append(m, "{sv}", "gate", "b", 1);
  if (r >= 0) r = append_timeout(m, "prepare-timeout-usec", options_.prepare_timeout_usec);
  if (r >= 0) r = append_timeout(m, "freeze-timeout-usec", options_.freeze_timeout_usec);
  if (r >= 0) r = append_timeout(m, "restore-timeout-usec", options_.restore_timeout_usec);
  if (r >= 0) r = sd_bus_message_close_container(m);
  if (r < 0) return report_errno(error, r, "Making the registration of the client");
  *ret = std::move(call);
  return 0;
}

int handover_client::read_state(sd_bus_message* reply) {
  const char* state = nullptr;
  const int r = sd_bus_message_read(reply, "s", &state);
  if (r < 0) return r;
  // A state of a newer daemon's that we do not know asks nothing of us.
  state_ = strcmp(state, "restoring") == 0 ? HANDOVER_CLIENT_RESTORING
           : strcmp(state, "thawing") == 0 ? HANDOVER_CLIENT_THAWING
                                           : HANDOVER_CLIENT_NEW;
  is_restoring_ = state_ == HANDOVER_CLIENT_RESTORING;
  return 0;
}

int handover_client::send_registration(handover_error** error) {
  sd::Message call;
  int r = make_registration(&call, error);
  if (r < 0) return r;
  if (registration_) registration_->client = nullptr;
  registration_ = std::make_shared<Registration>(Registration{this});
  const auto done = [connection = connection_, registration = registration_, name = name_](
                        int result, sd_bus_message* reply, handover_error* failure) {
    if (registration->client) {
      registration->client->registration_answered(result, reply, failure);
    } else if (registration->withdrawn && result >= 0) {
      connection->unregister_abandoned(name);
    }
  };
  r = connection_->send(call.get(), done, nullptr, error);
  if (r < 0) registration_.reset();
  return r;
}

void handover_client::withdraw_registration() {
  if (!registration_) return;
  registration_->client = nullptr;
  registration_->withdrawn = true;
  registration_.reset();
}

void handover_client::register_again() {
  OwnError error;
  if (send_registration(error.get()) < 0) registration_failed(*error.value());
}

void handover_client::registration_answered(int result, sd_bus_message* reply,
                                            handover_error* failure) {
  registration_.reset();
  name_taken_ = handover_error_is(failure, "NameTaken") > 0;
  if (result < 0) {
    registration_failed(*failure);
    return;
  }
  OwnError error;
  if (const int r = read_state(reply); r < 0) {
    report_errno(error.get(), r, "Reading the daemon's answer");
    registration_failed(*error.value());
    return;
  }
  was_registered_ = true;
  retry_usec_ = 0;
  look_for_sessions();
  if (callbacks_.registered) callbacks_.registered(this, state_, userdata_);
}

/// Another process of the daemon may not have what the last one held. Asked before `registered` is
/// told: what is made in there is not what is meant.
void handover_client::look_for_sessions() {
  doubted_.merge(connection_->take_sessions_of(name_));
  // They are of the earlier kernel now, and end when Restore is answered.
  if (is_restoring() || !callbacks_.session_lost) doubted_.clear();
  look_for_next_session();
}

/// One after the other: a bus lets a connection wait for so many answers only.
void handover_client::look_for_next_session() {
  looking_.reset();
  if (doubted_.empty()) return;
  asked_ = *doubted_.begin();
  sd::Message call;
  int r = connection_->new_call(manager_path, manager_interface, "GetSession", &call, nullptr);
  if (r >= 0) r = sd_bus_message_append(call.get(), "s", asked_.c_str());
  const auto on_session = [](sd_bus_message* reply, void* userdata, sd_bus_error*) {
    static_cast<handover_client*>(userdata)->session_answered(reply);
    return 0;
  };
  sd_bus_slot* slot = nullptr;
  if (r >= 0) r = sd_bus_call_async(connection_->bus(), &slot, call.get(), on_session, this, 0);
  if (r >= 0) looking_.reset(slot);  // else there is no connection: the next registration asks
}

void handover_client::session_answered(sd_bus_message* reply) {
  const std::string session = asked_;
  const sd_bus_error* failed = sd_bus_message_get_error(reply);
  const bool is_lost =
      failed && sd_bus_error_has_name(failed, HANDOVER_ERROR_PREFIX "NoSuchSession") > 0;
  const bool is_doubted = doubted_.erase(session) > 0;  // not if it was made anew or ended
  // Without an answer it is doubted again when the client is registered again.
  if (is_doubted && !is_lost) connection_->session_held(session, name_);
  look_for_next_session();
  if (is_doubted && is_lost) callbacks_.session_lost(this, session.c_str(), userdata_);
}

void handover_client::registration_failed(const handover_error& error) {
  // Without a connection there is nothing to retry: the next one registers again.
  if (connection_->connected()) {
    retry_usec_ =
        retry_usec_ == 0 ? first_retry_usec : std::min(retry_usec_ * 2, longest_retry_usec);
    sd_event_source_set_time_relative(retry_.get(), retry_usec_);
    sd_event_source_set_enabled(retry_.get(), SD_EVENT_ONESHOT);
  }
  tell_disconnected(error);
}

void handover_client::tell_disconnected(const handover_error& error) {
  if (callbacks_.disconnected) callbacks_.disconnected(this, &error, userdata_);
}
