// SPDX-License-Identifier: LGPL-2.1-or-later
// Where a running client of ours is asked to start its COMMAND anew, with the same state.
#pragma once

#include <systemd/sd-event.h>

#include <functional>
#include <handover/handover.hpp>
#include <string>

#include "loop.h"

namespace handover::common {

/// Who asked, until he is answered; nobody, once he was.
class RestartRequest {
 public:
  explicit RestartRequest(client::Fd connection) : connection_(std::move(connection)) {}
  /// "": the new COMMAND runs; else why not.
  void answer(const std::string& failure);

 private:
  client::Fd connection_;
};

class RestartSocket {
 public:
  RestartSocket() = default;
  RestartSocket(const RestartSocket&) = delete;
  RestartSocket& operator=(const RestartSocket&) = delete;
  ~RestartSocket();

  /// Makes the directory if need be, and the socket in it, for our own user and root.
  client::Result<void> open(sd_event* event, const std::string& directory, const std::string& name,
                            std::function<void(RestartRequest)> requested);

 private:
  void accept_one();

  client::Fd socket_;
  std::string path_;
  std::function<void(RestartRequest)> requested_;
  Source source_;
};

/// The directory of the sockets of that program: $RUNTIME_DIRECTORY, /run/PROGRAM for root, else in
/// $XDG_RUNTIME_DIR. "" if there is none.
std::string runtime_directory(const std::string& program);

/// Asks, and waits until the new COMMAND runs.
client::Result<void> request_restart(const std::string& directory, const std::string& name);

}  // namespace handover::common
