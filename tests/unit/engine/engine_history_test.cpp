// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <span>

#include "engine/history.h"
#include "fake_host.h"

namespace handover::engine::test {
namespace {

HistoryEntry update(std::uint64_t id, Ticks requested, Outcome outcome = Outcome::done) {
  HistoryEntry entry;
  entry.id = id;
  entry.generation = id;
  entry.outcome = outcome;
  entry.finished_at = "2026-11-28T12:00:00Z";
  entry.timeline.marks[Mark::requested] = requested;
  return entry;
}

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() { machine.state.mounted = false; }
  /// The file system with the history is mounted.
  void mount(const std::vector<HistoryEntry>& entries) {
    mount_text(serialize(std::span(entries)));
  }
  void mount_text(const std::string& text) {
    machine.state.mounted = true;
    ASSERT_TRUE(machine.state.replace(StateFile::history, text));
  }
  /// What the next daemon reads.
  std::vector<HistoryEntry> on_disk() {
    History next(100);
    EXPECT_TRUE(next.load(host));
    return next.entries();
  }

  Machine machine;
  FakeHost host{machine};
  History history{4};
};

TEST_F(HistoryTest, KeepsWhatWasNotThereYetWhenItWasFirstRead) {
  ASSERT_TRUE(history.load(host));
  history.add(update(3, 300));
  ASSERT_FALSE(history.write(host));  // not mounted yet: the caller tries again
  mount({update(2, 200), update(1, 100)});
  ASSERT_TRUE(history.write(host));
  auto late = update(3, 300);
  late.written_late = true;
  const std::vector expected{late, update(2, 200), update(1, 100)};
  EXPECT_EQ(history.entries(), expected);
  EXPECT_EQ(on_disk(), expected);
}

TEST_F(HistoryTest, SaysWhatWasWrittenLate) {
  mount({update(1, 100)});
  history.add(update(2, 200));
  ASSERT_TRUE(history.write(host));
  machine.state.mounted = false;
  history.add(update(3, 300));
  ASSERT_FALSE(history.write(host));
  history.add(update(3, 300, Outcome::done_with_losses));  // it was not over
  machine.state.mounted = true;
  ASSERT_TRUE(history.write(host));
  const auto entries = on_disk();
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_TRUE(entries[0].written_late);
  EXPECT_FALSE(entries[1].written_late) << "it was on disk in time";
  EXPECT_FALSE(entries[2].written_late);
}

TEST_F(HistoryTest, IsReadOnceItIsThere) {
  ASSERT_TRUE(history.load(host));
  history.add(update(3, 300));
  mount({update(2, 200)});
  ASSERT_TRUE(history.load(host));
  EXPECT_EQ(history.entries(), (std::vector{update(3, 300), update(2, 200)}));
  ASSERT_TRUE(history.load(host));
  EXPECT_EQ(history.entries().size(), 2U);
}

TEST_F(HistoryTest, KeepsNoMoreThanItsLimit) {
  ASSERT_TRUE(history.load(host));
  history.add(update(6, 600));
  mount({update(5, 500), update(4, 400), update(3, 300), update(2, 200)});
  ASSERT_TRUE(history.write(host));
  EXPECT_EQ(on_disk(),
            (std::vector{update(6, 600), update(5, 500), update(4, 400), update(3, 300)}));
}

TEST_F(HistoryTest, TellsOfAnUpdateOnceThoughItWasWrittenBefore) {
  ASSERT_TRUE(history.load(host));
  history.add(update(2, 200, Outcome::failed));
  // The same id in an earlier cold boot is another update.
  mount({update(2, 200), update(2, 50)});
  ASSERT_TRUE(history.write(host));
  EXPECT_EQ(on_disk(), (std::vector{update(2, 200, Outcome::failed), update(2, 50)}));
}

TEST_F(HistoryTest, MovesAGarbledFileAsideAlsoWhenItComesLate) {
  ASSERT_TRUE(history.load(host));
  history.add(update(1, 100));
  mount_text("[{");
  ASSERT_TRUE(history.write(host));
  EXPECT_EQ(on_disk(), std::vector{update(1, 100)});
  EXPECT_EQ(machine.state.read("history.json.bad"), "[{");
}

TEST_F(HistoryTest, DoesNotReplaceAFileThatItCannotRead) {
  mount({update(9, 900)});
  machine.state.unreadable = EIO;
  EXPECT_FALSE(history.load(host));
  history.add(update(1, 100));
  EXPECT_FALSE(history.write(host));
  machine.state.unreadable = 0;
  EXPECT_EQ(on_disk(), std::vector{update(9, 900)});
}

TEST_F(HistoryTest, BeginsWhereThereIsNone) {
  machine.state.mounted = true;
  ASSERT_TRUE(history.load(host));
  history.add(update(1, 100));
  ASSERT_TRUE(history.write(host));
  history.add(update(2, 200));
  ASSERT_TRUE(history.write(host));
  EXPECT_EQ(on_disk(), (std::vector{update(2, 200), update(1, 100)}));
}

TEST_F(HistoryTest, LosesNothingToAFullDisk) {
  mount({update(1, 100)});
  history.add(update(2, 200));
  machine.state.full_for = 1;
  EXPECT_FALSE(history.write(host));
  EXPECT_EQ(on_disk(), std::vector{update(1, 100)});
  EXPECT_TRUE(history.write(host));
  auto late = update(2, 200);
  late.written_late = true;
  EXPECT_EQ(on_disk(), (std::vector{late, update(1, 100)}));
}

TEST_F(HistoryTest, TellsALateLossInTheEntryOfItsUpdate) {
  mount({update(1, 100)});
  history.add(update(2, 200));
  history.add_loss(2, "Session 'a' is lost.");
  history.add_loss(2, "Session 'b' is lost.");
  ASSERT_TRUE(history.write(host));
  const auto newest = on_disk().front();
  EXPECT_EQ(newest.id, 2U);
  EXPECT_EQ(newest.outcome, Outcome::done_with_losses);
  EXPECT_EQ(newest.reason, "Session 'a' is lost.");
  EXPECT_EQ(newest.error, "org.handover1.Error.StateLost");
  EXPECT_EQ(newest.losses,
            (std::vector<std::string>{"Session 'a' is lost.", "Session 'b' is lost."}));
}

/// The daemon was restarted since: the entry is on disk, and was not read yet.
TEST_F(HistoryTest, TellsALateLossInAnEntryOfAnEarlierProcess) {
  mount({update(1, 100)});
  history.add_loss(1, "Session 'a' is lost.");
  ASSERT_TRUE(history.write(host));
  const auto entries = on_disk();
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries.front().losses, std::vector<std::string>{"Session 'a' is lost."});
}

