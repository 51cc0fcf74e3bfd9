// SPDX-License-Identifier: LGPL-2.1-or-later
// The table of mappings in a memfd: made, found again, and kept true while mappings come and go.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mapping.h"
#include "table.h"

namespace handover::iommu {

class Record {
 public:
  Record() = default;
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record();

  client::Result<void> make(const TableHead& head, const std::vector<Memory>& memories,
                            std::uint32_t most_mappings);
  /// Refuses a damaged table.
  client::Result<void> load(client::Fd file);

  [[nodiscard]] int file() const { return file_.get(); }
  [[nodiscard]] const TableHead& head() const { return head_; }
  [[nodiscard]] const std::vector<Memory>& memories() const { return memories_; }
  [[nodiscard]] const MappingSet& mappings() const { return mappings_; }

  void set_head(const TableHead& head);
  client::Result<void> add(const Mapping& mapping);
  void remove(std::uint64_t iova);

 private:
  client::Result<std::span<std::byte>> view();

  client::Fd file_;
  std::span<std::byte> view_;
  std::optional<TableWriter> writer_;
  TableHead head_;
  std::vector<Memory> memories_;
  MappingSet mappings_;
};

}  // namespace handover::iommu
