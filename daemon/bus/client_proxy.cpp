// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls of the daemon to its clients: org.handover1.Client (docs/dbus.md).
#include <memory>
#include <utility>

#include "bus/server.h"

namespace handover::bus {

namespace {

int append_arguments(sd_bus_message* message, engine::ClientCall call,
                     const engine::ClientCallArguments& arguments) {
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
  const bool before = call == engine::ClientCall::prepare || call == engine::ClientCall::freeze;
  if (result >= 0 && before && arguments.rehearsal) {
    result = sd_bus_message_append(message, "{sv}", "rehearsal", "b", 1);
  }
  if (result >= 0 && call == engine::ClientCall::thaw && arguments.stays_prepared) {
    result = sd_bus_message_append(message, "{sv}", "stays-prepared", "b", 1);
  }
  if (result >= 0 && call == engine::ClientCall::restore) {
    result = sd_bus_message_append(message, "{sv}", "quiesced", "b", arguments.quiesced ? 1 : 0);
  }
  return result < 0 ? result : sd_bus_message_close_container(message);
}

}  // namespace

void Server::call_client(const ClientRecord& client, engine::ClientCall call,
                         const engine::ClientCallArguments& arguments,
                         std::function<void(const Answer&)> answered) {
  const auto* link = links_.find(client.bus_name);
  sd_bus_message* made = nullptr;
  int result = -ENOTCONN;
  if (link != nullptr) {
    result = sd_bus_message_new_method_call(link->bus.get(), &made,
                                            link->direct ? nullptr : client.bus_name.c_str(),
                                            client.path.c_str(), client_interface, word_of(call));
  }
  MessagePtr message(made);
  if (result >= 0) result = append_arguments(message.get(), call, arguments);
  if (result < 0) {
    loop_.post([answered = std::move(answered), result] {
      answered({fail(ErrorCode::client_gone, "it cannot be called.", -result)});
    });
    return;
  }
  const bool undoes = call == engine::ClientCall::thaw || call == engine::ClientCall::cancel;
  link->calls->send({std::move(message), client.bus_name, client.owner.uid, arguments.timeout_usec,
                     undoes, std::move(answered)});
}

void Server::stop_clock(const std::string& connection) {
  if (auto* link = links_.find(connection); link != nullptr) link->calls->stop_clock(connection);
}

void Server::start_clock(const std::string& connection) {
  if (auto* link = links_.find(connection); link != nullptr) link->calls->start_clock(connection);
}

}  // namespace handover::bus