/// It has not carried anything, though its record says how many updates led to its kernel.
TEST_F(HistoryTest, TellsNoLossInAnUpdateThatFailedSince) {
  mount({update(1, 100)});
  auto failed = update(2, 200, Outcome::failed);
  failed.generation = 1;
  history.add(failed);
  history.add_loss(1, "Session 'a' is lost.");
  ASSERT_TRUE(history.write(host));
  EXPECT_EQ(on_disk().front(), failed);
  EXPECT_EQ(on_disk().back().losses, std::vector<std::string>{"Session 'a' is lost."});
}

TEST_F(HistoryTest, TellsNoLossInTheEntryOfAnotherGeneration) {
  mount({update(3, 300), update(2, 200)});
  history.add_loss(2, "Session 'a' is lost.");
  ASSERT_TRUE(history.write(host));
  history.add_loss(0, "Session 'b' is lost.");
  ASSERT_TRUE(history.write(host));
  EXPECT_EQ(on_disk(), (std::vector{update(3, 300), update(2, 200)}));
}

TEST_F(HistoryTest, WritesBytesThatAreNoText) {
  machine.state.mounted = true;
  auto entry = update(1, 100);
  entry.to_release = "7.3.1-\xff";
  history.add(entry);
  EXPECT_TRUE(history.write(host));
  EXPECT_EQ(on_disk().size(), 1U);
}

TEST_F(HistoryTest, TellsTheNewestThatFitIntoAMessage) {
  History large(100);
  for (std::uint64_t id = 1; id <= 20; ++id) {
    auto entry = update(id, 100 * id);
    entry.losses.assign(1, std::string(most_history_bytes / 8, 'x'));
    large.add(entry);
  }
  const auto entries_in = [](const std::string& text) {
    std::size_t count = 0;
    for (auto at = text.find("\"id\":"); at != std::string::npos;
         at = text.find("\"id\":", at + 1)) {
      ++count;
    }
    return count;
  };
  const auto text = large.to_json_text(100);
  EXPECT_LE(text.size(), most_history_bytes + 16);
  EXPECT_GT(entries_in(text), 5U);
  EXPECT_LT(entries_in(text), 9U);
  EXPECT_NE(text.find("\"id\":20"), std::string::npos);
  EXPECT_EQ(entries_in(large.to_json_text(2)), 2U);
  EXPECT_EQ(large.to_json_text(0), "[]");
}

}  // namespace
}  // namespace handover::engine::test
