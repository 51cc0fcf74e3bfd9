// SPDX-License-Identifier: LGPL-2.1-or-later
// The memory that handover-memfd keeps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/kept.h"

namespace handover::memfd {

class Memory : public common::Kept {
 public:
  Memory(std::string name, std::uint64_t size) : name_(std::move(name)), size_(size) {}

  [[nodiscard]] std::string what() const override { return "the memory"; }
  client::Result<void> make() override;
  std::vector<common::Preservation::Item> items() override { return {{token, memory_.get()}}; }
  client::Result<void> retrieve(client::Session& session) override;
  client::Result<void> compare(client::Session& session) override;
  void hand_over(common::Start& start) override;

 private:
  static constexpr std::uint64_t token = 1;  ///< the session holds the memory and nothing else

  std::string name_;
  std::uint64_t size_;
  client::Fd memory_;
};

}  // namespace handover::memfd
