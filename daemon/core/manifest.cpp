// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/manifest.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <utility>

#include "core/json_fields.h"
#include "core/names.h"
#include "core/text.h"

namespace handover {

namespace {

constexpr std::string_view magic = "handover-manifest ";
constexpr std::size_t checksum_digits = 8;

constexpr std::array all_phases = {
    ClientPhase::idle,      ClientPhase::preparing, ClientPhase::prepared,
    ClientPhase::freezing,  ClientPhase::frozen,    ClientPhase::thawing,
    ClientPhase::restoring, ClientPhase::restored,  ClientPhase::given_up};

std::string checksum(std::string_view text) {
  const auto value = static_cast<std::uint32_t>(
      // zlib's API is unsigned char; reading chars so is what char's aliasing rule allows.
      crc32_z(0, reinterpret_cast<const unsigned char*>(text.data()), text.size()));
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (int shift = 28; shift >= 0; shift -= 4) out += digits[(value >> shift) & 0xFU];
  return out;
}

// The JSON keeps uid and unit side by side with the record's own fields.

nlohmann::json to_json(const TokenRecord& token) {
  nlohmann::json json = token.extra;
  json["token"] = token.token;
  json["kind"] = token.kind;
  json["bytes"] = token.bytes;
  json["retrieved"] = token.retrieved;
  if (!token.backend.empty()) json["backend"] = token.backend;
  return json;
}

nlohmann::json to_json(const SessionRecord& session) {
  nlohmann::json json = session.extra;
  json["id"] = session.id;
  json["name"] = session.name;
  json["backend"] = session.backend;
  json["client"] = session.client;
  json["uid"] = session.owner.uid;
  json["unit"] = session.owner.unit;
  json["incoming"] = session.incoming;
  if (session.ending) json["ending"] = true;
  if (session.opened) json["opened"] = true;
  nlohmann::json& tokens = json["tokens"] = nlohmann::json::array();
  for (const TokenRecord& token : session.tokens) tokens.push_back(to_json(token));
  return json;
}

nlohmann::json to_json(const ClientRecord& client) {
  nlohmann::json json = client.extra;
  json["name"] = client.name;
  json["bus_name"] = client.bus_name;
  json["path"] = client.path;
  json["uid"] = client.owner.uid;
  json["unit"] = client.owner.unit;
  json["needs"] = client.needs;
  json["required"] = client.required;
  json["prepare_timeout_usec"] = client.prepare_timeout_usec;
  json["freeze_timeout_usec"] = client.freeze_timeout_usec;
  json["restore_timeout_usec"] = client.restore_timeout_usec;
  json["phase"] = to_string(client.phase);
  return json;
}

nlohmann::json to_json(const UpdateRecord& update) {
  nlohmann::json json = update.extra;
  json["id"] = update.id;
  json["mode"] = update.mode;
  json["kernel"] = update.kernel;
  json["kernel_release"] = update.kernel_release;
  json["from_release"] = update.from_release;
  json["requested_by"] = update.requested_by;
  json["timeline"] = to_json(update.timeline);
  if (!update.losses.empty()) json["losses"] = update.losses;
  return json;
}

std::optional<ClientPhase> phase_from_string(std::string_view text) {
  for (const ClientPhase phase : all_phases) {
    if (to_string(phase) == text) return phase;
  }
  return std::nullopt;
}

void check_field_name(FieldReader& reader, std::string_view field, const std::string& name) {
  if (auto checked = check_name(name); !checked) {
    reader.refuse(field, "is no name: " + checked.error().message);
  }
}

// Each of these leaves what is wrong in its reader; the caller passes it on.

TokenRecord token_from(FieldReader& reader) {
  TokenRecord token;
  reader.required("token", token.token);
  reader.required("kind", token.kind);
  reader.required("bytes", token.bytes);
  reader.required("retrieved", token.retrieved);
  reader.optional("backend", token.backend);
  token.extra = reader.rest();
  return token;
}

/// Reads an array of objects by `read`; `identity` must differ from element to element.
template <typename T, typename Read, typename Identity>
void read_list(FieldReader& parent, std::string_view field, std::vector<T>& out, Read read,
               Identity identity) {
  std::vector<nlohmann::json> elements;
  parent.required(field, elements);
  std::set<decltype(identity(std::declval<const T&>()))> seen;
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const std::string pointer = child_pointer(parent.pointer(field), i);
    FieldReader reader(std::move(elements[i]), pointer);
    T element = read(reader);
    if (reader.error()) return parent.refuse(*reader.error());
    if (!seen.insert(identity(element)).second) {
      return parent.refuse(FieldError{pointer, "is there twice"});
    }
    out.push_back(std::move(element));
  }
}

SessionRecord session_from(FieldReader& reader) {
  SessionRecord session;
  reader.required("id", session.id);
  reader.required("name", session.name);
  reader.required("backend", session.backend);
  reader.required("client", session.client);
  reader.required("uid", session.owner.uid);
  reader.required("unit", session.owner.unit);
  reader.required("incoming", session.incoming);
  reader.optional("ending", session.ending);
  reader.optional("opened", session.opened);
  read_list(reader, "tokens", session.tokens, token_from,
            [](const TokenRecord& token) { return token.token; });
  check_field_name(reader, "name", session.name);
  if (!session.client.empty()) check_field_name(reader, "client", session.client);
  session.extra = reader.rest();
  return session;
}

ClientRecord client_from(FieldReader& reader) {
  ClientRecord client;
  std::string phase;
  reader.required("name", client.name);
  reader.required("bus_name", client.bus_name);
  reader.required("path", client.path);
  reader.required("uid", client.owner.uid);
  reader.required("unit", client.owner.unit);
  reader.required("needs", client.needs);
  reader.required("required", client.required);
  reader.required("prepare_timeout_usec", client.prepare_timeout_usec);
  reader.required("freeze_timeout_usec", client.freeze_timeout_usec);
  reader.required("restore_timeout_usec", client.restore_timeout_usec);
  reader.required("phase", phase);
  check_field_name(reader, "name", client.name);
  if (const auto known = phase_from_string(phase)) {
    client.phase = *known;
  } else {
    reader.refuse("phase", "is unknown: " + in_quotes(phase));
  }
  client.extra = reader.rest();
  return client;
}

UpdateRecord update_from(FieldReader& reader) {
  UpdateRecord update;
  reader.required("id", update.id);
  reader.required("mode", update.mode);
  reader.required("kernel", update.kernel);
  reader.required("kernel_release", update.kernel_release);
  reader.required("from_release", update.from_release);
  reader.required("requested_by", update.requested_by);
  if (const auto json = reader.take("timeline"); !json) {
    reader.refuse("timeline", "is missing");
  } else if (auto timeline = timeline_from_json(*json); !timeline) {
    reader.refuse("timeline", "is bad: " + timeline.error().message);
  } else {
    update.timeline = std::move(*timeline);
  }
  reader.optional("losses", update.losses);
  update.extra = reader.rest();
  return update;
}

tl::unexpected<Error> invalid(const std::string& why) {
  return fail(ErrorCode::manifest_invalid, "the manifest " + why);
}

/// The JSON that the first line promises, its checksum verified.
Result<std::string_view> unwrap(std::string_view text) {
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
  if (version != std::to_string(Manifest::version)) {
    return invalid("is of version " + in_quotes(version) + "; this daemon reads version " +
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
  text = text.substr(0, length);
  if (const std::string computed = checksum(text); computed != line) {
    return invalid("is garbled: its checksum is " + computed + ", not " + printable(line));
  }
  return text;
}

}  // namespace

bool may_use(const Owner& owner, const Owner& caller) { return caller.uid == 0 || caller == owner; }

const std::string& backend_of(const SessionRecord& session, const TokenRecord& token) {
  return token.backend.empty() ? session.backend : token.backend;
}

std::string backends_of(const SessionRecord& session) {
  std::set<std::string> names;
  for (const TokenRecord& token : session.tokens) names.insert(backend_of(session, token));
  if (names.empty()) names.insert(session.backend);
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : "+") + name;
  return text;
}

std::string serialize(const Manifest& manifest) {
  nlohmann::json json = manifest.extra;
  json["state"] = to_string(manifest.state);
  json["generation"] = manifest.generation;
  json["boot_id"] = manifest.boot_id;
  json["next_id"] = manifest.next_id;
  nlohmann::json& sessions = json["sessions"] = nlohmann::json::array();
  for (const SessionRecord& session : manifest.sessions) sessions.push_back(to_json(session));
  nlohmann::json& clients = json["clients"] = nlohmann::json::array();
  for (const ClientRecord& client : manifest.clients) clients.push_back(to_json(client));
  json["update"] = manifest.update ? to_json(*manifest.update) : nlohmann::json(nullptr);

  if (!manifest.resting.empty()) json["resting"] = manifest.resting;

  const std::string body = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string text(magic);
  text += std::to_string(Manifest::version) + " " + std::to_string(body.size()) + " " +
          checksum(body) + "\n";
  return text + body;
}

Result<Manifest> parse_manifest(std::string_view text) {
  const auto body = unwrap(text);
  if (!body) return fail(body.error());
  auto json = parse_json(*body, ErrorCode::manifest_invalid);
  if (!json) return invalid("is no JSON: " + json.error().message);

  Manifest manifest;
  FieldReader reader(std::move(*json), "");
  std::string state;
  reader.required("state", state);
  reader.required("generation", manifest.generation);
  reader.required("boot_id", manifest.boot_id);
  reader.required("next_id", manifest.next_id);
  read_list(reader, "sessions", manifest.sessions, session_from,
            [](const SessionRecord& session) { return session.name; });
  read_list(reader, "clients", manifest.clients, client_from,
            [](const ClientRecord& client) { return client.name; });
  reader.optional("resting", manifest.resting);
  if (auto update = reader.take("update"); update && !update->is_null()) {
    FieldReader update_reader(std::move(*update), "/update");
    manifest.update = update_from(update_reader);
    if (update_reader.error()) reader.refuse(*update_reader.error());
  }
  if (const auto known = state_from_string(state)) {
    manifest.state = *known;
  } else {
    reader.refuse("state", "is unknown: " + in_quotes(state));
  }
  std::set<std::uint64_t> ids;
  for (const SessionRecord& session : manifest.sessions) {
    if (!ids.insert(session.id).second) {
      reader.refuse("sessions", "have the id " + std::to_string(session.id) + " twice");
    }
  }
  if (reader.error()) {
    const FieldError& error = *reader.error();
    return invalid("has a bad field: " +
                   (error.pointer.empty() ? std::string("/") : printable(error.pointer)) + " " +
                   error.message);
  }
  manifest.extra = reader.rest();
  return manifest;
}

std::string_view to_string(ClientPhase phase) {
  switch (phase) {
    case ClientPhase::idle:
      return "idle";
    case ClientPhase::preparing:
      return "preparing";
    case ClientPhase::prepared:
      return "prepared";
    case ClientPhase::freezing:
      return "freezing";
    case ClientPhase::frozen:
      return "frozen";
    case ClientPhase::thawing:
      return "thawing";
    case ClientPhase::restoring:
      return "restoring";
    case ClientPhase::restored:
      return "restored";
    case ClientPhase::given_up:
      return "given_up";
  }
  return "unknown";
}

}  // namespace handover
