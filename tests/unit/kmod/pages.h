// SPDX-License-Identifier: LGPL-2.1-or-later
/// Table pages of the module's serialized form, to be written well or badly. Whoever reads a byte
/// before or after one faults.
#pragma once

#include <cstddef>
#include <cstring>

#include "c_format.h"

namespace handover {

class Page {
 public:
  /// An empty one, without a CRC.
  explicit Page(ho_table_type type);
  Page(const Page& other);
  Page(Page&& other) noexcept;
  Page& operator=(const Page&) = delete;
  Page& operator=(Page&&) = delete;
  ~Page();

  u8* data() { return bytes_; }
  const u8* data() const { return bytes_; }

  ho_table_head& head() { return *reinterpret_cast<ho_table_head*>(bytes_); }
  ho_root& root() { return *reinterpret_cast<ho_root*>(bytes_); }

  /// Record number `i`. Room for it there must be, count it may not.
  template <typename Record>
  Record& record(std::size_t i) {
    return reinterpret_cast<Record*>(bytes_ + sizeof(ho_table_head))[i];
  }

  template <typename Record>
  Page& add(const Record& record) {
    std::memcpy(bytes_ + sizeof(ho_table_head) + head().count * sizeof(Record), &record,
                sizeof(Record));
    ++head().count;
    return *this;
  }

  /// With the right CRC for what is on it now.
  Page& end() {
    ho_table_end(bytes_);
    return *this;
  }

 private:
  u8* bytes_;
};

}  // namespace handover
