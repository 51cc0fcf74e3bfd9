// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory.h"

#include "common/memory_file.h"

namespace handover::memfd {

client::Result<void> Memory::make() {
  auto memory = common::make_memory(name_, size_);
  if (!memory) return memory.error();
  memory_ = std::move(*memory);
  return {};
}

client::Result<void> Memory::retrieve(client::Session& session) {
  auto memory = session.retrieve(token);
  if (!memory) return memory.error();
  memory_ = std::move(*memory);
  return {};
}

client::Result<void> Memory::compare(client::Session& session) {
  auto memory = session.retrieve(token);
  if (!memory) return memory.error();
  return common::check_same_file(memory->get(), memory_.get());
}

void Memory::hand_over(common::Start& start) {
  start.descriptors.push_back({memory_.get(), name_});
}

}  // namespace handover::memfd
