// SPDX-License-Identifier: LGPL-2.1-or-later
// The memfd that carries a guest's device state: of a fixed size, preserved long before the freeze.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <span>
#include <string>

#include "state_header.h"

namespace handover::vmm {

class StateMemory {
 public:
  /// A new one of `bytes`, which holds no state.
  static client::Result<StateMemory> make(const std::string& name, std::uint64_t bytes);
  /// One that came back.
  static client::Result<StateMemory> open(client::Fd fd);

  StateMemory(StateMemory&& other) noexcept;
  StateMemory& operator=(StateMemory&& other) noexcept;
  ~StateMemory();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint64_t size() const { return all_.size(); }

  /// From now on it holds no state, until complete(); `description` says of what the next one is.
  client::Result<void> begin(const std::string& description);
  /// Copies from `pipe`, a non-blocking descriptor, up to its end.
  client::Result<void> fill_from(int pipe, std::uint64_t deadline);
  void complete(std::uint64_t stopped_at, bool ran);

  /// What complete() said, if all is whole.
  [[nodiscard]] client::Result<StateHeader> header() const { return decode(all_); }
  [[nodiscard]] std::string description(const StateHeader& header) const;
  /// Copies the state into `pipe`, a non-blocking descriptor.
  client::Result<void> pour_into(int pipe, const StateHeader& header, std::uint64_t deadline) const;

 private:
  explicit StateMemory(client::Fd fd) : fd_(std::move(fd)) {}
  client::Result<void> map();

  client::Fd fd_;
  std::span<unsigned char> all_;
  std::uint32_t description_bytes_ = 0;
  std::uint64_t state_bytes_ = 0;
};

}  // namespace handover::vmm
