// SPDX-License-Identifier: LGPL-2.1-or-later
// The C functions of a connection: arguments are checked here.
#include <cerrno>

#include "connection.h"
#include "error.h"

using handover::client::report_invalid;

int handover_connect(unsigned flags, uint64_t timeout_usec, sd_event* event,
                     handover_connection** ret, handover_error** error) {
  if (!ret || (flags & ~unsigned{HANDOVER_CONNECT_PREFER_BUS}) != 0) {
    return report_invalid(error, "handover_connect");
  }
  return handover_connection::open(flags, timeout_usec, event, ret, error);
}

int handover_connect_async(unsigned flags, uint64_t timeout_usec, sd_event* event,
                           handover_done_callback callback, void* userdata,
                           handover_connection** ret, handover_error** error) {
  if (!ret || !callback || (flags & ~unsigned{HANDOVER_CONNECT_PREFER_BUS}) != 0) {
    return report_invalid(error, "handover_connect_async");
  }
  return handover_connection::open_later(flags, timeout_usec, event, callback, userdata, ret,
                                         error);
}

handover_connection* handover_ref(handover_connection* connection) {
  if (connection) connection->ref();
  return connection;
}

handover_connection* handover_unref(handover_connection* connection) {
  if (connection) connection->unref();
  return nullptr;
}

int handover_get_fd(handover_connection* connection) {
  return connection ? connection->fd() : -EINVAL;
}
int handover_process(handover_connection* connection) {
  return connection ? connection->process() : -EINVAL;
}
int handover_wait(handover_connection* connection, uint64_t timeout_usec) {
  return connection ? connection->wait(timeout_usec) : -EINVAL;
}
int handover_is_connected(handover_connection* connection) {
  return connection && connection->connected() ? 1 : 0;
}
int handover_set_call_timeout(handover_connection* connection, uint64_t usec) {
  return connection ? connection->set_call_timeout(usec) : -EINVAL;
}
sd_bus* handover_get_bus(handover_connection* connection) {
  return connection ? connection->bus() : nullptr;
}
const char* handover_get_destination(handover_connection* connection) {
  return connection ? connection->destination() : nullptr;
}
