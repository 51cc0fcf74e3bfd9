// SPDX-License-Identifier: LGPL-2.1-or-later
// A message bus for one peer, on which an org.handover1 takes every registration, in a thread.
#pragma once

#include <systemd/sd-bus.h>

#include <atomic>
#include <string>
#include <thread>

namespace handover::client::test {

class FakeBus {
 public:
  /// Listens at `path`.
  explicit FakeBus(const std::string& path);
  FakeBus(const FakeBus&) = delete;
  FakeBus& operator=(const FakeBus&) = delete;
  ~FakeBus() { die(); }

  /// Says that org.handover1 has a new owner, and closes the connection right behind that.
  void change_owner_and_die();

 private:
  static int on_message(sd_bus_message* message, void* userdata, sd_bus_error* error);
  void serve(int listener);
  void tell_of_new_owner(sd_bus* bus);
  void die();

  std::atomic<bool> changes_owner_ = false;
  std::atomic<bool> dies_ = false;
  std::thread thread_;
};

}  // namespace handover::client::test
