// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/call_queue.h"

#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "system/boot.h"

namespace handover::bus {

namespace {

/// dbus-daemon ends the 129th with LimitsExceeded on a system bus: max_replies_per_connection
/// (dbus-daemon(1)). The rest is for calls other than to clients.
constexpr std::size_t most_unanswered = 100;

}  // namespace

CallQueue::~CallQueue() {
  for (auto& call : waiting_) gone(std::move(call.done), ENOTCONN);
}

void CallQueue::gone(Done done, int sys_errno) {
  loop_.post([done = std::move(done), sys_errno] {
    done(fail(ErrorCode::client_gone, "it cannot be called.", sys_errno));
  });
}

void CallQueue::send(MessagePtr message, std::uint64_t timeout_usec, Done done) {
  Waiting call{std::move(message), timeout_usec, std::move(done)};
  if (unanswered_ < most_unanswered) return send_now(std::move(call));
  waiting_.push_back(std::move(call));
}

void CallQueue::send_now(Waiting waiting) {
  auto call = std::make_unique<Call>();
  call->queue = this;
  call->done = std::move(waiting.done);
  call->deadline_usec = system::uptime_usec() + waiting.timeout_usec;
  sd_bus_slot* slot = nullptr;
  const int result =
      sd_bus_call_async(sd_bus_message_get_bus(waiting.message.get()), &slot, waiting.message.get(),
                        on_reply, call.get(), waiting.timeout_usec);
  if (result < 0) return gone(std::move(call->done), -result);
  // The slot lives until the answer, a time-out or the connection's end: sd-bus owns it.
  sd_bus_slot_set_destroy_callback(slot, destroy_call);
  sd_bus_slot_set_floating(slot, 1);
  sd_bus_slot_unref(slot);
  [[maybe_unused]] auto* const owned_by_slot = call.release();
  ++unanswered_;
}

Error CallQueue::error_from(const sd_bus_error& error, const Call& call) {
  const std::string sentence = error.message != nullptr ? error.message : error.name;
  const std::string_view name = error.name;
  if (name == SD_BUS_ERROR_TIMEOUT ||
      (name == SD_BUS_ERROR_NO_REPLY && system::uptime_usec() >= call.deadline_usec)) {
    return {ErrorCode::timed_out, "it did not answer in its time limit."};
  }
  if (name == SD_BUS_ERROR_NO_REPLY || name == SD_BUS_ERROR_SERVICE_UNKNOWN ||
      name == SD_BUS_ERROR_NAME_HAS_NO_OWNER || name == SD_BUS_ERROR_DISCONNECTED ||
      name == "org.freedesktop.DBus.Error.NoServer") {
    return {ErrorCode::client_gone, "it left the bus."};
  }
  return {ErrorCode::vetoed, sentence};
}

int CallQueue::on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& call = *static_cast<Call*>(userdata);
  auto& queue = *call.queue;
  Result<void> result;
  if (const auto* error = sd_bus_message_get_error(reply)) result = fail(error_from(*error, call));
  --queue.unanswered_;
  while (queue.unanswered_ < most_unanswered && !queue.waiting_.empty()) {
    auto next = std::move(queue.waiting_.front());
    queue.waiting_.pop_front();
    queue.send_now(std::move(next));
  }
  std::exchange(call.done, nullptr)(std::move(result));
  return 1;
}

void CallQueue::destroy_call(void* userdata) {
  const std::unique_ptr<Call> owned(static_cast<Call*>(userdata));
}

}  // namespace handover::bus
