// SPDX-License-Identifier: LGPL-2.1-or-later
// The event loop: its turns, what runs at their end, late timers, and callbacks that throw.
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <thread>

#include "log_capture.h"
#include "system/loop.h"
#include "system/trampoline.h"

namespace handover::system::test {

using handover::test::has_field;
using handover::test::LogCapture;

namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
constexpr std::uint64_t millisecond = 1000;

void stay_busy(milliseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
  }
}

class LoopTest : public testing::Test {
 protected:
  /// A test that hangs fails.
  void SetUp() override {
    limit_ = loop.after(60'000 * millisecond, [this] {
      ADD_FAILURE() << "the loop did not end";
      loop.exit(1);
    });
  }

  Loop loop;
  std::string order;

 private:
  Timer limit_;
};

TEST_F(LoopTest, RunsWhatThreadsPostInTheirOrder) {
  std::thread thread([this] {
    for (const char c : std::string("abc")) {
      loop.post([this, c] { order += c; });
    }
    loop.post([this] { loop.exit(3); });
  });
  EXPECT_EQ(loop.run(), 3);
  thread.join();
  EXPECT_EQ(order, "abc");
}

TEST_F(LoopTest, PostsFromACallbackRunAfterIt) {
  loop.post([this] {
    loop.post([this] {
      order += "b";
      loop.exit(0);
    });
    order += "a";
  });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "ab");
}

TEST_F(LoopTest, CancelledTimersDoNotRun) {
  Timer cancelled = loop.after(millisecond, [this] { order += "x"; });
  Timer late = loop.after(
      0, [this] { order += "y"; }, Priority::late);
  {
    const Timer gone = loop.after(millisecond, [this] { order += "z"; });
  }
  cancelled.cancel();
  late.cancel();
  EXPECT_FALSE(cancelled);
  const Timer end = loop.after(20 * millisecond, [this] { loop.exit(0); });
  EXPECT_TRUE(end);
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "");
}

TEST_F(LoopTest, TimersRunInTheOrderOfTheirTimes) {
  std::vector<Timer> timers;
  timers.push_back(loop.after(30 * millisecond, [&] { order += "c"; }));
  timers.push_back(loop.after(10 * millisecond, [&] { order += "a"; }));
  timers.push_back(loop.after(20 * millisecond, [&] {
    order += "b";
    timers.push_back(loop.after(0, [&] { order += "!"; }));
  }));
  timers.push_back(loop.after(5 * millisecond, [&] { order += "never"; }));
  timers.back().cancel();
  EXPECT_FALSE(timers.back());
  const Timer far = loop.after(UINT64_MAX, [&] { order += "never"; });
  timers.push_back(loop.after(60 * millisecond, [this] { loop.exit(0); }));
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "ab!c");
}

TEST_F(LoopTest, ATimerMayReplaceItselfFromItsCallback) {
  Timer timer;
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs == 3) return loop.exit(0);
    timer = loop.after(0, again, runs == 1 ? Priority::late : Priority::normal);
  };
  timer = loop.after(0, again);
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(runs, 3);
}

TEST_F(LoopTest, TheEndOfATurnComesOnceAfterAllThatIsToBeDone) {
  loop.post([this] {
    loop.at_turn_end([this] {
      order += "E";
      loop.post([this] { order += "d"; });
      loop.at_turn_end([this] {
        order += "F";
        loop.exit(0);
      });
    });
    loop.post([this] {
      order += "b";
      loop.post([this] { order += "c"; });
    });
    order += "a";
  });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "abcEdF");
}

TEST_F(LoopTest, TheEndOfTheLastTurnComesToo) {
  loop.post([this] {
    loop.exit(0);
    loop.at_turn_end([this] { order += "E"; });
  });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "E");
}

TEST_F(LoopTest, TheEndOfATurnComesUnderAFloodToo) {
  int flood = 0;
  std::function<void()> again = [&] {
    if (++flood == 1) loop.at_turn_end([this] { order += "E"; });
    if (order.empty()) loop.post(again);
  };
  loop.post(again);
  const Timer late = loop.after(
      0, [this] { loop.exit(0); }, Priority::late);
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "E");
}

