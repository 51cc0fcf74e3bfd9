// SPDX-License-Identifier: LGPL-2.1-or-later
// The C functions of a session that wait: arguments are checked here.
#include <cstdlib>
#include <memory>

#include "error.h"
#include "name.h"
#include "session.h"

using handover::client::report_errno;
using handover::client::report_invalid;
namespace sd = handover::client::sd;

namespace {

/// A method that gives a descriptor; it becomes the caller's.
int call_for_fd(const handover_session& session, const sd::Message& call, int* ret_fd,
                handover_error** error) {
  sd::Message reply;
  const int r = session.call(call, &reply, error);
  return r < 0 ? r : handover_session::take_fd(reply.get(), ret_fd, error);
}

/// Finish or Discard.
int end(handover_session* session, const char* method, handover_error** error) {
  sd::Message call;
  int r = session->make_plain(method, &call, error);
  session->ends();
  if (r >= 0) r = session->call(call, nullptr, error);
  if (r >= 0) session->ended();
  return r;
}

}  // namespace

int handover_session_create(handover_connection* connection, const char* name, const char* backend,
                            const char* client, handover_session** ret, handover_error** error) {
  if (!connection || !name || !ret) return report_invalid(error, "handover_session_create");
  sd::Message call;
  int r = handover_session::make_create(connection, name, backend, client, &call, error);
  sd::Message reply;
  if (r >= 0) r = connection->call(call.get(), &reply, error);
  if (r < 0) return r;
  return handover_session::take_session(connection, name, client ? client : "", reply.get(), ret,
                                        error);
}

int handover_session_get(handover_connection* connection, const char* name, handover_session** ret,
                         handover_error** error) {
  if (!connection || !name || !ret) return report_invalid(error, "handover_session_get");
  // A path could carry it; but no session has such a name.
  int r = handover::client::check_names({name}, error);
  if (r < 0) return r;
  char* path = nullptr;
  r = sd_bus_path_encode("/org/handover1/session", name, &path);
  if (r < 0) return report_errno(error, r, "Making an object path");
  const std::unique_ptr<char, sd::Unreferencer<&free>> owned(path);
  *ret = new handover_session(connection, name, path, false);
  return 0;
}

const char* handover_session_get_name(const handover_session* session) {
  return session ? session->name().c_str() : nullptr;
}

handover_session* handover_session_unref(handover_session* session) {
  delete session;
  return nullptr;
}

int handover_session_preserve(handover_session* session, uint64_t token, int fd,
                              handover_error** error) {
  return handover_session_preserve_in(session, nullptr, token, fd, error);
}

int handover_session_preserve_in(handover_session* session, const char* backend, uint64_t token,
                                 int fd, handover_error** error) {
  if (!session || fd < 0) return report_invalid(error, "handover_session_preserve");
  sd::Message call;
  const int r = session->make_preserve(backend, token, fd, &call, error);
  return r < 0 ? r : session->call(call, nullptr, error);
}

int handover_session_preserve_blob(handover_session* session, uint64_t token, const void* data,
                                   size_t size, handover_error** error) {
  if (!session || (!data && size != 0)) {
    return report_invalid(error, "handover_session_preserve_blob");
  }
  sd::Message call;
  const int r = session->make_preserve_blob(token, data, size, &call, error);
  return r < 0 ? r : session->call(call, nullptr, error);
}

int handover_session_unpreserve(handover_session* session, uint64_t token, handover_error** error) {
  if (!session) return report_invalid(error, "handover_session_unpreserve");
  sd::Message call;
  const int r = session->make_of_token("Unpreserve", token, &call, error);
  return r < 0 ? r : session->call(call, nullptr, error);
}

int handover_session_retrieve(handover_session* session, uint64_t token, int* ret_fd,
                              handover_error** error) {
  if (!session || !ret_fd) return report_invalid(error, "handover_session_retrieve");
  sd::Message call;
  const int r = session->make_of_token("Retrieve", token, &call, error);
  return r < 0 ? r : call_for_fd(*session, call, ret_fd, error);
}

int handover_session_open_tracker(handover_session* session, int* ret_fd, handover_error** error) {
  if (!session || !ret_fd) return report_invalid(error, "handover_session_open_tracker");
  sd::Message call;
  const int r = session->make_plain("OpenTracker", &call, error);
  return r < 0 ? r : call_for_fd(*session, call, ret_fd, error);
}

int handover_session_open_luo(handover_session* session, int* ret_fd, handover_error** error) {
  if (!session || !ret_fd) return report_invalid(error, "handover_session_open_luo");
  sd::Message call;
  const int r = session->make_plain("OpenLUO", &call, error);
  return r < 0 ? r : call_for_fd(*session, call, ret_fd, error);
}

int handover_session_finish(handover_session* session, handover_error** error) {
  return session ? end(session, "Finish", error) : report_invalid(error, "handover_session_finish");
}

int handover_session_discard(handover_session* session, handover_error** error) {
  return session ? end(session, "Discard", error)
                 : report_invalid(error, "handover_session_discard");
}

int handover_session_list_tokens(handover_session* session, handover_token_list** ret,
                                 handover_error** error) {
  if (!session || !ret) return report_invalid(error, "handover_session_list_tokens");
  sd::Message call;
  sd::Message reply;
  int r = session->make_list_tokens(&call, error);
  if (r >= 0) r = session->call(call, &reply, error);
  return r < 0 ? r : handover_session::take_tokens(reply.get(), ret, error);
}
