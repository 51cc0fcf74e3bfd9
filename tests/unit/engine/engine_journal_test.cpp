// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "engine/journal.h"
#include "fake_host.h"
#include "fake_store.h"

namespace handover::engine::test {
namespace {

/// What there is, as the engine would tell it.
class Facts final : public Model {
 public:
  Manifest all;

  [[nodiscard]] Manifest manifest() const override { return all; }
  [[nodiscard]] HeadChange head() const override {
    return HeadChange{all.state, all.generation, all.next_id, all.resting, all.unwritten};
  }
  [[nodiscard]] const SessionRecord* session(std::uint64_t id) const override {
    const auto it = std::find_if(all.sessions.begin(), all.sessions.end(),
                                 [&](const auto& one) { return one.id == id; });
    return it == all.sessions.end() ? nullptr : &*it;
  }
  [[nodiscard]] const ClientRecord* client(const std::string& name) const override {
    const auto it = std::find_if(all.clients.begin(), all.clients.end(),
                                 [&](const auto& one) { return one.name == name; });
    return it == all.clients.end() ? nullptr : &*it;
  }
  [[nodiscard]] const std::optional<UpdateRecord>& update() const override { return all.update; }
};

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    facts.all.boot_id = "boot-1";
    add_client("disk");
    add_session(1, "ram");
  }

  void add_client(const std::string& name) {
    ClientRecord client;
    client.name = name;
    client.path = "/client";
    facts.all.clients.push_back(client);
  }
  void add_session(std::uint64_t id, const std::string& name) {
    SessionRecord session;
    session.id = id;
    session.name = name;
    facts.all.sessions.push_back(session);
    facts.all.next_id = id + 1;
  }
  void begin_update() {
    facts.all.update.emplace();
    facts.all.update->id = 9;
    facts.all.update->timeline.ticks_per_second = 1'000'000;
    journal.note_update();
  }
  void add_loss(const std::string& sentence) {
    facts.all.update->losses.push_back(sentence);
    journal.note_loss(sentence);
  }
  /// Something small changes.
  void change() {
    ++facts.all.generation;
    journal.note_head();
  }

  void run() {
    for (;;) {
      if (host.step()) continue;
      if (!machine.clock.run_next(machine.clock.now_usec() + 10'000'000)) return;
    }
  }
  void run_now() {
    while (host.step()) {
    }
  }
  static Manifest read(const std::string& text) {
    auto manifest = parse_manifest(text);
    EXPECT_TRUE(manifest) << (manifest ? "" : manifest.error().message);
    if (!manifest) return {};
    manifest->sequence = 0;
    return *manifest;
  }
  [[nodiscard]] std::string text_in_run() const { return *machine.runtime.read("manifest.json"); }
  Manifest in_run() { return read(text_in_run()); }
  Manifest in_memory() { return read(store->text); }
  void expect_both_texts_tell_all() {
    EXPECT_EQ(serialize(in_run()), serialize(facts.all));
    EXPECT_EQ(serialize(in_memory()), serialize(facts.all));
  }

  Machine machine;
  FakeHost host{machine};
  std::shared_ptr<FakeStore> store = std::make_shared<FakeStore>();
  Facts facts;
  Journal journal{host, store, facts};
};

TEST_F(JournalTest, BeginsWithAWholeText) {
  ASSERT_TRUE(journal.begin());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
  EXPECT_FALSE(journal.idle());
  run();
  EXPECT_TRUE(journal.idle());
  EXPECT_EQ(serialize(in_memory()), serialize(facts.all));
}

/// A thousand clients that answer one after the other are not a thousand writes.
TEST_F(JournalTest, WritesTimesWithWhatComesNextOrAMomentLater) {
  begin_update();
  ASSERT_TRUE(journal.begin());
  run();
  EXPECT_FALSE(journal.presses());
  facts.all.update->timeline.clients["disk"].freeze_usec = 5;
  journal.note_times("disk");
  EXPECT_FALSE(journal.presses());
  const auto before = text_in_run();
  journal.flush_soon();
  EXPECT_EQ(text_in_run(), before);
  run();
  expect_both_texts_tell_all();

  facts.all.update->timeline.clients["disk"].freeze_usec = 6;
  journal.note_times("disk");
  journal.flush_soon();
  change();
  EXPECT_TRUE(journal.presses());
  ASSERT_TRUE(journal.flush());
  const auto writes = journal.figures().flushes;
  expect_both_texts_tell_all();
  run();
  EXPECT_EQ(journal.figures().flushes, writes) << "there was nothing left";
}

