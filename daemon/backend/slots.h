// SPDX-License-Identifier: LGPL-2.1-or-later
// A text in a memfd. It can be replaced and added to, and a reader finds it whole at any instant.
//
// Other versions of handoverd read this layout: do not change it. At offset 0 stands
// "handover-slots 1 <bytes of a slot>\n"; at offset 4096 begin two slots. A slot is a header, a
// base text, the lines that were added to it, and zeroes. The header is a line of 64 bytes: the
// slot's sequence number, the length of the base, and the checksum of these two. Of the slots whose
// checksum is right, the one with the higher number is valid. A new base goes into the other slot,
// and its header is written last. So if a write stops half-way, the earlier text is still valid.
//
// Before version 1 of this layout the text stood alone at offset 0, followed by zeroes. That is
// read as well.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/error.h"
#include "core/unique_fd.h"

namespace handover::backend {

/// Used by one thread at a time. The memfd never changes its size, so that it can be preserved.
class Slots {
 public:
  /// Writes all of `bytes` at `offset`. Tests use another one.
  using Write = std::function<Result<void>(int fd, std::string_view bytes, std::uint64_t offset)>;

  /// Makes the memfd `name` (CLOEXEC) with `base` in it, and slots of slot_bytes_for(base).
  static Result<Slots> make(const std::string& name, std::string_view base);
  /// The same with slots of `slot_bytes`.
  static Result<Slots> make(const std::string& name, std::string_view base,
                            std::uint64_t slot_bytes, Write write);

  /// At least 256 KiB, and room for a base of twice the length with as many bytes of lines.
  static std::uint64_t slot_bytes_for(std::string_view base);

  [[nodiscard]] int fd() const { return memory_.get(); }
  /// Whether a slot has room for `base` and as much again.
  [[nodiscard]] bool has_ample_room(std::string_view base) const;
  /// Bytes that can still be added.
  [[nodiscard]] std::uint64_t room() const { return slot_bytes_ - end_; }

  /// limit_exceeded if it does not fit; io. After an error the text is the earlier one.
  Result<void> replace(std::string_view base);
  /// The same, by one write.
  Result<void> append(std::string_view lines);

 private:
  Slots(UniqueFd memory, std::uint64_t slot_bytes, Write write)
      : memory_(std::move(memory)), slot_bytes_(slot_bytes), write_(std::move(write)) {}

  Result<void> write_at(std::size_t slot, std::string_view bytes, std::uint64_t offset);

  UniqueFd memory_;
  std::uint64_t slot_bytes_ = 0;
  Write write_;
  std::uint64_t sequence_ = 0;
  std::size_t current_ = 1;
  std::uint64_t end_ = 0;                      ///< of the valid text, in its slot
  std::array<std::uint64_t, 2> written_ = {};  ///< of each slot: behind it are zeroes
};

/// The valid text in the memfd, in this layout or the older one. io; manifest_invalid if neither
/// slot is valid.
Result<std::string> read_slots(int fd);
/// The same of a memfd's contents.
Result<std::string> text_in_slots(std::string_view contents);

}  // namespace handover::backend
