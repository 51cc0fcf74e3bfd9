// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/unpack.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "system/trampoline.h"

namespace handover::system {
namespace {

struct CloseArchive {
  void operator()(struct archive* reader) const { ::archive_read_free(reader); }
};
using Archive = std::unique_ptr<struct archive, CloseArchive>;

tl::unexpected<Error> archive_error(struct archive* reader) {
  const char* text = ::archive_error_string(reader);
  return fail(ErrorCode::io,
              std::string("cannot unpack: ") + (text != nullptr ? text : "no reason given"));
}

/// The filter that reads the source, behind those that unpack (archive_filter_bytes()).
constexpr int of_the_source = -1;

std::uint64_t taken_by(struct archive* reader) {
  const auto bytes = ::archive_filter_bytes(reader, of_the_source);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

la_ssize_t next_piece(struct archive* /*reader*/, void* source, const void** piece) {
  const auto bytes = (*static_cast<std::function<std::string_view()>*>(source))();
  *piece = bytes.data();
  return static_cast<la_ssize_t>(bytes.size());
}

}  // namespace

bool is_compressed(std::string_view bytes) {
  using namespace std::string_view_literals;
  // The same table as the kernel's own lib/decompress.c, less LZO.
  constexpr std::array magics = {"\x1f\x8b"sv,
                                 "BZh"sv,
                                 "\x5d\0\0"sv,
                                 "\xfd"
                                 "7zXZ\0"sv,
                                 "\x02\x21\x4c\x18"sv,
                                 "\x04\x22\x4d\x18"sv,
                                 "\x28\xb5\x2f\xfd"sv};
  return std::any_of(magics.begin(), magics.end(),
                     [&](std::string_view magic) { return bytes.starts_with(magic); });
}

Result<std::uint64_t> unpack(std::string_view compressed, std::uint64_t limit,
                             const std::function<void(std::string_view)>& sink) {
  std::uint64_t taken = 0;
  return unpack([&compressed] { return std::exchange(compressed, {}); }, limit, sink, taken);
}

Result<std::uint64_t> unpack(const std::function<std::string_view()>& source, std::uint64_t limit,
                             const std::function<void(std::string_view)>& sink,
                             std::uint64_t& taken) {
  taken = 0;
  const Archive reader(::archive_read_new());
  if (!reader) return fail(ErrorCode::io, "cannot unpack: out of memory", ENOMEM);
  // Not archive_read_support_filter_all(): some of its filters run programs from PATH.
  ::archive_read_support_filter_gzip(reader.get());
  ::archive_read_support_filter_bzip2(reader.get());
  ::archive_read_support_filter_lzma(reader.get());
  ::archive_read_support_filter_xz(reader.get());
  ::archive_read_support_filter_lz4(reader.get());
  ::archive_read_support_filter_zstd(reader.get());
  ::archive_read_support_format_raw(reader.get());

  auto next = source;
  struct archive_entry* entry = nullptr;
  if (::archive_read_open(reader.get(), &next, nullptr, trampoline<next_piece, la_ssize_t{-1}>,
                          nullptr) != ARCHIVE_OK ||
      ::archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
    return archive_error(reader.get());
  }
  std::uint64_t total = 0;
  for (;;) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int result = ::archive_read_data_block(reader.get(), &block, &size, &offset);
    taken = taken_by(reader.get());
    if (result == ARCHIVE_EOF) return total;
    if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return archive_error(reader.get());
    total += size;
    if (total > limit) {
      return fail(ErrorCode::io,
                  "cannot unpack: it grows beyond " + std::to_string(limit) + " bytes");
    }
    sink(std::string_view(static_cast<const char*>(block), size));
  }
}

}  // namespace handover::system
