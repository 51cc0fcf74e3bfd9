// SPDX-License-Identifier: LGPL-2.1-or-later
// The C functions of a session that do not wait: arguments are checked here.
#include "error.h"
#include "session.h"

using handover::client::OwnError;
using handover::client::report_invalid;
namespace sd = handover::client::sd;

namespace {

/// Sends what is made (`r` is what making it gave), for an answer that says nothing more.
int send(int r, const handover_session& session, const sd::Message& call,
         handover_done_callback callback, void* userdata, handover_operation** ret,
         handover_error** error) {
  if (r < 0) return r;
  return session.send(
      call,
      [callback, userdata](int result, sd_bus_message*, handover_error* failed) {
        callback(result < 0 ? result : 0, failed, userdata);
      },
      ret, error);
}

/// The same for an answer with a descriptor.
int send_for_fd(int r, const handover_session& session, const sd::Message& call,
                handover_fd_callback callback, void* userdata, handover_operation** ret,
                handover_error** error) {
  if (r < 0) return r;
  return session.send(
      call,
      [callback, userdata](int result, sd_bus_message* reply, handover_error* failed) {
        if (result < 0) return callback(result, failed, userdata);
        OwnError unreadable;
        int fd = -1;
        result = handover_session::take_fd(reply, &fd, unreadable.get());
        callback(result < 0 ? result : fd, unreadable.value(), userdata);
      },
      ret, error);
}

/// Finish or Discard. The object may be gone by the time of the answer.
int end(handover_session* session, const char* method, handover_done_callback callback,
        void* userdata, handover_operation** ret, handover_error** error) {
  sd::Message call;
  const int r = session->make_plain(method, &call, error);
  if (r < 0) return r;
  return session->send_end(call, callback, userdata, ret, error);
}

}  // namespace

int handover_session::send_end(const Message& message, handover_done_callback callback,
                               void* userdata, handover_operation** ret,
                               handover_error** error) const {
  ends();
  return send(
      message,
      [callback, userdata, connection = connection_, name = name_](int result, sd_bus_message*,
                                                                   handover_error* failed) {
        if (result >= 0) connection->session_ended(name);
        callback(result < 0 ? result : 0, failed, userdata);
      },
      ret, error);
}

int handover_session_create_async(handover_connection* connection, const char* name,
                                  const char* backend, const char* client,
                                  handover_session_callback callback, void* userdata,
                                  handover_operation** ret, handover_error** error) {
  if (!connection || !name || !callback) {
    return report_invalid(error, "handover_session_create_async");
  }
  sd::Message call;
  const int r = handover_session::make_create(connection, name, backend, client, &call, error);
  if (r < 0) return r;
  return connection->send(
      call.get(),
      [connection, callback, userdata, name = std::string(name),
       client = std::string(client ? client : "")](int result, sd_bus_message* reply,
                                                   handover_error* failed) {
        if (result < 0) return callback(result, nullptr, failed, userdata);
        OwnError unreadable;
        handover_session* session = nullptr;
        result = handover_session::take_session(connection, name, client, reply, &session,
                                                unreadable.get());
        callback(result, session, unreadable.value(), userdata);
      },
      ret, error);
}

int handover_session_preserve_async(handover_session* session, uint64_t token, int fd,
                                    handover_done_callback callback, void* userdata,
                                    handover_operation** ret, handover_error** error) {
  return handover_session_preserve_in_async(session, nullptr, token, fd, callback, userdata, ret,
                                            error);
}

int handover_session_preserve_in_async(handover_session* session, const char* backend,
                                       uint64_t token, int fd, handover_done_callback callback,
                                       void* userdata, handover_operation** ret,
                                       handover_error** error) {
  if (!session || fd < 0 || !callback) {
    return report_invalid(error, "handover_session_preserve_async");
  }
  sd::Message call;
  const int r = session->make_preserve(backend, token, fd, &call, error);
  return send(r, *session, call, callback, userdata, ret, error);
}

int handover_session_preserve_blob_async(handover_session* session, uint64_t token,
                                         const void* data, size_t size,
                                         handover_done_callback callback, void* userdata,
                                         handover_operation** ret, handover_error** error) {
  if (!session || (!data && size != 0) || !callback) {
    return report_invalid(error, "handover_session_preserve_blob_async");
  }
  sd::Message call;
  const int r = session->make_preserve_blob(token, data, size, &call, error);
  return send(r, *session, call, callback, userdata, ret, error);
}

int handover_session_unpreserve_async(handover_session* session, uint64_t token,
                                      handover_done_callback callback, void* userdata,
                                      handover_operation** ret, handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_unpreserve_async");
  sd::Message call;
  const int r = session->make_of_token("Unpreserve", token, &call, error);
  return send(r, *session, call, callback, userdata, ret, error);
}

int handover_session_retrieve_async(handover_session* session, uint64_t token,
                                    handover_fd_callback callback, void* userdata,
                                    handover_operation** ret, handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_retrieve_async");
  sd::Message call;
  const int r = session->make_of_token("Retrieve", token, &call, error);
  return send_for_fd(r, *session, call, callback, userdata, ret, error);
}

int handover_session_open_tracker_async(handover_session* session, handover_fd_callback callback,
                                        void* userdata, handover_operation** ret,
                                        handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_open_tracker_async");
  sd::Message call;
  const int r = session->make_plain("OpenTracker", &call, error);
  return send_for_fd(r, *session, call, callback, userdata, ret, error);
}

int handover_session_open_luo_async(handover_session* session, handover_fd_callback callback,
                                    void* userdata, handover_operation** ret,
                                    handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_open_luo_async");
  sd::Message call;
  const int r = session->make_plain("OpenLUO", &call, error);
  return send_for_fd(r, *session, call, callback, userdata, ret, error);
}

int handover_session_finish_async(handover_session* session, handover_done_callback callback,
                                  void* userdata, handover_operation** ret,
                                  handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_finish_async");
  return end(session, "Finish", callback, userdata, ret, error);
}

int handover_session_discard_async(handover_session* session, handover_done_callback callback,
                                   void* userdata, handover_operation** ret,
                                   handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_discard_async");
  return end(session, "Discard", callback, userdata, ret, error);
}

int handover_session_list_tokens_async(handover_session* session, handover_tokens_callback callback,
                                       void* userdata, handover_operation** ret,
                                       handover_error** error) {
  if (!session || !callback) return report_invalid(error, "handover_session_list_tokens_async");
  sd::Message call;
  const int r = session->make_list_tokens(&call, error);
  if (r < 0) return r;
  return session->send(
      call,
      [callback, userdata](int result, sd_bus_message* reply, handover_error* failed) {
        if (result < 0) return callback(result, nullptr, failed, userdata);
        OwnError unreadable;
        handover_token_list* tokens = nullptr;
        result = handover_session::take_tokens(reply, &tokens, unreadable.get());
        callback(result, tokens, unreadable.value(), userdata);
      },
      ret, error);
}
