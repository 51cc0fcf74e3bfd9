// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory.h"

#include "common/log.h"
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
  auto bytes = common::size_of(memory->get());
  if (!bytes) return bytes.error();
  if (*bytes != size_) {
    common::say(SD_WARNING, "The memory keeps the " + std::to_string(*bytes) +
                                " bytes that it had, and not the " + std::to_string(size_) +
                                " of --size: stop the client and start it anew for these.");
  }
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
