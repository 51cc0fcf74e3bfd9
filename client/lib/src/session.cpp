// SPDX-License-Identifier: LGPL-2.1-or-later
// The calls of a session as messages, and what comes back.
#include "session.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "error.h"
#include "name.h"

using handover::client::check_names;
using handover::client::manager_interface;
using handover::client::manager_path;
using handover::client::OwnError;
using handover::client::report;
using handover::client::report_errno;
using handover::client::session_interface;

namespace {

constexpr const char* making = "Making a call to handoverd";
constexpr const char* reading = "Reading the daemon's answer";

int append_option(sd_bus_message* message, const char* key, const char* value) {
  if (!value) return 0;
  return sd_bus_message_append(message, "{sv}", key, "s", value);
}

/// The path is made from the name without asking (handover_session_get()): no object, no session.
int explain(const std::string& name, int result, handover_error** error) {
  if (!handover_error_is(*error, SD_BUS_ERROR_UNKNOWN_OBJECT)) return result;
  return report(error, ENOENT, HANDOVER_ERROR_PREFIX "NoSuchSession",
                "There is no session '" + name + "'; list them with 'handoverctl sessions'.");
}

}  // namespace

int handover_session::make_create(handover_connection* connection, const char* name,
                                  const char* backend, const char* client, Message* ret,
                                  handover_error** error) {
  int r = check_names({name, backend, client}, error);
  if (r < 0) return r;
  r = connection->new_call(manager_path, manager_interface, "CreateSession", ret, error);
  if (r < 0) return r;
  r = sd_bus_message_append(ret->get(), "s", name);
  if (r >= 0) r = sd_bus_message_open_container(ret->get(), SD_BUS_TYPE_ARRAY, "{sv}");
  if (r >= 0) r = append_option(ret->get(), "backend", backend);
  if (r >= 0) r = append_option(ret->get(), "client", client);
  if (r >= 0) r = sd_bus_message_close_container(ret->get());
  return r < 0 ? report_errno(error, r, making) : 0;
}

int handover_session::make_preserve(const char* backend, uint64_t token, int fd, Message* ret,
                                    handover_error** error) const {
  int r = check_names({backend}, error);
  if (r >= 0) r = make_plain("Preserve", ret, error);
  if (r < 0) return r;
  r = sd_bus_message_append(ret->get(), "th", token, fd);
  if (r >= 0) r = sd_bus_message_open_container(ret->get(), SD_BUS_TYPE_ARRAY, "{sv}");
  if (r >= 0) r = append_option(ret->get(), "backend", backend);
  if (r >= 0) r = sd_bus_message_close_container(ret->get());
  return r < 0 ? report_errno(error, r, making) : 0;
}

int handover_session::make_preserve_blob(uint64_t token, const void* data, size_t size,
                                         Message* ret, handover_error** error) const {
  int r = make_plain("PreserveBlob", ret, error);
  if (r < 0) return r;
  r = sd_bus_message_append(ret->get(), "t", token);
  if (r >= 0) r = sd_bus_message_append_array(ret->get(), 'y', data, size);
  return r < 0 ? report_errno(error, r, making) : 0;
}

int handover_session::make_of_token(const char* method, uint64_t token, Message* ret,
                                    handover_error** error) const {
  int r = make_plain(method, ret, error);
  if (r < 0) return r;
  r = sd_bus_message_append(ret->get(), "t", token);
  return r < 0 ? report_errno(error, r, making) : 0;
}

int handover_session::make_plain(const char* method, Message* ret, handover_error** error) const {
  return connection_->new_call(path_.c_str(), session_interface, method, ret, error);
}

int handover_session::make_list_tokens(Message* ret, handover_error** error) const {
  int r = connection_->new_call(path_.c_str(), handover::client::properties_interface, "Get", ret,
                                error);
  if (r < 0) return r;
  r = sd_bus_message_append(ret->get(), "ss", session_interface, "Tokens");
  return r < 0 ? report_errno(error, r, making) : 0;
}

int handover_session::take_session(handover_connection* connection, const std::string& name,
                                   const std::string& client, sd_bus_message* reply,
                                   handover_session** ret, handover_error** error) {
  const char* path = nullptr;
  const int r = sd_bus_message_read(reply, "o", &path);
  if (r < 0) return report_errno(error, r, reading);
  if (!client.empty()) connection->session_held(name, client);
  *ret = new handover_session(connection, name, path, true);
  return 0;
}

int handover_session::take_fd(sd_bus_message* reply, int* ret_fd, handover_error** error) {
  int fd = -1;
  const int r = sd_bus_message_read(reply, "h", &fd);
  if (r < 0) return report_errno(error, r, reading);
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);  // the message closes its own
  if (copy < 0) return report_errno(error, -errno, "Taking over the descriptor");
  *ret_fd = copy;
  return 0;
}

int handover_session::call(const Message& message, Message* ret, handover_error** error) const {
  OwnError failure;
  int r = connection_->call(message.get(), ret, failure.get());
  if (r >= 0) {
    if (!*is_known_) *is_known_ = connection_->find_client_of(name_, path_);
    return r;
  }
  r = explain(name_, r, failure.get());
  failure.move_to(error);
  return r;
}

int handover_session::send(const Message& message, Done done, handover_operation** ret,
                           handover_error** error) const {
  return connection_->send(
      message.get(),
      [connection = connection_, name = name_, path = path_, is_known = is_known_,
       done = std::move(done)](int r, sd_bus_message* reply, handover_error* failed) {
        if (r >= 0 && !*is_known) *is_known = connection->find_client_of(name, path);
        if (!handover_error_is(failed, SD_BUS_ERROR_UNKNOWN_OBJECT)) return done(r, reply, failed);
        OwnError failure;
        report(failure.get(), -r, failed->name, failed->message);
        const int explained = explain(name, r, failure.get());
        done(explained, reply, failure.value());
      },
      ret, error);
}
