// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/manifest.h"

#include <gtest/gtest.h>

#include <set>

#include "core/checksum.h"
#include "core/manifest_change.h"
#include "manifests.h"
#include "support/utf8.h"

namespace handover {
namespace {

using nlohmann::json;

using test::body_of;
using test::fixture;
using test::full;
using test::full_of_version_1;
using test::wrapped;

void expect_refused(const std::string& text, const std::string& word) {
  const auto manifest = parse_manifest(text);
  ASSERT_FALSE(manifest) << text;
  EXPECT_EQ(manifest.error().code, ErrorCode::manifest_invalid);
  EXPECT_TRUE(test::is_utf8(manifest.error().message));
  EXPECT_NE(manifest.error().message.find(word), std::string::npos)
      << "'" << word << "' is not in: " << manifest.error().message;
}

TEST(Manifest, ComesBackAsItWas) {
  for (const Manifest& manifest : {Manifest{}, full()}) {
    const auto back = parse_manifest(serialize(manifest));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, manifest);
    EXPECT_EQ(serialize(*back), serialize(manifest));
  }
}

TEST(Manifest, ComesBackInEveryStateAndPhase) {
  Manifest manifest = full();
  for (const State state : all_values<State>()) {
    manifest.state = state;
    EXPECT_EQ(parse_manifest(serialize(manifest)).value().state, state);
  }
  std::set<std::string_view> names;
  for (int phase = 0; phase <= static_cast<int>(ClientPhase::given_up); ++phase) {
    manifest.clients[0].phase = static_cast<ClientPhase>(phase);
    EXPECT_EQ(parse_manifest(serialize(manifest)).value(), manifest);
    names.insert(to_string(manifest.clients[0].phase));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(ClientPhase::given_up) + 1);
}

// The bytes that each version wrote, kept: a kernel update may bring another handoverd along, which
// must read what the other sealed. If these fail, the format has changed: raise Manifest::version,
// read the old ones, too, and keep these files.
TEST(Manifest, ReadsTheBytesOfVersion1) {
  const auto manifest = parse_manifest(fixture("manifest-v1.txt"));
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(*manifest, full_of_version_1());
}

TEST(Manifest, ReadsAndWritesTheBytesOfVersion2) {
  const std::string text = fixture("manifest-v2.txt");
  const auto manifest = parse_manifest(text);
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(*manifest, full());
  EXPECT_EQ(serialize(full()), text);
}

TEST(Manifest, OfVersion1HasNoChangesBehindIt) {
  const std::string body = body_of(full_of_version_1()).dump();
  const std::string line = serialize({ClientGone{"db"}}, 1);
  EXPECT_EQ(parse_manifest(wrapped(body, "1") + line).value(), full_of_version_1());
  EXPECT_EQ(parse_manifest(wrapped(body, "2") + line)->clients.size(), 1U);
}

TEST(Manifest, IsRefusedCutAtEveryByte) {
  const std::string text = serialize(full());
  for (std::size_t length = 0; length < text.size(); ++length) {
    const auto manifest = parse_manifest(std::string_view(text).substr(0, length));
    ASSERT_FALSE(manifest) << length;
    ASSERT_EQ(manifest.error().code, ErrorCode::manifest_invalid);
    const std::string& message = manifest.error().message;
    ASSERT_TRUE(message.find("cut") != std::string::npos ||
                message.find("empty") != std::string::npos)
        << length << ": " << message;
  }
}

TEST(Manifest, IsRefusedWithAnyBitOfAnyByteFlipped) {
  const std::string text = serialize(full());
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      std::string garbled = text;
      garbled[at] = static_cast<char>(static_cast<unsigned char>(garbled[at]) ^ (1U << bit));
      const auto manifest = parse_manifest(garbled);
      ASSERT_FALSE(manifest) << "byte " << at << ", bit " << bit;
      ASSERT_EQ(manifest.error().code, ErrorCode::manifest_invalid);
      ASSERT_TRUE(test::is_utf8(manifest.error().message));
    }
  }
}

