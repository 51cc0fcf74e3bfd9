// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/manifest_change.h"

#include <gtest/gtest.h>

#include <set>

#include "core/checksum.h"
#include "manifests.h"
#include "support/utf8.h"

namespace handover {
namespace {

using test::fixture;
using test::full;

SessionRecord session(std::uint64_t id, const std::string& name) {
  SessionRecord made;
  made.id = id;
  made.name = name;
  made.keeper = Keeper::tracker;
  made.client = "db";
  made.owner = {7, "x.service"};
  made.cgroup = "system.slice/x.service";
  made.incoming = true;
  made.degraded = true;
  made.extra = {{"new", 1}};
  return made;
}

ClientRecord client(const std::string& name) {
  ClientRecord made;
  made.name = name;
  made.path = "/";
  made.needs = {"db"};
  made.phase = ClientPhase::restored;
  made.quiesced = true;
  made.left_out = "why";
  made.extra = {{"new", {1}}};
  return made;
}

UpdateRecord update(std::uint64_t id) {
  UpdateRecord made;
  made.id = id;
  made.mode = Mode::immediate;
  made.kernel = "/boot/k";
  made.kernel_release = "8.0";
  made.from_release = "7.9";
  made.requested_by = "uid 0";
  made.overruled = "no initrd";
  made.timeline.ticks_per_second = 5;
  made.timeline.marks = {{Mark::requested, 6}, {Mark::sealed, 7}};
  made.timeline.extra = {{"marks", {{"lunch", 8}}}, {"new", 9}};
  made.extra = {{"new", true}};
  return made;
}

ClientTimes times() {
  return {.prepare_usec = 1,
          .freeze_usec = 2,
          .restore_usec = 3,
          .frozen_at = 4,
          .running_at = 5,
          .extra = {{"new", 6}}};
}

/// Of records that full() has and of such that it does not have; each changes it. Their bytes are
/// kept.
std::vector<Change> first_kinds() {
  const SessionRecord known = session(9, "renamed");
  return {
      HeadChange{State::thawing, 5, 99, {"a", "b"}, "[]"},
      HeadChange{State::normal, 5, 99, {}, ""},
      RestingChange{"c"},
      SessionChange{known},
      SessionChange{session(77, "new")},
      TokenChange{9, {5, Kind::hugetlb, 123, false, Keeper::luo, {{"new", 1}}}},
      TokenChange{9, {1, Kind::range, 0, false}},
      TokenChange{77, {UINT64_MAX, Kind::memfd, 1, true}},
      TokenGone{9, 5},
      SessionGone{10},
      ClientChange{client("db")},
      ClientChange{client("new")},
      ClientGone{"storage"},
      TimesChange{"db", times()},
      TimesChange{"new", {}},
      LossChange{"Session 'x' is lost: \"it\"\nwas \xF0\x9F\x98\x80"},
      LeftOutChange{{"new", "it vetoed"}},
      UpdateChange{update(11)},
      UpdateChange{update(12)},
      TimesChange{"db", times()},
      LossChange{"another"},
      UpdateChange{std::nullopt},
  };
}

/// And those that came later.
std::vector<Change> every_kind() {
  auto all = first_kinds();
  HeadChange head{State::normal, 5, 99, {}, ""};
  head.lost = {{"ram", "db"}, {"ram", "vm", 7}};
  head.watchdog = ArmedWatchdog{"/dev/watchdog0", 60'000'000};
  all.insert(all.end(),
             {head, UpdateChange{update(13)}, LeftOutChange{{"new", "it vetoed"}},
              InAgainChange{"new"}, LateLossChange{"Session 'y' is lost."}, LateLossesWritten{}});
  return all;
}

Manifest applied(Manifest manifest, const std::vector<Change>& changes, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) apply(manifest, changes[i]);
  return manifest;
}

/// applied(), with the number of the last change as parse_manifest() leaves it.
Manifest read_back(const std::vector<Change>& changes, std::size_t count) {
  Manifest manifest = applied(full(), changes, count);
  manifest.sequence += count;
  return manifest;
}

std::uint64_t next() { return full().sequence + 1; }

TEST(Change, EachKindChangesTheManifest) {
  const auto changes = every_kind();
  std::set<std::size_t> kinds;
  Manifest before = full();
  for (std::size_t i = 0; i < changes.size(); ++i) {
    Manifest after = before;
    apply(after, changes[i]);
    EXPECT_NE(after, before) << i;
    before = after;
    kinds.insert(changes[i].index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Change>) << "every kind is tried";
}

TEST(Change, EachKindComesBackFromItsLine) {
  const auto changes = every_kind();
  const std::string base = serialize(full());
  for (std::size_t i = 0; i <= changes.size(); ++i) {
    const std::vector<Change> some(changes.begin(), changes.begin() + static_cast<long>(i));
    const auto manifest = parse_manifest(base + serialize(some, next()));
    ASSERT_TRUE(manifest) << manifest.error().message;
    EXPECT_EQ(*manifest, read_back(changes, i)) << i;
    // And it is a manifest like any other.
    EXPECT_EQ(parse_manifest(serialize(*manifest)).value(), *manifest);
  }
}

TEST(Change, OfASessionLeavesItsTokens) {
  Manifest manifest = full();
  SessionRecord changed = session(9, "db-primary");
  changed.tokens = {{3, Kind::memfd, 1, false}};
  const auto tokens = manifest.sessions[0].tokens;
  apply(manifest, SessionChange{changed});
  EXPECT_EQ(manifest.sessions[0].tokens, tokens);
  changed.id = 1000;
  apply(manifest, SessionChange{changed});
  EXPECT_TRUE(manifest.sessions.back().tokens.empty());
  EXPECT_EQ(change_of(changed).session.tokens, std::vector<TokenRecord>{});
  changed.tokens.clear();
  EXPECT_EQ(change_of(changed).session, changed) << "all else is in it";
  EXPECT_EQ(change_of(full().sessions[0]).session.opened, true);
  EXPECT_EQ(change_of(full().sessions[0]).session.ending, true);
}

TEST(Change, KeepsTokensSorted) {
  Manifest manifest = full();
  for (const std::uint64_t token : {9U, 3U, 7U, 0U, 3U}) {
    apply(manifest, TokenChange{9, {token, Kind::memfd, token, false}});
  }
  std::vector<std::uint64_t> tokens;
  for (const TokenRecord& token : manifest.sessions[0].tokens) tokens.push_back(token.token);
  EXPECT_EQ(tokens, (std::vector<std::uint64_t>{0, 1, 3, 7, 9, UINT64_MAX}));
}

TEST(Change, OfAnUpdateLeavesWhatHasChangesOfItsOwn) {
  Manifest manifest = full();
  UpdateRecord changed = update(11);
  changed.losses = {"not this one"};
  changed.left_out = {{"nor", "this"}};
  changed.timeline.clients["nor"] = times();
  apply(manifest, UpdateChange{changed});
  EXPECT_EQ(manifest.update->kernel, "/boot/k");
  EXPECT_EQ(manifest.update->timeline.marks, changed.timeline.marks);
  EXPECT_EQ(manifest.update->losses, full().update->losses);
  EXPECT_EQ(manifest.update->left_out, full().update->left_out);
  EXPECT_EQ(manifest.update->timeline.clients, full().update->timeline.clients);
  // Another update has none yet.
  changed.id = 12;
  apply(manifest, UpdateChange{changed});
  EXPECT_EQ(*manifest.update, update(12));
  EXPECT_EQ(change_of(std::optional(changed)).update, update(12));
  EXPECT_EQ(change_of(std::nullopt).update, std::nullopt);
}

TEST(Change, OfWhatIsNotThereIsPassedOver) {
  Manifest manifest = full();
  manifest.update.reset();
  const Manifest before = manifest;
  for (const Change& change : std::vector<Change>{
           SessionGone{1000}, TokenChange{1000, {}}, TokenGone{1000, 1}, TokenGone{9, 1000},
           ClientGone{"nobody"}, TimesChange{"db", times()}, LossChange{"x"},
           LeftOutChange{{"a", "b"}}, InAgainChange{"a"}, UpdateChange{}}) {
    apply(manifest, change);
    EXPECT_EQ(manifest, before) << change.index();
  }
}

TEST(Change, RecordsComeAndGoInOneText) {
  std::vector<Change> changes;
  for (int round = 0; round < 3; ++round) {
    changes.emplace_back(SessionChange{session(50, "again")});
    changes.emplace_back(TokenChange{50, {1, Kind::memfd, 1, false}});
    changes.emplace_back(ClientChange{client("again")});
    changes.emplace_back(SessionGone{50});
    changes.emplace_back(TokenChange{50, {2, Kind::memfd, 1, false}});
    changes.emplace_back(ClientGone{"again"});
    changes.emplace_back(ClientGone{"again"});
  }
  changes.emplace_back(SessionChange{session(50, "again")});
  const auto manifest = parse_manifest(serialize(full()) + serialize(changes, next()));
  ASSERT_TRUE(manifest);
  EXPECT_EQ(*manifest, read_back(changes, changes.size()));
  EXPECT_EQ(manifest->sessions.size(), 3U);
  EXPECT_TRUE(manifest->sessions.back().tokens.empty());
}

/// The manifests after each of every_kind()'s changes, and the changes' lines.
class ChangeLines : public testing::Test {
 protected:
  ChangeLines() {
    const auto changes = every_kind();
    for (std::size_t i = 0; i <= changes.size(); ++i) after.push_back(read_back(changes, i));
    for (std::size_t i = 0; i < changes.size(); ++i) {
      lines.push_back(serialize({changes[i]}, next() + i));
    }
  }

  /// That `text`, in place of lines[i] and with the next line behind it, is no line.
  void expect_end(std::size_t i, const std::string& text) const {
    Manifest manifest = after[i];
    const std::string behind = i + 1 < lines.size() ? lines[i + 1] : "";
    ASSERT_EQ(apply_lines(manifest, text + behind), 0U) << text;
    ASSERT_EQ(manifest, after[i]) << text;
  }

  std::vector<Manifest> after;
  std::vector<std::string> lines;
};

TEST_F(ChangeLines, CutAtEveryByteGiveTheLongestWholePrefix) {
  const std::string base = serialize(full());
  std::string whole;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (std::size_t length = 0; length < lines[i].size(); ++length) {
      // What a memfd has behind it makes no line whole.
      for (const std::string& behind :
           {std::string(), std::string(64, '\0'), std::string(9, '+')}) {
        Manifest manifest = after[i];
        ASSERT_EQ(apply_lines(manifest, lines[i].substr(0, length) + behind), 0U) << i;
        ASSERT_EQ(manifest, after[i]) << i << ", " << length;
      }
    }
    const auto manifest = parse_manifest(base + whole + lines[i].substr(0, lines[i].size() - 1));
    ASSERT_EQ(manifest.value(), after[i]) << i;
    whole += lines[i];
  }
  ASSERT_EQ(parse_manifest(base + whole).value(), after.back());
}

TEST_F(ChangeLines, EndAtTheLineWithAFlippedBit) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (std::size_t at = 0; at < lines[i].size(); ++at) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        std::string garbled = lines[i];
        garbled[at] = static_cast<char>(static_cast<unsigned char>(garbled[at]) ^ (1U << bit));
        expect_end(i, garbled);
      }
    }
  }
}

