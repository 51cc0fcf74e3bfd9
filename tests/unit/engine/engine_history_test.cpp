// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/history.h"
#include "support/temporary_directory.h"

namespace handover::engine {
namespace {

using test::TemporaryDirectory;
using test::text_of;

HistoryEntry update(std::uint64_t id, Ticks requested, std::string outcome = "done") {
  HistoryEntry entry;
  entry.id = id;
  entry.outcome = std::move(outcome);
  entry.finished_at = "2026-11-28T12:00:00Z";
  entry.timeline.marks[Mark::requested] = requested;
  return entry;
}

std::string text_with(const std::vector<HistoryEntry>& entries) {
  auto json = nlohmann::json::array();
  for (const auto& entry : entries) json.push_back(to_json(entry));
  return json.dump();
}

/// What the next daemon reads.
std::vector<HistoryEntry> on_disk(const TemporaryDirectory& directory) {
  History history(directory.path("state/history.json"), 100);
  EXPECT_TRUE(history.load());
  return history.entries();
}

class HistoryTest : public testing::Test {
 protected:
  /// The file system with the history is mounted, so to say.
  void mount(const std::vector<HistoryEntry>& entries) const {
    directory.write("state/history.json", text_with(entries));
  }

  TemporaryDirectory directory;
  History history{directory.path("state/history.json"), 4};
};

TEST_F(HistoryTest, KeepsWhatWasNotThereYetWhenItWasFirstRead) {
  ASSERT_TRUE(history.load());
  history.add(update(3, 300));
  ASSERT_FALSE(history.write());  // not mounted yet: the caller tries again
  mount({update(2, 200), update(1, 100)});
  ASSERT_TRUE(history.write());
  const std::vector expected{update(3, 300), update(2, 200), update(1, 100)};
  EXPECT_EQ(history.entries(), expected);
  EXPECT_EQ(on_disk(directory), expected);
}

TEST_F(HistoryTest, IsReadOnceItIsThere) {
  ASSERT_TRUE(history.load());
  history.add(update(3, 300));
  mount({update(2, 200)});
  ASSERT_TRUE(history.load());
  EXPECT_EQ(history.entries(), (std::vector{update(3, 300), update(2, 200)}));
  ASSERT_TRUE(history.load());
  EXPECT_EQ(history.entries().size(), 2U);
}

TEST_F(HistoryTest, KeepsNoMoreThanItsLimit) {
  ASSERT_TRUE(history.load());
  history.add(update(6, 600));
  mount({update(5, 500), update(4, 400), update(3, 300), update(2, 200)});
  ASSERT_TRUE(history.write());
  EXPECT_EQ(on_disk(directory),
            (std::vector{update(6, 600), update(5, 500), update(4, 400), update(3, 300)}));
}

TEST_F(HistoryTest, TellsOfAnUpdateOnceThoughItWasWrittenBefore) {
  ASSERT_TRUE(history.load());
  history.add(update(2, 200, "failed"));
  // The same id in an earlier cold boot is another update.
  mount({update(2, 200), update(2, 50)});
  ASSERT_TRUE(history.write());
  EXPECT_EQ(on_disk(directory), (std::vector{update(2, 200, "failed"), update(2, 50)}));
}

TEST_F(HistoryTest, MovesAGarbledFileAsideAlsoWhenItComesLate) {
  ASSERT_TRUE(history.load());
  history.add(update(1, 100));
  directory.write("state/history.json", "[{");
  ASSERT_TRUE(history.write());
  EXPECT_EQ(on_disk(directory), std::vector{update(1, 100)});
  EXPECT_EQ(text_of(directory.path("state/history.json.bad")), "[{");
}

TEST_F(HistoryTest, DoesNotReplaceAFileThatItCannotRead) {
  std::filesystem::create_directories(directory.path("state/history.json"));
  EXPECT_FALSE(history.load());
  history.add(update(1, 100));
  EXPECT_FALSE(history.write());
  EXPECT_TRUE(std::filesystem::is_directory(directory.path("state/history.json")));
}

TEST_F(HistoryTest, BeginsWhereThereIsNone) {
  std::filesystem::create_directories(directory.path("state"));
  ASSERT_TRUE(history.load());
  history.add(update(1, 100));
  ASSERT_TRUE(history.write());
  history.add(update(2, 200));
  ASSERT_TRUE(history.write());
  EXPECT_EQ(on_disk(directory), (std::vector{update(2, 200), update(1, 100)}));
}

}  // namespace
}  // namespace handover::engine