TEST(Manifest, AByteMissingOrInsertedAnywhereIsRefused) {
  const std::string text = serialize(full());
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string shorter = text;
    shorter.erase(at, 1);
    ASSERT_FALSE(parse_manifest(shorter)) << at;
    std::string longer = text;
    longer.insert(at, 1, '0');
    ASSERT_FALSE(parse_manifest(longer)) << at;
  }
}

TEST(Manifest, IgnoresWhatFollows) {
  const std::string text = serialize(full());
  EXPECT_EQ(parse_manifest(text + std::string(4096, '\0')).value(), full());
  EXPECT_EQ(parse_manifest(text + text).value(), full());
}

TEST(Manifest, SaysWhatIsWrongWithItsFirstLine) {
  const std::string body = body_of(full()).dump();
  const std::string length = std::to_string(body.size());
  const std::string crc = checksum(body);
  expect_refused("", "empty");
  expect_refused("hello", "does not begin");
  expect_refused("handover", "cut");
  expect_refused("handover-manifest 2 " + std::string(1000, '1'), "cut in its first line");
  expect_refused("handover-manifest 3 " + length + " " + crc + "\n" + body, "version '3'");
  expect_refused("handover-manifest 01 " + length + " " + crc + "\n" + body, "version '01'");
  expect_refused("handover-manifest  " + length + " " + crc + "\n" + body, "version ''");
  expect_refused("handover-manifest 2 x" + length + " " + crc + "\n" + body, "length");
  expect_refused("handover-manifest 2 0" + length + " " + crc + "\n" + body, "length");
  expect_refused("handover-manifest 2 -5 " + crc + "\n" + body, "length");
  expect_refused("handover-manifest 2 99999999999999999999 " + crc + "\n" + body, "length");
  expect_refused("handover-manifest 2 18446744073709551615 " + crc + "\n" + body, "cut");
  expect_refused("handover-manifest 2 " + length + "\n" + body, "checksum");
  expect_refused("handover-manifest 2 " + length + " 123\n" + body, "checksum");
  expect_refused("handover-manifest 2 " + length + " " + crc + " \n" + body, "checksum");
  expect_refused("handover-manifest 2 " + length + " 00000000\n" + body, "checksum is " + crc);
}

