// SPDX-License-Identifier: LGPL-2.1-or-later
#include "call.h"

#include <cerrno>
#include <string_view>

#include "handover/handover.h"

namespace {

/// The error name of a refusal: a veto where the update can still be ended by one.
const char* refusal_name(std::string_view method) {
  if (method == "Prepare" || method == "Freeze") return HANDOVER_ERROR_PREFIX "Vetoed";
  if (method == "Restore") return HANDOVER_ERROR_PREFIX "StateLost";
  return HANDOVER_ERROR_PREFIX "Io";
}

int read_flag(sd_bus_message* message, bool* out) {
  int value = 0;
  const int r = sd_bus_message_read(message, "v", "b", &value);
  if (r >= 0) *out = value != 0;
  return r;
}

}  // namespace

int handover_call::parse(sd_bus_message* message, handover_connection* connection,
                         std::unique_ptr<handover_call>* ret) {
  std::unique_ptr<handover_call> call(new handover_call);
  int r = sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}");
  if (r < 0) return r;
  while ((r = sd_bus_message_enter_container(message, SD_BUS_TYPE_DICT_ENTRY, "sv")) > 0) {
    const char* key = nullptr;
    r = sd_bus_message_read(message, "s", &key);
    if (r < 0) return r;
    const std::string_view name(key);
    const char* text = nullptr;
    if (name == "generation") {
      r = sd_bus_message_read(message, "v", "t", &call->generation);
    } else if (name == "timeout-usec") {
      r = sd_bus_message_read(message, "v", "t", &call->timeout_usec);
    } else if (name == "kernel-release") {
      r = sd_bus_message_read(message, "v", "s", &text);
      if (r >= 0) call->kernel_release = text;
    } else if (name == "reason") {
      r = sd_bus_message_read(message, "v", "s", &text);
      if (r >= 0) call->reason = text;
    } else if (name == "quiesced") {
      r = read_flag(message, &call->quiesced);
    } else if (name == "rehearsal") {
      r = read_flag(message, &call->rehearsal);
    } else if (name == "stays-prepared") {
      r = read_flag(message, &call->stays_prepared);
    } else {
      r = sd_bus_message_skip(message, "v");
    }
    if (r < 0) return r;
    r = sd_bus_message_exit_container(message);
    if (r < 0) return r;
  }
  if (r < 0) return r;
  r = sd_bus_message_exit_container(message);
  if (r < 0) return r;
  call->message_.reset(sd_bus_message_ref(message));
  call->connection_ = handover_ref(connection);
  *ret = std::move(call);
  return 0;
}

handover_call::~handover_call() { handover_unref(connection_); }

int handover_call::done() {
  const std::unique_ptr<handover_call> self(this);
  const int r = sd_bus_reply_method_return(message_.get(), nullptr);
  if (r >= 0 && sd_bus_message_is_method_call(message_.get(), nullptr, "Restore") > 0) {
    connection_->restore_answered(sd_bus_message_get_path(message_.get()));
  }
  connection_->wake();
  return r;
}

int handover_call::fail(const char* message) {
  const std::unique_ptr<handover_call> self(this);
  const int r = sd_bus_reply_method_errorf(
      message_.get(), refusal_name(sd_bus_message_get_member(message_.get())), "%s",
      message && *message ? message : "The client gave no reason.");
  connection_->wake();
  return r;
}

uint64_t handover_call_generation(const handover_call* call) { return call ? call->generation : 0; }
uint64_t handover_call_timeout_usec(const handover_call* call) {
  return call ? call->timeout_usec : 0;
}
const char* handover_call_kernel_release(const handover_call* call) {
  return call ? call->kernel_release.c_str() : "";
}
const char* handover_call_reason(const handover_call* call) {
  return call ? call->reason.c_str() : "";
}
int handover_call_quiesced(const handover_call* call) { return call && call->quiesced ? 1 : 0; }
int handover_call_rehearsal(const handover_call* call) { return call && call->rehearsal ? 1 : 0; }
int handover_call_stays_prepared(const handover_call* call) {
  return call && call->stays_prepared ? 1 : 0;
}
int handover_call_done(handover_call* call) { return call ? call->done() : -EINVAL; }
int handover_call_fail(handover_call* call, const char* message) {
  return call ? call->fail(message) : -EINVAL;
}
