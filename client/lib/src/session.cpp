// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "error.h"
#include "handover/handover.h"
#include "name.h"
#include "sd.h"

using handover::client::check_names;
using handover::client::manager_interface;
using handover::client::manager_path;
using handover::client::report;
using handover::client::report_errno;
namespace sd = handover::client::sd;

/// A session of the daemon's, by its path: it outlives a reconnect.
struct handover_session {
 public:
  handover_session(handover_connection* connection, std::string name, std::string path)
      : connection_(handover_ref(connection)), name_(std::move(name)), path_(std::move(path)) {}
  handover_session(const handover_session&) = delete;
  handover_session& operator=(const handover_session&) = delete;
  ~handover_session() { handover_unref(connection_); }

  [[nodiscard]] const std::string& name() const { return name_; }
  /// Finish or Discard.
  int end(const char* method, handover_error* error) {
    const int r = call_plain(method, error);
    if (r >= 0) connection_->session_ended(name_);
    return r;
  }

  int new_call(const char* method, sd::Message* ret, handover_error* error) {
    return connection_->new_call(path_.c_str(), "org.handover1.Session", method, ret, error);
  }
  int call(const sd::Message& message, sd::Message* ret, handover_error* error);
  /// A method that takes nothing and gives nothing.
  int call_plain(const char* method, handover_error* error) {
    sd::Message message;
    const int r = new_call(method, &message, error);
    if (r < 0) return r;
    return call(message, nullptr, error);
  }
  /// A method that gives a descriptor; it becomes the caller's.
  int call_for_fd(const sd::Message& message, int* ret_fd, handover_error* error);
  int list_tokens(handover_token** ret, size_t* ret_count, handover_error* error);

 private:
  handover_connection* connection_;
  std::string name_;
  std::string path_;
};

namespace {

constexpr const char* making = "Making a call to handoverd";
constexpr const char* reading = "Reading the daemon's answer";

int append_option(sd_bus_message* message, const char* key, const char* value) {
  if (!value) return 0;
  return sd_bus_message_append(message, "{sv}", key, "s", value);
}

}  // namespace

int handover_session_create(handover_connection* connection, const char* name, const char* backend,
                            const char* client, handover_session** ret, handover_error* error) {
  if (!connection || !name || !ret) return report_errno(error, -EINVAL, "handover_session_create");
  int r = check_names({name, backend, client}, error);
  if (r < 0) return r;
  sd::Message call;
  r = connection->new_call(manager_path, manager_interface, "CreateSession", &call, error);
  if (r < 0) return r;
  r = sd_bus_message_append(call.get(), "s", name);
  if (r >= 0) r = sd_bus_message_open_container(call.get(), SD_BUS_TYPE_ARRAY, "{sv}");
  if (r >= 0) r = append_option(call.get(), "backend", backend);
  if (r >= 0) r = append_option(call.get(), "client", client);
  if (r >= 0) r = sd_bus_message_close_container(call.get());
  if (r < 0) return report_errno(error, r, making);
  sd::Message reply;
  r = connection->call(call.get(), &reply, error);
  if (r < 0) return r;
  const char* path = nullptr;
  r = sd_bus_message_read(reply.get(), "o", &path);
  if (r < 0) return report_errno(error, r, reading);
  if (client) connection->session_made(name, client);
  *ret = std::make_unique<handover_session>(connection, name, path).release();
  return 0;
}

int handover_session_get(handover_connection* connection, const char* name, handover_session** ret,
                         handover_error* error) {
  if (!connection || !name || !ret) return report_errno(error, -EINVAL, "handover_session_get");
  // A path could carry it; but no session has such a name.
  int r = check_names({name}, error);
  if (r < 0) return r;
  char* path = nullptr;
  r = sd_bus_path_encode("/org/handover1/session", name, &path);
  if (r < 0) return report_errno(error, r, "Making an object path");
  const std::unique_ptr<char, sd::Unreferencer<&free>> owned(path);
  *ret = std::make_unique<handover_session>(connection, name, path).release();
  return 0;
}

const char* handover_session_get_name(const handover_session* session) {
  return session->name().c_str();
}

handover_session* handover_session_unref(handover_session* session) {
  delete session;
  return nullptr;
}

int handover_session_preserve(handover_session* session, uint64_t token, int fd,
                              handover_error* error) {
  return handover_session_preserve_in(session, nullptr, token, fd, error);
}

int handover_session_preserve_in(handover_session* session, const char* backend, uint64_t token,
                                 int fd, handover_error* error) {
  int r = check_names({backend}, error);
  if (r < 0) return r;
  sd::Message call;
  r = session->new_call("Preserve", &call, error);
  if (r < 0) return r;
  r = sd_bus_message_append(call.get(), "th", token, fd);
  if (r >= 0) r = sd_bus_message_open_container(call.get(), SD_BUS_TYPE_ARRAY, "{sv}");
  if (r >= 0) r = append_option(call.get(), "backend", backend);
  if (r >= 0) r = sd_bus_message_close_container(call.get());
  if (r < 0) return report_errno(error, r, making);
  return session->call(call, nullptr, error);
}