TEST(Manifest, ChecksWhatTheChecksumVouchesFor) {
  expect_refused(wrapped(""), "no JSON");
  expect_refused(wrapped("{"), "no JSON");
  expect_refused(wrapped("[]"), "must be an object");
  expect_refused(wrapped("null"), "must be an object");
  expect_refused(wrapped("{\"state\": \"\xFF\"}"), "no JSON");
  expect_refused(wrapped(std::string(100'000, '[')), "nested");
  expect_refused(wrapped("{}"), "/state is missing");

  const auto with = [](const char* pointer, const json& value) {
    json body = body_of(full());
    body[json::json_pointer(pointer)] = value;
    return wrapped(body.dump());
  };
  ASSERT_TRUE(parse_manifest(with("/generation", 5)));
  expect_refused(with("/state", "asleep"), "/state is unknown: 'asleep'");
  expect_refused(with("/state", 1), "/state must be a string");
  expect_refused(with("/generation", -1), "/generation");
  expect_refused(with("/generation", 1.5), "/generation");
  expect_refused(with("/sessions", json::object()), "/sessions must be an array");
  expect_refused(with("/sessions/0", 1), "/sessions/0 must be an object");
  expect_refused(with("/sessions/0/uid", UINT64_C(1) << 32), "/sessions/0/uid");
  expect_refused(with("/sessions/0/name", "a/b"), "/sessions/0/name is no name");
  expect_refused(with("/sessions/0/name", ""), "/sessions/0/name is no name");
  expect_refused(with("/sessions/0/client", "a/b"), "/sessions/0/client is no name");
  expect_refused(with("/sessions/1/name", "db-primary"), "/sessions/1 is there twice");
  expect_refused(with("/sessions/1/id", 9), "id 9 twice");
  expect_refused(with("/sessions/0/tokens/1/token", 1), "/sessions/0/tokens/1 is there twice");
  expect_refused(with("/sessions/0/tokens/0/retrieved", 0), "/sessions/0/tokens/0/retrieved");
  expect_refused(with("/clients/0/name", ".."), "/clients/0/name is no name");
  expect_refused(with("/clients/1/name", "db"), "/clients/1 is there twice");
  expect_refused(with("/clients/0/needs/0", 7), "/clients/0/needs/0 must be a string");
  expect_refused(with("/clients/0/phase", "bored"), "/clients/0/phase is unknown: 'bored'");
  expect_refused(with("/update", 1), "/update must be an object");
  expect_refused(with("/update/timeline", 1), "/update/timeline must be an object");
  expect_refused(with("/update/timeline/marks/sealed", "x"),
                 "/update/timeline/marks/sealed must be a whole number");
}

/// Every JSON pointer to a field in `value`, objects in arrays included.
void collect_fields(const json& value, const std::string& at, std::vector<std::string>& out) {
  if (value.is_object()) {
    for (const auto& [name, inner] : value.items()) {
      std::string pointer = at;
      pointer += "/";
      pointer += name;
      out.push_back(pointer);
      collect_fields(inner, pointer, out);
    }
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      collect_fields(value[i], at + "/" + std::to_string(i), out);
    }
  }
}

TEST(Manifest, EveryFieldMissingOrOfAnotherTypeIsJudged) {
  const json body = body_of(full());
  std::vector<std::string> fields;
  collect_fields(body, "", fields);
  // These may be left out; of marks and clients there may be any.
  const auto optional = [](const std::string& field) {
    static const std::set<std::string> names = {"cgroup",   "ending", "degraded", "opened",
                                                "quiesced", "losses", "overruled"};
    return field == "/update" || field == "/resting" || field == "/config" ||
           field == "/sequence" || field == "/sessions/0/tokens/0/backend" ||
           field == "/clients/1/left_out" || field == "/update/left_out" ||
           field.starts_with("/update/timeline/marks") ||
           field.starts_with("/update/timeline/clients") ||
           names.contains(field.substr(field.rfind('/') + 1));
  };
  std::size_t missing = 0;
  for (const std::string& field : fields) {
    json cut = body;
    const auto slash = field.rfind('/');
    cut[json::json_pointer(field.substr(0, slash))].erase(field.substr(slash + 1));
    const auto parsed = parse_manifest(wrapped(cut.dump()));
    EXPECT_EQ(parsed.has_value(), optional(field)) << field;
    if (!parsed) {
      EXPECT_NE(parsed.error().message.find(field.substr(slash)), std::string::npos)
          << field << ": " << parsed.error().message;
      ++missing;
    }
    json wrong = body;
    wrong[json::json_pointer(field)] = json::array({1.5});
    EXPECT_FALSE(parse_manifest(wrapped(wrong.dump()))) << field;
  }
  EXPECT_GT(missing, 40U);
}

TEST(Manifest, KeepsTheFieldsOfANewerVersion) {
  json body = body_of(full());
  body["new"] = {{"a", {1, 2}}};
  body["sessions"][0]["new"] = "session";
  body["sessions"][0]["tokens"][0]["new"] = nullptr;
  body["clients"][1]["new"] = 1.5;
  body["update"]["new"] = true;
  body["update"]["timeline"]["new"] = 1;
  body["update"]["timeline"]["marks"]["new"] = 2;
  body["update"]["timeline"]["clients"]["db"]["new"] = 3;
  const auto manifest = parse_manifest(wrapped(body.dump()));
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(body_of(*manifest), body);
  EXPECT_EQ(manifest->sessions[0].extra, (json{{"new", "session"}}));
  EXPECT_EQ(parse_manifest(serialize(*manifest)).value(), *manifest);
}

TEST(Manifest, SaysWhereATokenIsOnlyIfItIsNotWhereItsSessionIs) {
  Manifest manifest = full_of_version_1();
  const json plain = body_of(manifest);
  EXPECT_FALSE(plain["sessions"][0].contains("opened"));
  EXPECT_FALSE(plain["sessions"][0]["tokens"][0].contains("backend"));
  EXPECT_FALSE(plain.contains("resting"));
  EXPECT_EQ(keeper_of(manifest.sessions[0], manifest.sessions[0].tokens[0]), Keeper::luo);
  EXPECT_EQ(keepers_of(manifest.sessions[0]), std::set{Keeper::luo});
  EXPECT_EQ(keepers_of(manifest.sessions[1]), std::set{Keeper::emulated})
      << "an empty one: where it would go";

  manifest.sessions[0].tokens[0].keeper = Keeper::tracker;
  manifest.sessions[0].opened = true;
  manifest.resting = {"old", "older"};
  const auto back = parse_manifest(serialize(manifest));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, manifest);
  EXPECT_EQ(keeper_of(back->sessions[0], back->sessions[0].tokens[0]), Keeper::tracker);
  EXPECT_EQ(keepers_of(back->sessions[0]), (std::set{Keeper::luo, Keeper::tracker}));

  // What these fields may not be.
  for (const auto& [pointer, wrong] :
       {std::pair{"/sessions/0/tokens/0/backend", json(1)},
        std::pair{"/sessions/0/opened", json("yes")}, std::pair{"/resting", json("old")}}) {
    json body = body_of(manifest);
    body[json::json_pointer(pointer)] = wrong;
    EXPECT_FALSE(parse_manifest(wrapped(body.dump()))) << pointer;
  }
}

TEST(Manifest, KeepsTheWordsOfANewerVersion) {
  json body = body_of(full());
  body["sessions"][0]["tokens"][0]["kind"] = "guest_memfd";
  body["update"]["mode"] = "rehearsal";
  const auto back = parse_manifest(wrapped(body.dump()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->sessions[0].tokens[0].kind, Kind::fd);
  EXPECT_EQ(back->update->mode, Mode::external);
  EXPECT_EQ(body_of(*back), body) << "what this version does not know is written again";
}

TEST(Manifest, RefusesTheWordsThatItCannotDoWithout) {
  for (const auto* pointer :
       {"/state", "/sessions/0/backend", "/sessions/0/tokens/0/backend", "/clients/0/phase"}) {
    json body = body_of(full());
    body[json::json_pointer(pointer)] = "disk";
    const auto refused = parse_manifest(wrapped(body.dump()));
    ASSERT_FALSE(refused) << pointer;
    EXPECT_NE(refused.error().message.find(std::string(pointer) + " is unknown: 'disk'"),
              std::string::npos)
        << refused.error().message;
  }
}

TEST(Manifest, WritesWhatIsNotUtf8WithoutThrowing) {
  Manifest manifest = full();
  manifest.clients[0].path = "/bad\xFF";
  const auto back = parse_manifest(serialize(manifest));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->clients[0].path, "/bad\xEF\xBF\xBD");
}

TEST(Manifest, HundredsOfSessionsComeBack) {
  Manifest manifest;
  for (std::uint64_t i = 0; i < 500; ++i) {
    SessionRecord session;
    session.id = i + 1;
    session.name = "s" + std::to_string(i);
    session.keeper = Keeper::luo;
    for (std::uint64_t token = 0; token < 20; ++token) {
      session.tokens.push_back({token, Kind::memfd, 4096 * token, false});
    }
    manifest.sessions.push_back(session);
  }
  EXPECT_EQ(parse_manifest(serialize(manifest)).value(), manifest);
}

TEST(Owner, MayUseItsOwnAndRootMayUseAll) {
  const Owner db{1000, "db.service"};
  EXPECT_TRUE(may_use(db, db));
  EXPECT_TRUE(may_use(db, {0, ""}));
  EXPECT_TRUE(may_use(db, {0, "other.service"}));
  EXPECT_FALSE(may_use(db, {1000, ""}));
  EXPECT_FALSE(may_use(db, {1000, "web.service"}));
  EXPECT_FALSE(may_use(db, {1001, "db.service"}));
  EXPECT_FALSE(may_use({0, ""}, db));
  EXPECT_TRUE(may_use({1000, ""}, {1000, ""}));
}

}  // namespace
}  // namespace handover
