// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/records.h"
#include "fake_host.h"

namespace handover::engine::test {
namespace {

constexpr std::uint64_t minute = 60'000'000;

HistoryEntry update(std::uint64_t id) {
  HistoryEntry entry;
  entry.id = id;
  entry.generation = id;
  entry.outcome = Outcome::done;
  entry.timeline.marks[Mark::requested] = 100 * id;
  return entry;
}

PendingUpdate pending(std::uint64_t id, const std::string& boot_id = "boot-0") {
  PendingUpdate record;
  record.id = id;
  record.boot_id = boot_id;
  record.timeline.marks[Mark::requested] = 100 * id;
  record.sessions = {{"ram", "guest"}};
  return record;
}

class RecordsTest : public testing::Test {
 protected:
  void run_for(std::uint64_t usec) {
    const auto limit = machine.clock.now_usec() + usec;
    while (host.step() || machine.clock.run_next(limit)) {
    }
  }
  std::vector<std::uint64_t> on_disk() {
    std::vector<std::uint64_t> ids;
    const auto text = machine.state.read(StateFile::history);
    if (!text) return ids;
    for (const auto& entry : nlohmann::json::parse(*text)) ids.push_back(entry.at("id"));
    return ids;
  }
  [[nodiscard]] bool pending_is_there() const { return machine.state.has(StateFile::pending); }
  void leave_pending(const PendingUpdate& record) {
    ASSERT_TRUE(machine.state.replace(StateFile::pending, serialize(record)));
  }
  struct Look {
    bool over = false;
    std::optional<PendingUpdate> lost;
  };
  std::shared_ptr<Look> look() {
    auto look = std::make_shared<Look>();
    records.look_for_lost(machine.boot_id, false, [look](const auto& lost) {
      look->over = true;
      look->lost = lost;
    });
    return look;
  }

