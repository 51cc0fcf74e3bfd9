// SPDX-License-Identifier: LGPL-2.1-or-later
#include "config.h"

#include <algorithm>
#include <cerrno>

#include "common/command_line.h"
#include "common/fields.h"
#include "common/file.h"
#include "common/name.h"
#include "pci.h"
#include "table.h"

namespace handover::iommu {
namespace {

using common::Fields;

constexpr std::uint64_t first_memory_token = 16;
constexpr std::uint64_t page = 4096;

client::Result<Memory> parse_memory(Fields fields, std::uint64_t token) {
  Memory memory;
  bool inherited = false;
  if (fields.take("name", memory.name, true)) {
    if (auto good = common::check_name(memory.name); !good) {
      fields.refuse("name", "is no name: " + good.error().message);
    }
    for (const char* ours : {"control", "device", "iommufd"}) {
      if (memory.name == ours) fields.refuse("name", "must not be control, device or iommufd");
    }
  }
  fields.take("inherited", inherited);
  const bool sized = fields.take_size("size", memory.bytes, !inherited);
  if (inherited && sized) {
    fields.refuse("size", "must not be given with \"inherited\": it has the size that it has");
  }
  if (sized && memory.bytes % page != 0) fields.refuse("size", "must be a multiple of 4096");
  if (!inherited) memory.token = token;
  if (auto done = fields.finish(); !done) return done.error();
  return memory;
}

client::Result<Range> parse_iova(Fields fields) {
  Range range;
  fields.take_address("first", range.first);
  fields.take_address("last", range.last);
  if (range.first > range.last) fields.refuse("last", "must not be below \"first\"");
  if (auto done = fields.finish(); !done) return done.error();
  return range;
}

client::Result<Mapping> parse_mapping(Fields fields, const std::vector<Memory>& memories) {
  Mapping mapping;
  std::string memory;
  std::string rights = "read-write";
  fields.take_address("iova", mapping.iova, true);
  fields.take_size("length", mapping.length, true);
  fields.take_address("offset", mapping.offset);
  if (fields.take("memory", memory, true)) {
    const auto found = std::find_if(memories.begin(), memories.end(),
                                    [&](const Memory& m) { return m.name == memory; });
    if (found == memories.end()) fields.refuse("memory", "must be a name in \"memory\"");
    mapping.memory = static_cast<std::uint32_t>(found - memories.begin());
  }
  fields.take("rights", rights);
  if (rights == "read-write") {
    mapping.rights = right_read | right_write;
  } else if (rights == "read") {
    mapping.rights = right_read;
  } else if (rights == "write") {
    mapping.rights = right_write;
  } else {
    fields.refuse("rights", "must be read, write or read-write");
  }
  if (auto done = fields.finish(); !done) return done.error();
  return mapping;
}

client::Result<std::vector<Memory>> parse_memories(Fields& fields) {
  std::vector<Memory> memories;
  for (auto& object : fields.take_objects("memory")) {
    auto memory = parse_memory(std::move(object), first_memory_token + memories.size());
    if (!memory) return memory.error();
    const bool twice = std::any_of(memories.begin(), memories.end(),
                                   [&](const Memory& other) { return other.name == memory->name; });
    if (twice) fields.refuse("memory", "has '" + memory->name + "' twice");
    memories.push_back(std::move(*memory));
  }
  if (memories.empty()) fields.refuse("memory", "must name at least one memory");
  if (memories.size() > most_memories) fields.refuse("memory", "must name 256 at most");
  return memories;
}

/// What can be told of the mappings before device and kernel say their limits.
client::Result<void> check_mappings(const Config& config, const std::string& file) {
  auto memories = config.memories;
  for (auto& memory : memories) {
    if (memory.token == 0) memory.bytes = UINT64_MAX;  // not known yet
  }
  MappingSet set;
  const Limits limits{{config.iova}, page};
  for (std::size_t i = 0; i < config.mappings.size(); ++i) {
    if (auto good = set.check(config.mappings[i], memories, limits); !good) {
      return client::Error{
          "", file + ": /mappings/" + std::to_string(i) + ": " + good.error().message, EINVAL};
    }
    set.add(config.mappings[i], 0);
  }
  if (set.size() > config.most_mappings) {
    return client::Error{"", file + R"(: /mappings has more than "most-mappings" allows)", EINVAL};
  }
  return {};
}

void parse_keeper(Fields& fields, common::KeeperOptions& keeper) {
  std::string freeze = "auto";
  fields.take("command", keeper.command);
  fields.take("needs", keeper.needs);
  fields.take("optional", keeper.optional);
  fields.take("backend", keeper.backend);
  std::string on_failure = "keep";
  std::vector<std::string> wait_for;
  fields.take("freeze", freeze);
  fields.take("user", keeper.user);
  fields.take("group", keeper.group);
  fields.take("notify", keeper.notify);
  fields.take("on-failure", on_failure);
  fields.take("wait-for", wait_for);
  fields.take_seconds("wait-seconds", keeper.wait_usec);
  fields.take_seconds("prepare-seconds", keeper.prepare_timeout_usec);
  fields.take_seconds("freeze-seconds", keeper.freeze_timeout_usec);
  fields.take_seconds("restore-seconds", keeper.restore_timeout_usec);
  if (auto keep = common::parse_on_failure(on_failure)) {
    keeper.keep_on_failure = *keep;
  } else {
    fields.refuse("on-failure", "must be keep or discard");
  }
  if (auto waits = common::parse_wait_for(wait_for)) {
    keeper.wait_for = std::move(*waits);
  } else {
    fields.refuse("wait-for", "is wrong: " + waits.error().message);
  }
  auto method = common::parse_freeze_method(freeze);
  if (method) {
    keeper.freeze = *method;
  } else {
    fields.refuse("freeze", "is unknown: " + method.error().message);
  }
}

}  // namespace

client::Result<Config> parse_config(std::string_view text, const std::string& file) {
  auto document = Fields::parse(text, file);
  if (!document) return document.error();
  auto& fields = *document;
  Config config;
  if (fields.take("device", config.device, true) && !is_pci_address(config.device)) {
    fields.refuse("device", "must be a PCI address as \"0000:00:05.0\"");
  }
  fields.take("take-from", config.take_from);
  auto memories = parse_memories(fields);
  if (!memories) return memories.error();
  config.memories = std::move(*memories);
  if (auto object = fields.take_object("iova")) {
    auto range = parse_iova(std::move(*object));
    if (!range) return range.error();
    config.iova = *range;
  }
  for (auto& object : fields.take_objects("mappings")) {
    auto mapping = parse_mapping(std::move(object), config.memories);
    if (!mapping) return mapping.error();
    config.mappings.push_back(*mapping);
  }
  std::uint64_t most = config.most_mappings;
  fields.take_count("most-mappings", most, 1, most_slots);
  config.most_mappings = static_cast<std::uint32_t>(most);
  fields.take_seconds("device-wait-seconds", config.device_wait_usec);
  parse_keeper(fields, config.keeper);
  if (auto done = fields.finish(); !done) return done.error();
  if (auto good = check_mappings(config, file); !good) return good.error();
  return config;
}

client::Result<Config> read_config(const std::string& file) {
  auto text = common::read_file(file);
  if (!text) return text.error();
  return parse_config(*text, file);
}

}  // namespace handover::iommu
