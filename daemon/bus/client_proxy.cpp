// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls out of the daemon: org.handover1.Client on clients, and PID 1 for the orderly way.
#include <spdlog/spdlog.h>

#include <memory>
#include <utility>

#include "bus/server.h"
#include "system/boot.h"

namespace handover::bus {

namespace {

struct Call {
  std::function<void(Result<void>)> done;
  std::uint64_t deadline_usec = 0;  ///< uptime by which an answer had to be there
};

const char* member_of(engine::ClientCall call) {
  switch (call) {
    case engine::ClientCall::prepare:
      return "Prepare";
    case engine::ClientCall::cancel:
      return "Cancel";
    case engine::ClientCall::freeze:
      return "Freeze";
    case engine::ClientCall::thaw:
      return "Thaw";
    case engine::ClientCall::restore:
      return "Restore";
  }
  return "";
}

Error error_from(const sd_bus_error& error, const Call& call) {
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

int on_reply(sd_bus_message* reply, void* userdata, sd_bus_error*) {
  auto& call = *static_cast<Call*>(userdata);
  Result<void> result;
  if (const auto* error = sd_bus_message_get_error(reply)) result = fail(error_from(*error, call));
  std::exchange(call.done, nullptr)(std::move(result));
  return 1;
}

void destroy_call(void* userdata) {
  const std::unique_ptr<Call> owned(static_cast<Call*>(userdata));
}

/// Sends `message`; `done` runs exactly once, later.
void send(system::Loop& loop, sd_bus* bus, sd_bus_message* message, std::uint64_t timeout_usec,
          std::function<void(Result<void>)> done) {
  auto call = std::make_unique<Call>();
  call->done = std::move(done);
  call->deadline_usec = system::uptime_usec() + timeout_usec;
  sd_bus_slot* slot = nullptr;
  const int result = sd_bus_call_async(bus, &slot, message, on_reply, call.get(), timeout_usec);
  if (result < 0) {
    loop.post([done = std::move(call->done), result] {
      done(fail(ErrorCode::client_gone, "it cannot be called.", -result));
    });
    return;
  }
  // The slot lives until the answer, a time-out or the connection's end: sd-bus owns it.
  sd_bus_slot_set_destroy_callback(slot, destroy_call);
  sd_bus_slot_set_floating(slot, 1);
  sd_bus_slot_unref(slot);
  [[maybe_unused]] auto* const owned_by_slot = call.release();
}

int append_arguments(sd_bus_message* message, const engine::ClientCallArguments& arguments) {
  int result = sd_bus_message_open_container(message, 'a', "{sv}");
  if (result >= 0) {
    result = sd_bus_message_append(message, "{sv}{sv}", "generation", "t", arguments.generation,
                                   "timeout-usec", "t", arguments.timeout_usec);
  }
  if (result >= 0 && !arguments.kernel_release.empty()) {
    result = sd_bus_message_append(message, "{sv}", "kernel-release", "s",
                                   arguments.kernel_release.c_str());
  }
  if (result >= 0 && !arguments.reason.empty()) {
    result = sd_bus_message_append(message, "{sv}", "reason", "s", arguments.reason.c_str());
  }
  return result < 0 ? result : sd_bus_message_close_container(message);
}

}  // namespace

void Server::call_client(const ClientRecord& client, engine::ClientCall call,
                         const engine::ClientCallArguments& arguments,
                         std::function<void(Result<void>)> done) {
  const auto* link = link_for(client.bus_name);
  sd_bus_message* made = nullptr;
  int result = -ENOTCONN;
  if (link != nullptr) {
    result = sd_bus_message_new_method_call(link->bus.get(), &made,
                                            link->direct ? nullptr : client.bus_name.c_str(),
                                            client.path.c_str(), client_interface, member_of(call));
  }
  const MessagePtr message(made);
  if (result >= 0) result = append_arguments(message.get(), arguments);
  if (result < 0) {
    loop_.post([done = std::move(done), result] {
      done(fail(ErrorCode::client_gone, "it cannot be called.", -result));
    });
    return;
  }
  send(loop_, link->bus.get(), message.get(), arguments.timeout_usec, std::move(done));
}

void Server::start_orderly_kexec(std::function<void(Result<void>)> done) {
  constexpr std::uint64_t timeout_usec = 10'000'000;
  const auto* link = link_for(":");
  sd_bus_message* made = nullptr;
  int result = -ENOTCONN;
  if (link != nullptr) {
    result = sd_bus_message_new_method_call(link->bus.get(), &made, "org.freedesktop.systemd1",
                                            "/org/freedesktop/systemd1",
                                            "org.freedesktop.systemd1.Manager", "StartUnit");
  }
  const MessagePtr message(made);
  if (result >= 0) {
    // Manager.KExec() would skip stopping the units (systemd, src/core/dbus-manager.c).
    result = sd_bus_message_append(message.get(), "ss", "kexec.target", "replace-irreversibly");
  }
  auto told = [done = std::move(done)](const Result<void>& taken) {
    if (taken) return done({});
    done(fail(ErrorCode::kexec_failed,
              "PID 1 did not start kexec.target: " + taken.error().message));
  };
  if (result < 0) {
    loop_.post([told] { told(fail(ErrorCode::io, "the system bus is not there.")); });
    return;
  }
  send(loop_, link->bus.get(), message.get(), timeout_usec, told);
}

}  // namespace handover::bus
