// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls that wait to be sent: whose turn it is, and what it costs to find that out.
#include "bus/waiting.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace handover::test {
namespace {

using bus::Offer;

struct Pending {
  struct {
    uid_t uid = 0;
  } call;
  std::string object;
  std::uint64_t number = 0;
};

class WaitingTest : public testing::Test {
 protected:
  using Waiting = bus::Waiting<Pending>;

  void push(uid_t uid, const std::string& object) { waiting.push_back({{uid}, object}); }
  /// The objects of those who were offered; `answer` says what becomes of each.
  template <typename Answer>
  std::vector<std::string> offer(Answer answer) {
    std::vector<std::string> offered;
    waiting.offer([&](Waiting::Place pending) {
      offered.push_back(pending->object);
      const auto said = answer(*pending);
      if (said == Offer::taken) waiting.take(pending, taken);
      return said;
    });
    return offered;
  }
  [[nodiscard]] std::vector<std::string> left() const {
    std::vector<std::string> objects;
    waiting.for_each([&](const Pending& pending) { objects.push_back(pending.object); });
    return objects;
  }

  using Objects = std::vector<std::string>;
  Waiting waiting;
  Waiting::List taken;
};

TEST_F(WaitingTest, AreOfferedInTheirOrder) {
  push(1000, "a");
  push(0, "b");
  push(1000, "c");
  push(7, "d");
  EXPECT_EQ(offer([](const Pending&) { return Offer::taken; }), (Objects{"a", "b", "c", "d"}));
  EXPECT_EQ(waiting.size(), 0U);
  EXPECT_EQ(taken.size(), 4U);
}

/// However many calls of theirs wait.
TEST_F(WaitingTest, OfWhomAQuotaHoldsBackNoMoreIsOffered) {
  for (int i = 0; i < 1000; ++i) push(1000, "user" + std::to_string(i));
  push(0, "root");
  const auto answer = [&](const Pending& pending) {
    return pending.call.uid == 0 || taken.empty() ? Offer::taken : Offer::refused;
  };
  EXPECT_EQ(offer(answer), (Objects{"user0", "user1", "root"}));
  EXPECT_EQ(waiting.size(), 999U);
}

TEST_F(WaitingTest, OneThatIsKeptIsInNobodysWay) {
  push(1000, "silent");
  push(1000, "good");
  EXPECT_EQ(offer([](const Pending& pending) {
              return pending.object == "silent" ? Offer::kept : Offer::taken;
            }),
            (Objects{"silent", "good"}));
  EXPECT_EQ(left(), Objects{"silent"});
}

TEST_F(WaitingTest, EndWhenThereIsNoRoom) {
  push(1000, "a");
  push(7, "b");
  EXPECT_EQ(offer([](const Pending&) { return Offer::full; }), Objects{"a"});
  EXPECT_EQ(waiting.size(), 2U);
}

TEST_F(WaitingTest, OneThatIsPutBackIsTheNext) {
  push(1000, "a");
  push(1000, "b");
  push(7, "c");
  (void)offer(
      [](const Pending& pending) { return pending.object == "a" ? Offer::taken : Offer::full; });
  EXPECT_FALSE(waiting.any_for("a"));
  waiting.put_back(taken, taken.begin());
  EXPECT_TRUE(waiting.any_for("a"));
  EXPECT_EQ(offer([](const Pending&) { return Offer::kept; }), (Objects{"a", "b", "c"}));
}

TEST_F(WaitingTest, AreTakenOutByWhatTheyAre) {
  for (const auto* object : {"a", "b", "a", "c"}) push(1000, object);
  push(7, "a");
  const auto is_a = [](const Pending& pending) { return pending.object == "a"; };
  EXPECT_EQ(waiting.take_if(1000, is_a).size(), 2U);
  EXPECT_TRUE(waiting.any_for("a"));
  EXPECT_EQ(waiting.take_if(is_a).size(), 1U);
  EXPECT_FALSE(waiting.any_for("a"));
  EXPECT_EQ(left(), (Objects{"b", "c"}));
  EXPECT_EQ(waiting.size(), 2U);
}

}  // namespace
}  // namespace handover::test