TEST_F(ChangeLines, EndWhereAByteIsMissingOrInserted) {
  for (std::size_t i = 0; i < lines.size(); ++i) {
    for (std::size_t at = 0; at < lines[i].size(); ++at) {
      std::string shorter = lines[i];
      shorter.erase(at, 1);
      expect_end(i, shorter);
      for (const char byte : {'0', ' ', '+', '\n'}) {
        if (byte == lines[i][at]) continue;  // the same text as with one behind it
        std::string longer = lines[i];
        longer.insert(at, 1, byte);
        expect_end(i, longer);
      }
    }
  }
}

TEST_F(ChangeLines, CountOnlyInTheirOrder) {
  const std::string base = serialize(full());
  const auto line = [](std::uint64_t sequence) {
    return serialize({LossChange{std::to_string(sequence)}}, sequence);
  };
  const auto last = [&](const std::string& text) {
    return parse_manifest(base + text)->sequence - full().sequence;
  };
  const std::uint64_t first = next();
  EXPECT_EQ(last(line(first) + line(first + 1) + line(first + 2)), 3U);
  EXPECT_EQ(last(line(first) + line(first + 2)), 1U) << "one is missing";
  EXPECT_EQ(last(line(first) + line(first)), 1U) << "left over from an older text";
  EXPECT_EQ(last(line(first - 1)), 0U);
  EXPECT_EQ(last(line(first + 1)), 0U);
  EXPECT_EQ(serialize({LossChange{"a"}, LossChange{"b"}}, 7),
            serialize({LossChange{"a"}}, 7) + serialize({LossChange{"b"}}, 8));
  EXPECT_EQ(serialize({}, 7), "");
}

