// SPDX-License-Identifier: LGPL-2.1-or-later
#include "operation.h"

#include <cerrno>
#include <utility>

#include "connection.h"
#include "error.h"

using handover::client::OwnError;
using handover::client::report;
using handover::client::report_bus;

handover_operation::~handover_operation() {
  if (connection_) connection_->remove(this);
}

int handover_operation::send(sd_bus* bus, sd_bus_message* message) {
  limit_.emplace(bus);
  sd_bus_slot* slot = nullptr;
  const int r = sd_bus_call_async(bus, &slot, message, on_reply, this, 0);
  if (r >= 0) slot_.reset(slot);
  return r;
}

int handover_operation::on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto* const self = static_cast<handover_operation*>(userdata);
  OwnError error;
  int r = 0;
  if (const sd_bus_error* failed = sd_bus_message_get_error(reply)) {
    r = report_bus(error.get(), -sd_bus_message_get_errno(reply), *failed, *self->limit_);
  }
  self->end(r, reply, error.value());
  return 0;
}

void handover_operation::cancel(const char* message, bool tell) {
  if (!tell) done_ = [](int, sd_bus_message*, handover_error*) {};
  OwnError error;
  const int r = report(error.get(), ECANCELED, SD_BUS_ERROR_FAILED, message);
  end(r, nullptr, error.value());
}

/// The callback comes last: it may give back the operation and the connection.
void handover_operation::end(int result, sd_bus_message* reply, handover_error* error) {
  std::exchange(connection_, nullptr)->remove(this);
  slot_.reset();
  const auto done = std::move(done_);
  if (!owned_) delete this;
  done(result, reply, error);
}

handover_operation* handover_operation_unref(handover_operation* operation) {
  delete operation;
  return nullptr;
}