TEST_F(LoopTest, LateTimersComeAfterWhatHasArrived) {
  const UniqueFd arrived(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  struct Reader {
    std::string& order;
    int messages;
  } reader{order, 3};
  // As a bus: one message each time.
  const auto on_io = [](sd_event_source* source, int, std::uint32_t, void* userdata) {
    auto& self = *static_cast<Reader*>(userdata);
    self.order += "m";
    if (--self.messages == 0) sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return 0;
  };
  ASSERT_GE(sd_event_add_io(loop.get(), nullptr, arrived.get(), EPOLLIN, on_io, &reader), 0);
  const Timer late = loop.after(
      5 * millisecond,
      [this] {
        order += "T";
        loop.exit(0);
      },
      Priority::late);
  loop.at_turn_end([this] { order += "E"; });
  // The loop is held up until the limit is over; meanwhile the messages arrive.
  const Timer busy = loop.after(0, [&] {
    stay_busy(milliseconds(30));
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(arrived.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    loop.at_turn_end([this] { order += "e"; });
  });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order.substr(order.find('m')), order.find('e') < order.find('m') ? "mmmT" : "mmmTe")
      << "the end of the turn comes when its time is over, or after the timer";
}

TEST_F(LoopTest, LateTimersRunUnderAFloodToo) {
  std::function<void()> again = [&] { loop.post(again); };
  loop.post(again);
  const auto began = Clock::now();
  const Timer late = loop.after(
      0, [this] { loop.exit(0); }, Priority::late);
  EXPECT_EQ(loop.run(), 0);
  EXPECT_GE(Clock::now() - began, milliseconds(900)) << "but not before others had their chance";
}

TEST_F(LoopTest, CountsTurnsAndThoseThatAreLate) {
  const LogCapture capture;
  ASSERT_TRUE(log::set_level("debug"));
  std::vector<Timer> timers;
  for (int i = 1; i <= 3; ++i) timers.push_back(loop.after(i * 40 * millisecond, [] {}));
  timers.push_back(loop.after(200 * millisecond, [] { stay_busy(milliseconds(30)); }));
  timers.push_back(loop.after(300 * millisecond, [this] { loop.exit(0); }));
  EXPECT_EQ(loop.run(), 0);
  ASSERT_TRUE(log::set_level("info"));
  EXPECT_GE(loop.turns(), 2U) << "a busy machine may do several timers in one turn";
  EXPECT_LE(loop.turns(), 12U) << "one at the start, five timers";
  EXPECT_GE(loop.late_turns(), 1U);
  EXPECT_GE(loop.longest_turn_usec(), 30'000U);
  EXPECT_GE(loop.longest_call_usec(), 30'000U);
  const auto lines = capture.lines();
  ASSERT_EQ(lines.size(), 1U) << "not a line for each";
  EXPECT_TRUE(has_field(lines[0], "COUNT=1"));
}

TEST_F(LoopTest, ATurnIsAllThatIsDoneWithoutSleeping) {
  // Ten posts of 4 ms: none is late alone.
  int left = 10;
  std::function<void()> again = [&] {
    stay_busy(milliseconds(4));
    if (--left == 0) return loop.exit(0);
    loop.post(again);
  };
  loop.post(again);
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(loop.turns(), 1U);
  EXPECT_EQ(loop.late_turns(), 1U);
  EXPECT_GE(loop.longest_turn_usec(), 40'000U);
}

int thrower(sd_event_source*, std::uint64_t, void*) { throw std::runtime_error("from a handler"); }

TEST_F(LoopTest, OutlivesWhatCallbacksThrow) {
  const LogCapture capture;
  loop.post([] { throw std::runtime_error("posted"); });
  const Timer timer = loop.after(0, [] { throw 7; });
  const Timer late = loop.after(
      0, [] { throw std::runtime_error("late"); }, Priority::late);
  loop.at_turn_end([] { throw std::runtime_error("at the end"); });
  ASSERT_GE(
      sd_event_add_time(loop.get(), nullptr, CLOCK_MONOTONIC, 0, 1, trampoline<thrower>, nullptr),
      0);
  Timer end;
  std::function<void()> look = [&] {
    if (capture.lines(log::Level::critical).size() == 5) return loop.exit(0);
    end = loop.after(millisecond, look);
  };
  loop.post(look);
  EXPECT_EQ(loop.run(), 0);
  const auto lines = capture.lines(log::Level::critical);
  ASSERT_EQ(lines.size(), 5U);
  std::string all;
  for (const auto& line : lines) all += line.text + "\n";
  for (const char* what : {"posted", "an exception of an unknown type", "late", "at the end",
                           "from a handler", "thrower", "OutlivesWhatCallbacksThrow"}) {
    EXPECT_NE(all.find(what), std::string::npos) << what << " is not in " << all;
  }
}

TEST_F(LoopTest, TellsOfEachSignal) {
  std::vector<unsigned> counts;
  loop.on_terminate([&](unsigned nth) {
    counts.push_back(nth);
    if (nth == 1) ::kill(::getpid(), SIGINT);
    if (nth == 2) loop.exit(5);
  });
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(loop.run(), 5);
  EXPECT_EQ(counts, (std::vector<unsigned>{1, 2}));
}

TEST(Trampoline, ReturnsWhatTheFunctionReturnsOrTheFailure) {
  const LogCapture capture;
  constexpr auto halve = [](int number) {
    if (number % 2 != 0) throw std::invalid_argument("odd");
    return number / 2;
  };
  int (*plain)(int) noexcept = trampoline<halve, -5>;
  EXPECT_EQ(plain(8), 4);
  EXPECT_EQ(plain(7), -5);
  constexpr auto nothing = [](const char*) { throw std::invalid_argument("void"); };
  void (*without)(const char*) noexcept = trampoline<nothing>;
  without("");
  ASSERT_EQ(capture.lines().size(), 2U);
  EXPECT_TRUE(guarded("work", [] {}));
  EXPECT_FALSE(guarded("work", [] { throw std::runtime_error("x"); }));
  EXPECT_TRUE(has_field(capture.lines()[2], "OPERATION=work"));
  EXPECT_EQ(function_name<thrower>().substr(function_name<thrower>().rfind(':') + 1), "thrower");
}

}  // namespace
}  // namespace handover::system::test