int handover_session_preserve_blob(handover_session* session, uint64_t token, const void* data,
                                   size_t size, handover_error* error) {
  sd::Message call;
  int r = session->new_call("PreserveBlob", &call, error);
  if (r < 0) return r;
  r = sd_bus_message_append(call.get(), "t", token);
  if (r >= 0) r = sd_bus_message_append_array(call.get(), 'y', data, size);
  if (r < 0) return report_errno(error, r, making);
  return session->call(call, nullptr, error);
}

int handover_session_unpreserve(handover_session* session, uint64_t token, handover_error* error) {
  sd::Message call;
  int r = session->new_call("Unpreserve", &call, error);
  if (r < 0) return r;
  r = sd_bus_message_append(call.get(), "t", token);
  if (r < 0) return report_errno(error, r, making);
  return session->call(call, nullptr, error);
}

int handover_session_retrieve(handover_session* session, uint64_t token, int* ret_fd,
                              handover_error* error) {
  if (!ret_fd) return report_errno(error, -EINVAL, "handover_session_retrieve");
  sd::Message call;
  int r = session->new_call("Retrieve", &call, error);
  if (r < 0) return r;
  r = sd_bus_message_append(call.get(), "t", token);
  if (r < 0) return report_errno(error, r, making);
  return session->call_for_fd(call, ret_fd, error);
}

int handover_session_open_tracker(handover_session* session, int* ret_fd, handover_error* error) {
  if (!ret_fd) return report_errno(error, -EINVAL, "handover_session_open_tracker");
  sd::Message call;
  const int r = session->new_call("OpenTracker", &call, error);
  if (r < 0) return r;
  return session->call_for_fd(call, ret_fd, error);
}

int handover_session_finish(handover_session* session, handover_error* error) {
  return session->end("Finish", error);
}

int handover_session_discard(handover_session* session, handover_error* error) {
  return session->end("Discard", error);
}

int handover_session_list_tokens(handover_session* session, handover_token** ret, size_t* ret_count,
                                 handover_error* error) {
  if (!ret || !ret_count) return report_errno(error, -EINVAL, "handover_session_list_tokens");
  return session->list_tokens(ret, ret_count, error);
}

int handover_session::call(const sd::Message& message, sd::Message* ret, handover_error* error) {
  handover_error failure = HANDOVER_ERROR_NULL;
  int r = connection_->call(message.get(), ret, &failure);
  // The path is made from the name without asking (handover_session_get()): no object, no session.
  if (r < 0 && handover_error_is(&failure, SD_BUS_ERROR_UNKNOWN_OBJECT)) {
    r = report(&failure, ENOENT, HANDOVER_ERROR_PREFIX "NoSuchSession",
               "There is no session '" + name_ + "'; list them with 'handoverctl sessions'.");
  }
  if (r < 0 && error) {
    handover_error_free(error);
    *error = failure;
  } else {
    handover_error_free(&failure);
  }
  return r;
}

int handover_session::call_for_fd(const sd::Message& message, int* ret_fd, handover_error* error) {
  sd::Message reply;
  int r = call(message, &reply, error);
  if (r < 0) return r;
  int fd = -1;
  r = sd_bus_message_read(reply.get(), "h", &fd);
  if (r < 0) return report_errno(error, r, reading);
  const int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);  // the message closes its own
  if (copy < 0) return report_errno(error, -errno, "Taking over the descriptor");
  *ret_fd = copy;
  return 0;
}

int handover_session::list_tokens(handover_token** ret, size_t* ret_count, handover_error* error) {
  sd::Message message;
  int r = connection_->new_call(path_.c_str(), "org.freedesktop.DBus.Properties", "Get", &message,
                                error);
  if (r < 0) return r;
  r = sd_bus_message_append(message.get(), "ss", "org.handover1.Session", "Tokens");
  if (r < 0) return report_errno(error, r, making);
  sd::Message reply;
  r = call(message, &reply, error);
  if (r < 0) return r;

  std::vector<handover_token> tokens;
  r = sd_bus_message_enter_container(reply.get(), SD_BUS_TYPE_VARIANT, "a(tstbs)");
  if (r >= 0) r = sd_bus_message_enter_container(reply.get(), SD_BUS_TYPE_ARRAY, "(tstbs)");
  while (r >= 0) {
    handover_token token = {};
    const char* kind = nullptr;
    const char* backend = nullptr;
    r = sd_bus_message_read(reply.get(), "(tstbs)", &token.token, &kind, &token.bytes,
                            &token.retrieved, &backend);
    if (r <= 0) break;
    strncpy(token.kind, kind, sizeof(token.kind) - 1);
    strncpy(token.backend, backend, sizeof(token.backend) - 1);
    tokens.push_back(token);
  }
  if (r < 0) return report_errno(error, r, reading);

  auto* list = static_cast<handover_token*>(
      calloc(std::max<size_t>(tokens.size(), 1), sizeof(handover_token)));
  if (!list) return report_errno(error, -ENOMEM, reading);
  std::copy(tokens.begin(), tokens.end(), list);
  *ret = list;
  *ret_count = tokens.size();
  return 0;
}
