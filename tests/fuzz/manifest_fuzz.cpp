// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever lies in preserved memory: parse_manifest() must refuse it or read it, with the changes
// behind it, and what it reads must come back the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/checksum.h"
#include "core/manifest.h"
#include "require.h"
#include "support/utf8.h"

namespace {

using namespace handover;

void check(std::string_view text) {
  const auto manifest = parse_manifest(text);
  if (!manifest) {
    require(manifest.error().code == ErrorCode::manifest_invalid, "the error has its own code");
    require(!manifest.error().message.empty(), "the error says something");
    require(test::is_utf8(manifest.error().message), "the error can be sent over D-Bus");
    return;
  }
  const auto again = parse_manifest(serialize(*manifest));
  require(again.has_value(), "what was read can be written and read");
  require(*again == *manifest, "and is the same");
}

/// Nothing that is mutated gets past the checksums, so the JSON is tried with right ones, too: of
/// `text` without its first line, the first line as the manifest and each further one as a change.
std::string wrapped(std::string_view text) {
  if (const auto newline = text.find('\n'); newline != std::string_view::npos) {
    text.remove_prefix(newline + 1);
  }
  const auto next_line = [&text] {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() == text.size() ? line.size() : line.size() + 1);
    return line;
  };
  const auto base = next_line();
  std::string out = "handover-manifest 2 " + std::to_string(base.size()) + " " + checksum(base) +
                    "\n" + std::string(base);
  const auto manifest = parse_manifest(out);
  std::uint64_t sequence = manifest ? manifest->sequence : 0;
  while (!text.empty()) {
    auto json = next_line();
    if (const auto brace = json.find('{'); brace != std::string_view::npos) {
      json.remove_prefix(brace);
    }
    out += "+" + std::to_string(++sequence) + " " + std::to_string(json.size()) + " " +
           checksum(json) + " " + std::string(json) + "\n";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  check(wrapped(text));
  return 0;
}
