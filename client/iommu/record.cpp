// SPDX-License-Identifier: LGPL-2.1-or-later
#include "record.h"

#include <sys/mman.h>
#include <unistd.h>

#include "common/file.h"
#include "common/memory_file.h"

namespace handover::iommu {
namespace {

constexpr std::size_t table_page = 4096;

}  // namespace

Record::~Record() {
  if (!view_.empty()) munmap(view_.data(), view_.size());
}

client::Result<std::span<std::byte>> Record::view() {
  auto bytes = common::size_of(file_.get());
  if (!bytes) return bytes.error();
  void* address = mmap(nullptr, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (address == MAP_FAILED) return common::errno_error("Cannot map the table of mappings");
  view_ = {static_cast<std::byte*>(address), static_cast<std::size_t>(*bytes)};
  return view_;
}

client::Result<void> Record::make(const TableHead& head, const std::vector<Memory>& memories,
                                  std::uint32_t most_mappings) {
  const std::size_t bytes =
      (table_bytes(memories.size(), most_mappings) + table_page - 1) / table_page * table_page;
  auto file = common::make_memory("mappings", bytes);
  if (!file) return file.error();
  file_ = std::move(*file);
  auto mapped = view();
  if (!mapped) return mapped.error();
  head_ = head;
  memories_ = memories;
  writer_ = TableWriter::make(view_, head, memories, most_mappings);
  return {};
}

client::Result<void> Record::load(client::Fd file) {
  file_ = std::move(file);
  auto mapped = view();
  if (!mapped) return mapped.error();
  auto contents = read_table(view_);
  if (!contents) return contents.error();
  head_ = contents->head;
  memories_ = contents->memories;
  mappings_ = MappingSet();
  for (const auto& [mapping, slot] : contents->mappings) mappings_.add(mapping, slot);
  writer_.emplace(view_, *contents);
  return {};
}

void Record::set_head(const TableHead& head) {
  head_ = head;
  writer_->set_head(head);
}

client::Result<void> Record::add(const Mapping& mapping) {
  auto slot = writer_->add(mapping);
  if (!slot) return slot.error();
  mappings_.add(mapping, *slot);
  return {};
}

void Record::remove(std::uint64_t iova) {
  const auto found = mappings_.entries().find(iova);
  if (found == mappings_.entries().end()) return;
  writer_->remove(found->second.second);
  mappings_.remove(iova);
}

}  // namespace handover::iommu
