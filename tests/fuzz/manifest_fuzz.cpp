// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever lies in preserved memory: parse_manifest() must refuse it or read it, and what it reads
// must come back the same.
#include <zlib.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "core/manifest.h"
#include "core/text.h"
#include "require.h"

namespace {

using namespace handover;

void check(std::string_view text) {
  const auto manifest = parse_manifest(text);
  if (!manifest) {
    require(manifest.error().code == ErrorCode::manifest_invalid, "the error has its own code");
    require(!manifest.error().message.empty(), "the error says something");
    require(is_utf8(manifest.error().message), "the error can be sent over D-Bus");
    return;
  }
  const auto again = parse_manifest(serialize(*manifest));
  require(again.has_value(), "what was read can be written and read");
  require(*again == *manifest, "and is the same");
}

/// Nothing that is mutated gets past the checksum, so the JSON is tried with a right one too.
std::string wrapped(std::string_view body) {
  std::array<char, 64> line{};
  std::snprintf(line.data(), line.size(), "handover-manifest 1 %zu %08lx\n", body.size(),
                static_cast<unsigned long>(
                    crc32_z(0, reinterpret_cast<const unsigned char*>(body.data()), body.size())));
  return line.data() + std::string(body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  const auto newline = text.find('\n');
  check(wrapped(newline == std::string_view::npos ? text : text.substr(newline + 1)));
  return 0;
}
