// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls out of the daemon: org.handover1.Client on clients, and PID 1 for the orderly way.
#include <memory>
#include <utility>

#include "bus/server.h"

namespace handover::bus {

namespace {

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
  MessagePtr message(made);
  if (result >= 0) result = append_arguments(message.get(), arguments);
  if (result < 0) {
    loop_.post([done = std::move(done), result] {
      done(fail(ErrorCode::client_gone, "it cannot be called.", -result));
    });
    return;
  }
  link->calls->send(std::move(message), arguments.timeout_usec, std::move(done));
}

void Server::start_orderly_kexec(std::function<void(Error)> failed) {
  const auto* link = link_for(":");
  if (link == nullptr) {
    loop_.post([failed = std::move(failed)] {
      failed(Error{ErrorCode::kexec_failed,
                   "PID 1 did not start kexec.target: the system bus is not there."});
    });
    return;
  }
  orderly_kexec_ = std::make_unique<OrderlyKexec>(loop_, link->bus.get(), std::move(failed));
  orderly_kexec_->start();
}

}  // namespace handover::bus
