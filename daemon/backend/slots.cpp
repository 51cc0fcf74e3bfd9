// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/slots.h"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>
#include <utility>

#include "backend/memory_file.h"

namespace handover::backend {
namespace {

constexpr std::string_view magic = "handover-slots 1 ";
constexpr std::uint64_t first_slot = 4096;
constexpr std::uint64_t header_bytes = 64;
constexpr std::uint64_t smallest_slot = UINT64_C(256) * 1024;
constexpr std::uint64_t page = 4096;

std::uint64_t slot_offset(std::size_t slot, std::uint64_t slot_bytes) {
  return first_slot + slot * slot_bytes;
}

unsigned long checksum(std::string_view text) {
  // zlib's API is unsigned char; reading chars so is what char's aliasing rule allows.
  return crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

/// What a slot's header says. Numbers have leading zeroes, so that every header is equally long.
struct Header {
  std::uint64_t sequence = 0;
  std::uint64_t base_bytes = 0;
};

std::string header_line(const Header& header) {
  std::array<char, header_bytes + 1> line = {};
  const int numbers = std::snprintf(line.data(), line.size(), "%020llu %020llu ",
                                    static_cast<unsigned long long>(header.sequence),
                                    static_cast<unsigned long long>(header.base_bytes));
  const auto sum = checksum({line.data(), static_cast<std::size_t>(numbers)});
  std::snprintf(line.data() + numbers, line.size() - static_cast<std::size_t>(numbers), "%08lx",
                sum);
  std::string text = line.data();
  text.resize(header_bytes - 1, ' ');
  return text + "\n";
}

std::optional<std::uint64_t> number(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || stop != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<Header> parse_header(std::string_view line) {
  constexpr std::size_t digits = 20;
  if (line.size() < header_bytes) return std::nullopt;
  const auto sequence = number(line.substr(0, digits));
  const auto base_bytes = number(line.substr(digits + 1, digits));
  if (!sequence || !base_bytes) return std::nullopt;
  const Header header{*sequence, *base_bytes};
  if (line.substr(0, header_bytes) != header_line(header)) return std::nullopt;
  return header;
}

std::string_view without_zeroes_behind(std::string_view text) {
  const std::size_t last = text.find_last_not_of('\0');
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

tl::unexpected<Error> does_not_fit(std::uint64_t bytes, std::uint64_t room) {
  return fail(ErrorCode::limit_exceeded, std::to_string(bytes) + " bytes do not fit in the " +
                                             std::to_string(room) +
                                             " that the manifest's memfd has room for");
}

}  // namespace

std::uint64_t Slots::slot_bytes_for(std::string_view base) {
  // Twice what has_ample_room() asks for, so that a growing text needs a new memfd only each time
  // that it has doubled.
  const std::uint64_t wanted = std::max<std::uint64_t>(smallest_slot, 4 * base.size());
  return (wanted + header_bytes + page - 1) / page * page;
}

Result<Slots> Slots::make(const std::string& name, std::string_view base) {
  return make(name, base, slot_bytes_for(base), write_memory_file);
}

Result<Slots> Slots::make(const std::string& name, std::string_view base, std::uint64_t slot_bytes,
                          Write write) {
  auto memory = make_memory_file(name, first_slot + 2 * slot_bytes);
  if (!memory) return fail(memory.error());
  Slots slots(std::move(*memory), slot_bytes, std::move(write));
  const std::string first_line = std::string(magic) + std::to_string(slot_bytes) + "\n";
  if (auto done = slots.write_(slots.fd(), first_line, 0); !done) return fail(done.error());
  if (auto done = slots.replace(base); !done) return fail(done.error());
  return slots;
}

bool Slots::has_ample_room(std::string_view base) const {
  return header_bytes + 2 * static_cast<std::uint64_t>(base.size()) <= slot_bytes_;
}

Result<void> Slots::write_at(std::size_t slot, std::string_view bytes, std::uint64_t offset) {
  written_[slot] = std::max(written_[slot], offset + bytes.size());
  return write_(fd(), bytes, slot_offset(slot, slot_bytes_) + offset);
}

Result<void> Slots::replace(std::string_view base) {
  const std::uint64_t end = header_bytes + base.size();
  if (end > slot_bytes_) return does_not_fit(base.size(), slot_bytes_ - header_bytes);
  const std::size_t other = 1 - current_;
  if (auto done = write_at(other, base, header_bytes); !done) return done;
  // An earlier base or its lines must not be read as lines of this one.
  if (written_[other] > end) {
    const std::string zeroes(written_[other] - end, '\0');
    if (auto done = write_at(other, zeroes, end); !done) return done;
    written_[other] = end;
  }
  const Header header{sequence_ + 1, base.size()};
  if (auto done = write_at(other, header_line(header), 0); !done) return done;
  ++sequence_;
  current_ = other;
  end_ = end;
  return {};
}

Result<void> Slots::append(std::string_view lines) {
  if (lines.size() > room()) return does_not_fit(lines.size(), room());
  if (auto done = write_at(current_, lines, end_); !done) {
    // A part of the lines may be there, and must not be read as one of those that come next.
    (void)write_at(current_, std::string(lines.size(), '\0'), end_);
    return done;
  }
  end_ += lines.size();
  return {};
}

Result<std::string> text_in_slots(std::string_view contents) {
  if (!contents.starts_with(magic)) return std::string(without_zeroes_behind(contents));
  const std::size_t line_end = contents.find('\n');
  const auto slot_bytes = line_end == std::string_view::npos
                              ? std::nullopt
                              : number(contents.substr(magic.size(), line_end - magic.size()));
  std::optional<Header> newest;
  std::string_view text;
  if (slot_bytes && *slot_bytes >= header_bytes && contents.size() >= first_slot &&
      *slot_bytes <= (contents.size() - first_slot) / 2) {
    for (std::size_t slot = 0; slot < 2; ++slot) {
      const auto whole = contents.substr(slot_offset(slot, *slot_bytes), *slot_bytes);
      const auto header = parse_header(whole);
      if (!header || header->base_bytes > *slot_bytes - header_bytes) continue;
      if (newest && newest->sequence > header->sequence) continue;
      newest = header;
      text = whole.substr(header_bytes);
    }
  }
  if (!newest) {
    return fail(ErrorCode::manifest_invalid, "neither slot of the manifest's memfd is valid");
  }
  // A base that ends in zeroes keeps them.
  const auto all = std::max<std::size_t>(newest->base_bytes, without_zeroes_behind(text).size());
  return std::string(text.substr(0, all));
}

Result<std::string> read_slots(int fd) {
  auto contents = read_memory_file(fd);
  if (!contents) return contents;
  return text_in_slots(*contents);
}

}  // namespace handover::backend