  using Ids = std::vector<std::uint64_t>;
  Machine machine;
  FakeHost host{machine};
  Records records{host, 100};
};

TEST_F(RecordsTest, WritesAnEntry) {
  records.add(update(1), [] {});
  run_for(0);
  EXPECT_EQ(on_disk(), Ids{1});
}

TEST_F(RecordsTest, WritesAnEntryThatComesWhileTheFileIsBeingWritten) {
  records.add(update(1), [] {});
  (void)host.step();  // it is in memory; the write waits, or is under way
  records.add(update(2), [] {});
  run_for(0);
  EXPECT_EQ(on_disk(), (Ids{2, 1}));
}

TEST_F(RecordsTest, TriesAgainUntilTheFileSystemIsMounted) {
  machine.state.mounted = false;
  records.add(update(1), [] {});
  run_for(minute);
  EXPECT_EQ(on_disk(), Ids{});
  machine.state.mounted = true;
  run_for(minute);
  EXPECT_EQ(on_disk(), Ids{1});
}

TEST_F(RecordsTest, DoesNotTryForEver) {
  machine.state.full_for = 100'000;
  records.add(update(1), [] {});
  run_for(60 * minute);
  EXPECT_FALSE(machine.clock.anything_due(machine.clock.now_usec() + 60 * minute));
}

TEST_F(RecordsTest, WritesManyLossesAtOnce) {
  records.add(update(1), [] {});
  run_for(minute);
  const auto before = machine.effects();
  for (int i = 0; i < 100; ++i) records.add_loss(1, "Session " + std::to_string(i) + " is lost.");
  run_for(minute);
  EXPECT_EQ(machine.effects(), before + 1);
  const auto json = nlohmann::json::parse(*machine.state.read(StateFile::history));
  EXPECT_EQ(json.at(0).at("losses").size(), 100U);
  EXPECT_EQ(json.at(0).at("outcome"), "done-with-losses");
}

TEST_F(RecordsTest, TriesALossAgain) {
  records.add(update(1), [] {});
  run_for(minute);
  machine.state.full_for = 3;
  records.add_loss(1, "Session 'ram' is lost.");
  run_for(minute);
  const auto json = nlohmann::json::parse(*machine.state.read(StateFile::history));
  EXPECT_EQ(json.at(0).at("losses").size(), 1U);
}

/// A process may tell it again after another has written it.
TEST_F(RecordsTest, TellsALossOnce) {
  records.add(update(1), [] {});
  records.add_loss(1, "Session 'ram' is lost.");
  records.add_loss(1, "Session 'ram' is lost.");
  run_for(minute);
  const auto json = nlohmann::json::parse(*machine.state.read(StateFile::history));
  EXPECT_EQ(json.at(0).at("losses").size(), 1U);
}

/// A loss that is not on disk is not taken for written when something else is.
TEST_F(RecordsTest, IsNotAllWrittenBeforeALoss) {
  unsigned written = 0;
  records.on_written([&] { ++written; });
  records.add(update(1), [] {});
  records.add_loss(1, "Session 'ram' is lost.");
  run_for(500'000);
  EXPECT_EQ(on_disk(), Ids{1});
  EXPECT_EQ(written, 0U);
  run_for(minute);
  EXPECT_EQ(written, 1U);
}

TEST_F(RecordsTest, TellsWhatIsNotOnDiskYet) {
  machine.state.full_for = 5;
  records.add(update(1), [] {});
  std::string text;
  records.read(10, [&](Result<std::string> read) { text = read ? *read : ""; });
  run_for(0);
  EXPECT_EQ(nlohmann::json::parse(text).size(), 1U);
}

// ---- the pending record

TEST_F(RecordsTest, WritesThePendingRecordBeforeItGoesOn) {
  bool went_on = false;
  records.write_pending(pending(1), [&] {
    went_on = true;
    EXPECT_TRUE(pending_is_there());
  });
  EXPECT_FALSE(went_on);
  run_for(0);
  EXPECT_TRUE(went_on);
}

TEST_F(RecordsTest, GoesOnWhereThePendingRecordCannotBeWritten) {
  machine.state.full_for = 1;
  bool went_on = false;
  records.write_pending(pending(1), [&] { went_on = true; });
  run_for(0);
  EXPECT_TRUE(went_on);
}

TEST_F(RecordsTest, KeepsThePendingRecordUntilTheHistoryHasTheUpdate) {
  records.write_pending(pending(1, machine.boot_id), [] {});
  run_for(0);
  machine.state.full_for = 3;
  records.add(update(1), [] {});
  records.pending_is_over();
  run_for(1'500'000);
  EXPECT_TRUE(pending_is_there());
  EXPECT_EQ(on_disk(), Ids{});
  run_for(minute);
  EXPECT_EQ(on_disk(), Ids{1});
  EXPECT_FALSE(pending_is_there());
}

TEST_F(RecordsTest, FindsWhatAnUpdateLost) {
  leave_pending(pending(4));
  const auto found = look();
  run_for(0);
  ASSERT_TRUE(found->over);
  EXPECT_EQ(found->lost, pending(4));
  EXPECT_TRUE(pending_is_there());  // until the history has it
}

TEST_F(RecordsTest, FindsNothingWhereThereIsNothing) {
  const auto found = look();
  run_for(0);
  EXPECT_TRUE(found->over);
  EXPECT_FALSE(found->lost);
}

TEST_F(RecordsTest, LooksAgainUntilTheFileSystemIsMounted) {
  leave_pending(pending(4));
  machine.state.mounted = false;
  const auto found = look();
  run_for(minute);
  EXPECT_FALSE(found->over);
  machine.state.mounted = true;
  run_for(minute);
  ASSERT_TRUE(found->over);
  EXPECT_EQ(found->lost, pending(4));
}

TEST_F(RecordsTest, LooksAgainUntilTheRecordCanBeRead) {
  leave_pending(pending(4));
  machine.state.unreadable = EIO;
  const auto found = look();
  run_for(10'000'000);
  EXPECT_FALSE(found->over);
  machine.state.unreadable = 0;
  run_for(10'000'000);
  ASSERT_TRUE(found->over);
  EXPECT_EQ(found->lost, pending(4));
}

TEST_F(RecordsTest, ARecordWhoseUpdateIsToldGoes) {
  const std::vector entries = {update(4)};
  ASSERT_TRUE(machine.state.replace(StateFile::history, serialize(std::span(entries))));
  leave_pending(pending(4));
  const auto found = look();
  run_for(minute);
  EXPECT_TRUE(found->over);
  EXPECT_FALSE(found->lost);
  EXPECT_FALSE(pending_is_there());
  EXPECT_EQ(on_disk(), Ids{4});
}

TEST_F(RecordsTest, ARecordOfThisKernelIsNoLoss) {
  leave_pending(pending(4, machine.boot_id));
  const auto found = look();
  run_for(minute);
  EXPECT_FALSE(found->lost);
  EXPECT_FALSE(pending_is_there());
}

TEST_F(RecordsTest, TellsWhatAnEarlierUpdateLostBeforeItsPlaceIsTaken) {
  leave_pending(pending(4));
  machine.state.mounted = false;
  const auto found = look();
  run_for(0);
  machine.state.mounted = true;
  records.write_pending(pending(5, machine.boot_id), [] {});
  run_for(0);
  ASSERT_TRUE(found->over);
  EXPECT_EQ(found->lost, pending(4));
  EXPECT_EQ(*parse_pending(*machine.state.read(StateFile::pending)), pending(5, machine.boot_id));
}

/// A removal that the disk refuses, of a record whose place is taken meanwhile.
TEST_F(RecordsTest, ARemovalThatFailsIsNotTriedOnTheNextRecord) {
  leave_pending(pending(1, machine.boot_id));
  records.remove_pending();
  machine.state.mounted = false;
  (void)host.step();
  machine.state.mounted = true;
  records.write_pending(pending(2, machine.boot_id), [] {});
  run_for(minute);
  ASSERT_TRUE(pending_is_there());
  EXPECT_EQ(parse_pending(*machine.state.read(StateFile::pending))->id, 2U);
}

/// It was found to be nobody's when the next one had been written already.
TEST_F(RecordsTest, ARecordThatIsFoundLateTakesNoOtherWithIt) {
  leave_pending(pending(4, machine.boot_id));
  const auto found = look();
  records.write_pending(pending(5, machine.boot_id), [] {});
  run_for(minute);
  EXPECT_TRUE(found->over);
  ASSERT_TRUE(pending_is_there());
  EXPECT_EQ(parse_pending(*machine.state.read(StateFile::pending))->id, 5U);
}

/// Nor when it is told as lost.
TEST_F(RecordsTest, ALossThatIsFoundLateTakesNoOtherRecordWithIt) {
  leave_pending(pending(4));
  records.look_for_lost(machine.boot_id, false, [&](const std::optional<PendingUpdate>& lost) {
    ASSERT_TRUE(lost);
    records.pending_is_over();
    records.add(update(4), [] {});
  });
  records.write_pending(pending(5, machine.boot_id), [] {});
  run_for(minute);
  EXPECT_EQ(on_disk(), Ids{4});
  ASSERT_TRUE(pending_is_there());
  EXPECT_EQ(parse_pending(*machine.state.read(StateFile::pending))->id, 5U);
  records.pending_is_over();
  records.add(update(5), [] {});
  run_for(minute);
  EXPECT_FALSE(pending_is_there());
}

/// The disk was slow: the record of the update before goes when the next one's is there.
TEST_F(RecordsTest, DoesNotRemoveTheNextUpdatesRecord) {
  records.write_pending(pending(1, machine.boot_id), [] {});
  run_for(0);
  records.add(update(1), [] {});
  records.pending_is_over();
  machine.state.mounted = false;  // as if it were read-only for a moment
  run_for(500'000);
  machine.state.mounted = true;
  records.write_pending(pending(2, machine.boot_id), [] {});
  run_for(minute);
  ASSERT_TRUE(pending_is_there());
  EXPECT_EQ(parse_pending(*machine.state.read(StateFile::pending))->id, 2U);
}

}  // namespace
}  // namespace handover::engine::test
