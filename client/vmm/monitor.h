// SPDX-License-Identifier: LGPL-2.1-or-later
// The connection to QEMU's monitor: commands with time limits.
//
// Calls block for no longer than their time limit. Once the connection is unusable (QEMU has ended,
// or said what is no QMP) every call says so at once. A command that had no answer in time is still
// QEMU's to carry out, before all that are sent later; its late answer is dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <handover/handover.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "qmp_message.h"

namespace handover::vmm {

/// An instant of common::now_usec().
using Deadline = std::uint64_t;

class Monitor {
 public:
  /// A stream socket of the unix family, connected to QEMU.
  explicit Monitor(client::Fd socket);

  void on_event(std::function<void(const Event&)> handler) { handler_ = std::move(handler); }

  /// Waits for the greeting, and goes into command mode.
  client::Result<Version> greet(Deadline deadline);
  /// `passed`, if any, goes along as a descriptor (getfd).
  client::Result<nlohmann::json> call(const std::string& name, const nlohmann::json& arguments,
                                      Deadline deadline, int passed = -1);
  /// Reads what is there, without waiting: events, and answers that came too late.
  client::Result<void> drain();

  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  client::Result<Message> next(const std::string& awaited, Deadline deadline);
  client::Result<bool> read_more();
  client::Result<void> send(std::string_view bytes, int passed, const std::string& name,
                            Deadline deadline);
  client::Error broken(std::string reason);

  client::Fd socket_;
  std::string input_;
  std::uint64_t last_id_ = 0;
  std::optional<client::Error> broken_;
  std::function<void(const Event&)> handler_;
};

}  // namespace handover::vmm