std::string line_of(const std::string& json, std::uint64_t sequence) {
  return "+" + std::to_string(sequence) + " " + std::to_string(json.size()) + " " + checksum(json) +
         " " + json + "\n";
}

TEST_F(ChangeLines, OfANewerVersionArePassedOver) {
  const std::string text =
      line_of(R"({"mood":{"good":true}})", next()) + serialize({ClientGone{"db"}}, next() + 1);
  const auto manifest = parse_manifest(serialize(full()) + text);
  EXPECT_EQ(manifest->sequence, next() + 1);
  EXPECT_EQ(manifest->clients.size(), 1U);
}

TEST_F(ChangeLines, EndAtWhatTheChecksumVouchesForAndIsNoChange) {
  const std::string base = serialize(full());
  for (const std::string& json :
       {std::string(""), std::string("{"), std::string("[]"), std::string("1"),
        std::string(R"({"session_gone":{}})"), std::string(R"({"session_gone":{"id":-1}})"),
        std::string(R"({"session_gone":7})"), std::string(R"({"client_gone":{"name":"a/b"}})"),
        std::string(R"({"head":{"state":"asleep","generation":1,"next_id":1}})"),
        std::string(R"({"update":{"id":1}})"), std::string(100'000, '[')}) {
    const auto manifest =
        parse_manifest(base + line_of(json, next()) + serialize({ClientGone{"db"}}, next() + 1));
    ASSERT_TRUE(manifest) << json;
    EXPECT_EQ(*manifest, full()) << json;
  }
}

TEST_F(ChangeLines, AreWrittenWithWhatIsNotUtf8) {
  const std::string text = serialize({LossChange{"\xFF"}, ClientGone{"db"}}, next());
  EXPECT_TRUE(test::is_utf8(text));
  const auto manifest = parse_manifest(serialize(full()) + text);
  EXPECT_EQ(manifest->update->losses.back(), "\xEF\xBF\xBD");
  EXPECT_EQ(manifest->sequence, next() + 1);
}

TEST_F(ChangeLines, AreAsLongAsTheirRecord) {
  Manifest manifest = full();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    manifest.clients.push_back(client("c" + std::to_string(i)));
    manifest.update->timeline.clients["c" + std::to_string(i)] = times();
    manifest.sessions[0].tokens.push_back({i, Kind::memfd, 1, false});
  }
  EXPECT_LT(serialize({change_of(manifest.sessions[0])}, 1).size(), 400U);
  EXPECT_LT(serialize({change_of(manifest.update)}, 1).size(), 500U);
  EXPECT_LT(
      serialize({SessionChange{manifest.sessions[0]}, UpdateChange{manifest.update}}, 1).size(),
      900U);
}

// The bytes of version 2, kept (manifest_test.cpp).
TEST_F(ChangeLines, AreReadAndWrittenAsVersion2) {
  const std::string kept = fixture("manifest-v2-changes.txt");
  const auto first = first_kinds();
  EXPECT_EQ(serialize(first, next()), kept);
  const auto manifest = parse_manifest(fixture("manifest-v2.txt") + kept);
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(*manifest, read_back(first, first.size()));
}

}  // namespace
}  // namespace handover