TEST_F(JournalTest, WritesNothingWhereNothingChanged) {
  ASSERT_TRUE(journal.begin());
  run();
  const auto before = machine.effects();
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(machine.effects(), before);
  EXPECT_EQ(store->appends, 0U);
}

TEST_F(JournalTest, WritesOnlyWhatChangedBehindTheText) {
  ASSERT_TRUE(journal.begin());
  run();
  const auto base = text_in_run();
  facts.all.clients.front().required = false;
  journal.note_client("disk");
  ASSERT_TRUE(journal.flush());
  const auto text = text_in_run();
  ASSERT_TRUE(text.starts_with(base));
  const auto line = text.substr(base.size());
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("disk"), std::string::npos);
  EXPECT_EQ(line.find("ram"), std::string::npos);
  expect_both_texts_tell_all();
  EXPECT_EQ(store->replaces, 1U);
}

TEST_F(JournalTest, CarriesEveryKindOfChange) {
  ASSERT_TRUE(journal.begin());
  run();
  begin_update();
  facts.all.state = State::restoring;
  journal.note_head();
  add_session(2, "state");
  facts.all.sessions.back().tokens.push_back(TokenRecord{7, Kind::memfd, 4096, false});
  journal.note_session(2);
  journal.note_token(2, 7);
  facts.all.update->timeline.clients["disk"].frozen_at = 5;
  journal.note_times("disk");
  add_loss("Session 'x' is lost.");
  facts.all.update->left_out.push_back({"guest", "it was not here."});
  journal.note_left_out({"guest", "it was not here."});
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
  facts.all.sessions.back().tokens.clear();
  journal.note_token(2, 7);
  facts.all.sessions.erase(facts.all.sessions.begin());
  journal.note_session(1);
  journal.note_token(1, 3);  // it went with its session
  facts.all.clients.clear();
  journal.note_client("disk");
  ASSERT_TRUE(journal.flush());
  expect_both_texts_tell_all();
}

TEST_F(JournalTest, KnowsASessionFromItsSuccessorOfTheSameName) {
  ASSERT_TRUE(journal.begin());
  run();
  facts.all.sessions.clear();
  add_session(2, "ram");
  journal.note_head();
  journal.note_session(1);
  journal.note_session(2);
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
}

TEST_F(JournalTest, MakesANewTextWhereALineWasCut) {
  ASSERT_TRUE(journal.begin());
  run();
  machine.runtime.full_for = 1;
  change();
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
  change();
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
  run();
  EXPECT_EQ(serialize(in_memory()), serialize(facts.all));
}

TEST_F(JournalTest, ForgetsNothingThatCouldNotBeWritten) {
  ASSERT_TRUE(journal.begin());
  run();
  machine.runtime.full_for = 2;  // the line, and the new text
  change();
  EXPECT_FALSE(journal.flush());
  facts.all.clients.front().required = false;
  journal.note_client("disk");
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
  run();
  EXPECT_EQ(serialize(in_memory()), serialize(facts.all));
}

TEST_F(JournalTest, LinesFollowTheTextThatThePoolWrites) {
  host.hold(manifest_queue);
  ASSERT_TRUE(journal.begin());
  change();
  ASSERT_TRUE(journal.flush());
  change();
  ASSERT_TRUE(journal.flush());
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
  EXPECT_EQ(store->text, "");
  host.release(manifest_queue);
  run();
  EXPECT_EQ(serialize(in_memory()), serialize(facts.all));
}

TEST_F(JournalTest, MakesRoomInPreservedMemory) {
  store->space = 0;
  ASSERT_TRUE(journal.begin());
  run();
  change();
  ASSERT_TRUE(journal.flush());
  EXPECT_FALSE(journal.idle());
  change();
  ASSERT_TRUE(journal.flush());
  store->space = 1000;
  run();
  expect_both_texts_tell_all();
}

TEST_F(JournalTest, IsNotIdleBeforePreservedMemoryHasItAll) {
  store->failing_replaces = 2;
  ASSERT_TRUE(journal.begin());
  std::vector<bool> told;
  const auto tell = [&](const Result<void>& kept) { told.push_back(kept.has_value()); };
  journal.when_idle(tell);
  run_now();
  EXPECT_EQ(told, std::vector<bool>{false});
  EXPECT_FALSE(journal.idle());
  change();
  ASSERT_TRUE(journal.flush());  // asks again at once
  run_now();
  EXPECT_FALSE(journal.idle());
  journal.when_idle(tell);
  run_now();
  EXPECT_EQ(told, (std::vector<bool>{false, true}));
  EXPECT_TRUE(journal.idle());
  expect_both_texts_tell_all();
  journal.when_idle(tell);
  EXPECT_EQ(told.size(), 3U);
}

