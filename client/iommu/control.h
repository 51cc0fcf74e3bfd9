// SPDX-License-Identifier: LGPL-2.1-or-later
// The socket by which COMMAND asks for mappings.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <handover/handover.hpp>
#include <memory>

#include "request.h"

namespace handover::iommu {

class Control {
 public:
  using Handler = std::function<client::Result<void>(const Request&)>;

  Control() = default;
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  /// Answers each request with what `handler` makes of it, from within the loop.
  client::Result<void> open(sd_event* event, Handler handler);
  /// Another COMMAND has the end from now on: what the earlier one asked last, and answers that it
  /// did not read, are forgotten.
  client::Result<void> renew();
  /// Requests wait until go_on(): what is recorded does not change.
  void hold();
  void go_on();
  /// COMMAND's end.
  [[nodiscard]] int command_end() const { return theirs_.get(); }

 private:
  client::Result<void> connect();
  void serve();

  sd_event* event_ = nullptr;
  Handler handler_;
  client::Fd ours_;
  client::Fd theirs_;
  std::unique_ptr<sd_event_source, client::detail::Unreferencer<&sd_event_source_disable_unref>>
      source_;
};

}  // namespace handover::iommu
