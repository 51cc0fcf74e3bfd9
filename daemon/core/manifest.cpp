// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/manifest.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>

#include "core/checksum.h"
#include "core/manifest_change.h"
#include "core/manifest_fields.h"
#include "core/text.h"

namespace handover {

namespace {

constexpr std::string_view magic = "handover-manifest ";

tl::unexpected<Error> invalid(const std::string& why) {
  return fail(ErrorCode::manifest_invalid, "the manifest " + why);
}

/// What the first line promises, its checksum verified.
struct Unwrapped {
  std::string_view json;
  std::string_view changes;  ///< what follows; nothing that version 1 wrote
};

Result<Unwrapped> unwrap(std::string_view text) {
  if (text.empty()) return invalid("is empty");
  if (!text.starts_with(magic)) {
    return invalid(magic.starts_with(text) ? "is cut in its first line"
                                           : "does not begin with 'handover-manifest'");
  }
  text.remove_prefix(magic.size());
  // Longest good line: version, 20 digits of length, checksum.
  const std::size_t newline = text.substr(0, 64).find('\n');
  if (newline == std::string_view::npos) return invalid("is cut in its first line");
  std::string_view line = text.substr(0, newline);
  text.remove_prefix(newline + 1);

  const auto next_word = [&line] {
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), word.size() + 1));
    return word;
  };
  const std::string_view version = next_word();
  const bool first_version = version == "1";
  if (!first_version && version != std::to_string(Manifest::version)) {
    return invalid("is of version " + in_quotes(version) + "; this daemon reads versions 1 to " +
                   std::to_string(Manifest::version));
  }
  const std::string_view length_word = next_word();
  std::size_t length = 0;
  const char* const end = length_word.data() + length_word.size();
  const auto [stop, problem] = std::from_chars(length_word.data(), end, length);
  if (problem != std::errc() || stop != end || length_word != std::to_string(length)) {
    return invalid("has a garbled length in its first line: " + in_quotes(length_word));
  }
  if (line.size() != checksum_digits) {
    return invalid("has a garbled checksum in its first line: " + in_quotes(line));
  }
  if (text.size() < length) {
    return invalid("is cut: it has " + std::to_string(text.size()) + " of " +
                   std::to_string(length) + " bytes");
  }
  const std::string_view json = text.substr(0, length);
  if (const std::string computed = checksum(json); computed != line) {
    return invalid("is garbled: its checksum is " + computed + ", not " + printable(line));
  }
  return Unwrapped{json, first_version ? std::string_view{} : text.substr(length)};
}

}  // namespace

bool may_use(const Owner& owner, const Owner& caller) { return caller.uid == 0 || caller == owner; }

Keeper keeper_of(const SessionRecord& session, const TokenRecord& token) {
  return token.keeper.value_or(session.keeper);
}

std::set<Keeper> keepers_of(const SessionRecord& session) {
  std::set<Keeper> keepers;
  for (const TokenRecord& token : session.tokens) keepers.insert(keeper_of(session, token));
  if (keepers.empty()) keepers.insert(session.keeper);
  return keepers;
}

std::string serialize(const Manifest& manifest) {
  std::string body;
  append_json(body, manifest);
  body += '\n';  // the changes are lines of their own
  std::string text(magic);
  text += std::to_string(Manifest::version) + " " + std::to_string(body.size()) + " " +
          checksum(body) + "\n";
  return text + body;
}

Result<Manifest> parse_manifest(std::string_view text) {
  const auto unwrapped = unwrap(text);
  if (!unwrapped) return fail(unwrapped.error());
  auto json = parse_json(unwrapped->json, ErrorCode::manifest_invalid);
  if (!json) return invalid("is no JSON: " + json.error().message);

  Manifest manifest;
  FieldReader reader(std::move(*json), "");
  fields(reader, manifest);
  std::set<std::uint64_t> ids;
  for (const SessionRecord& session : manifest.sessions) {
    if (!ids.insert(session.id).second) {
      reader.refuse("sessions", "have the id " + std::to_string(session.id) + " twice");
    }
  }
  if (reader.error()) return invalid("has a bad field: " + describe(*reader.error()));
  apply_lines(manifest, unwrapped->changes);
  return manifest;
}

}  // namespace handover