TEST_F(JournalTest, TriesAgainByItself) {
  store->failing_replaces = 3;
  ASSERT_TRUE(journal.begin());
  machine.runtime.full_for = 4;
  change();
  EXPECT_FALSE(journal.flush());
  run();
  EXPECT_TRUE(journal.idle());
  expect_both_texts_tell_all();
}

TEST_F(JournalTest, BeginsAnewWhileThePoolWrites) {
  ASSERT_TRUE(journal.begin());
  facts.all.config = "{}";  // of which no line tells
  ASSERT_TRUE(journal.begin());
  change();
  ASSERT_TRUE(journal.flush());
  run();
  expect_both_texts_tell_all();
}

TEST_F(JournalTest, TellsOfALossOnceThoughATextIsMadeInBetween) {
  store->space = 0;
  ASSERT_TRUE(journal.begin());
  run();
  begin_update();
  ASSERT_TRUE(journal.flush());  // no room: a new text is made
  change();
  ASSERT_TRUE(journal.flush());  // held back, and without room again
  host.post([&] { add_loss("Session 'x' is lost."); });
  run();
  ASSERT_TRUE(journal.flush());
  store->space = 1000;
  run();
  EXPECT_EQ(in_run().update->losses.size(), 1U);
  EXPECT_EQ(in_memory().update->losses.size(), 1U);
}

TEST_F(JournalTest, MakesOneTextOfManyLines) {
  ASSERT_TRUE(journal.begin());
  run();
  for (int i = 0; i < 2000; ++i) {
    change();
    ASSERT_TRUE(journal.flush());
  }
  const auto before = text_in_run().size();
  run();
  EXPECT_EQ(journal.figures().compactions, 1U);
  EXPECT_LT(text_in_run().size(), before / 10);
  expect_both_texts_tell_all();
  change();
  ASSERT_TRUE(journal.flush());
  expect_both_texts_tell_all();
}

TEST_F(JournalTest, MakesNoneWhileAnUpdateRuns) {
  ASSERT_TRUE(journal.begin());
  run();
  journal.allow_compaction(false);
  for (int i = 0; i < 2000; ++i) {
    change();
    ASSERT_TRUE(journal.flush());
  }
  run();
  EXPECT_EQ(journal.figures().compactions, 0U);
  EXPECT_EQ(serialize(in_run()), serialize(facts.all));
}

TEST_F(JournalTest, LinesOfACompactionFollowIt) {
  ASSERT_TRUE(journal.begin());
  run();
  for (int i = 0; i < 2000; ++i) {
    change();
    ASSERT_TRUE(journal.flush());
  }
  host.hold(manifest_queue);
  (void)machine.clock.run_next(machine.clock.now_usec() + 10'000'000);
  ASSERT_FALSE(journal.idle());
  change();
  ASSERT_TRUE(journal.flush());
  host.release(manifest_queue);
  run();
  expect_both_texts_tell_all();
}

/// Whatever write fails, and whenever the pool comes to its jobs.
TEST_F(JournalTest, AnyFailureLeavesBothTextsGood) {
  for (unsigned nth = 0; nth < 12; ++nth) {
    SCOPED_TRACE(nth);
    Machine other;
    FakeHost its_host(other, nth + 1);
    auto its_store = std::make_shared<FakeStore>();
    its_store->space = 60;
    its_store->failing_replaces = nth % 3;
    Journal its(its_host, its_store, facts);
    ASSERT_TRUE(its.begin());
    for (unsigned i = 0; i < 12; ++i) {
      if (i == nth) other.runtime.full_for = 1 + nth % 2;
      ++facts.all.generation;
      its.note_head();
      (void)its.flush();
      (void)its_host.step();
    }
    ++facts.all.generation;
    its.note_head();
    EXPECT_TRUE(its.flush());
    while (its_host.step() || other.clock.run_next(other.clock.now_usec() + 10'000'000)) {
    }
    EXPECT_EQ(serialize(read(*other.runtime.read("manifest.json"))), serialize(facts.all));
    EXPECT_EQ(serialize(read(its_store->text)), serialize(facts.all));
  }
}

}  // namespace
}  // namespace handover::engine::test
