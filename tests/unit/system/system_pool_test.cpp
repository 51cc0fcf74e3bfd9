// SPDX-License-Identifier: LGPL-2.1-or-later
// The pool: order in a queue, turns between queues, and its end.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>

#include "log_capture.h"
#include "system/pool.h"

namespace handover::system::test {

using handover::test::LogCapture;

namespace {

/// Holds jobs back until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void wait_for(unsigned count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned arrived_ = 0;
  bool open_ = false;
};

class PoolTest : public testing::Test {
 protected:
  Pool::Job held(Gate& gate) {
    return [&gate] {
      gate.pass();
      return std::function<void()>();
    };
  }
  Pool::Job noted(char name) {
    return [this, name]() -> std::function<void()> {
      return [this, name] {
        order += name;
        if (order.size() == expected) loop.exit(0);
      };
    };
  }

  Loop loop;
  std::string order;
  std::size_t expected = 0;
};

TEST_F(PoolTest, RunsJobsOfOneQueueInOrder) {
  Pool pool(loop, 4);
  expected = 26;
  for (char c = 'a'; c <= 'z'; ++c) pool.run(7, noted(c));
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "abcdefghijklmnopqrstuvwxyz");
  EXPECT_EQ(pool.waiting(), 0U);
}

TEST_F(PoolTest, RunsQueuesAtTheSameTimeUpToItsThreads) {
  Gate gate;
  Pool pool(loop, 3);
  for (std::uint64_t queue = 0; queue < 5; ++queue) pool.run(queue, held(gate));
  gate.wait_for(3);
  EXPECT_EQ(pool.busy(), 3U);
  EXPECT_EQ(pool.waiting(), 2U);
  gate.open();
  gate.wait_for(5);
}

TEST_F(PoolTest, QueuesTakeTurnsAndThoseInAHurryComeFirst) {
  Gate gate;
  Pool pool(loop, 1);
  pool.run(0, held(gate));
  gate.wait_for(1);
  for (const char c : {'a', 'b', 'c'}) pool.run(1, noted(c));
  for (const char c : {'m', 'n'}) pool.run(2, noted(c));
  for (const char c : {'x', 'y'}) pool.run(3, noted(c));
  pool.hurry(3);
  pool.hurry(99);  // nothing waits there
  expected = 7;
  gate.open();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "xyambnc");
}

TEST_F(PoolTest, AQueueThatRunsCanBeHurried) {
  Gate gate;
  Pool pool(loop, 1);
  pool.run(1, held(gate));
  gate.wait_for(1);
  pool.run(2, noted('m'));
  pool.run(1, noted('a'));
  pool.hurry(1);
  expected = 2;
  gate.open();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "am");
}

TEST_F(PoolTest, TheHurryEndsWithTheQueue) {
  Gate first;
  Gate second;
  Pool pool(loop, 1);
  pool.run(0, held(first));
  first.wait_for(1);
  pool.run(2, held(second));
  pool.run(1, noted('a'));
  pool.hurry(1);
  first.open();
  second.wait_for(1);
  pool.run(3, noted('m'));
  pool.run(1, noted('b'));
  expected = 3;
  second.open();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "amb");
}

/// A thread whose job the loop has heard of may not be back yet. Never, and CTest's limit ends it.
void wait_for_busy(const Pool& pool, unsigned threads) {
  while (pool.busy() != threads) std::this_thread::yield();
}

/// The jobs of one owner wait for ever; whoever else comes is served.
TEST_F(PoolTest, OneOwnerHasHalfOfTheThreadsAtMost) {
  constexpr unsigned threads = 8;
  Gate gate;
  Pool pool(loop, threads);
  for (std::uint64_t queue = 0; queue < 3 * threads; ++queue)
    pool.run(queue, held(gate), "hostile");
  gate.wait_for(threads / 2);
  expected = 2;
  pool.run(100, noted('a'), "other");
  pool.run(101, noted('b'));
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order.size(), 2U);
  wait_for_busy(pool, threads / 2);
  EXPECT_EQ(pool.waiting(), 3 * threads - threads / 2);
  gate.open();
  gate.wait_for(3 * threads);
}

TEST_F(PoolTest, AllOwnersLeaveSomeThreadsToTheDaemon) {
  constexpr unsigned threads = 8;
  constexpr unsigned most = 6;
  Gate gate;
  Pool pool(loop, threads);
  std::uint64_t queue = 0;
  for (const auto* owner : {"a", "b", "c", "d"}) {
    for (unsigned i = 0; i < threads; ++i) pool.run(queue++, held(gate), owner);
  }
  gate.wait_for(most);
  expected = 1;
  pool.run(100, noted('x'));
  EXPECT_EQ(loop.run(), 0);
  wait_for_busy(pool, most);
  gate.open();
  gate.wait_for(4 * threads);
}

/// What is let go for a thread that its owner may not have makes way for another owner's.
TEST_F(PoolTest, NobodyWaitsForAThreadThatIsFree) {
  constexpr unsigned threads = 8;  // four for one owner, six for all
  Gate hostile;
  Gate others;
  Pool pool(loop, threads);
  std::uint64_t queue = 0;
  for (int i = 0; i < 3; ++i) pool.run(queue++, held(hostile), "a");
  for (int i = 0; i < 3; ++i) pool.run(queue++, held(others), "b");
  hostile.wait_for(3);
  others.wait_for(3);
  pool.run(queue++, held(hostile), "a");
  pool.run(queue++, held(hostile), "a");
  expected = 2;
  pool.run(100, noted('c'), "c");
  pool.run(101, noted('d'));
  others.open();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order.size(), 2U) << order;
  hostile.open();
  hostile.wait_for(5);
}

TEST_F(PoolTest, AnOwnersFurtherQueuesKeepTheirOrder) {
  Gate gate;
  Pool pool(loop, 2);  // one of them for one owner
  pool.run(0, held(gate), "o");
  gate.wait_for(1);
  for (std::uint64_t queue = 1; queue <= 4; ++queue) {
    pool.run(queue, noted(static_cast<char>('a' + queue)), "o");
  }
  // The other thread has held them all back when it comes to this one.
  pool.run(100, [&]() -> std::function<void()> {
    pool.hurry(3);
    gate.open();
    return {};
  });
  expected = 4;
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "dbce");
}

TEST_F(PoolTest, ItsEndWaitsForWhatRunsOnly) {
  std::atomic<int> ran = 0;
  Gate gate;
  {
    Pool pool(loop, 2);
    const auto job = [&] {
      gate.pass();
      ++ran;
      return std::function<void()>();
    };
    for (std::uint64_t queue = 0; queue < 10; ++queue) pool.run(queue, job);
    gate.wait_for(2);
    gate.open();
  }
  EXPECT_GE(ran, 2);
  const int at_the_end = ran;
  EXPECT_EQ(ran, at_the_end) << "no thread is left";
}

TEST_F(PoolTest, OutlivesWhatJobsThrow) {
  const LogCapture capture;
  Pool pool(loop, 1);
  expected = 1;
  pool.run(1, []() -> std::function<void()> { throw std::runtime_error("the job"); });
  pool.run(1, noted('a'));
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(order, "a");
  ASSERT_EQ(capture.lines(log::Level::critical).size(), 1U);
  EXPECT_NE(capture.lines(log::Level::critical)[0].text.find("the job"), std::string::npos);
}

TEST_F(PoolTest, FiftyQueuesNeverOverlapAndKeepTheirOrder) {
  constexpr int queues = 50;
  constexpr int jobs_each = 100;
  struct State {
    std::atomic<bool> running = false;
    int next = 0;          // of the jobs; guarded by the pool's promise alone, for ThreadSanitizer
    int next_in_loop = 0;  // of the results
  };
  std::array<State, queues> states;
  std::atomic<int> overlaps = 0;
  std::atomic<int> disorder = 0;
  int results = 0;
  Pool pool(loop, 6);
  std::mt19937 random(4711);
  std::array<int, queues> made = {};
  for (int i = 0; i < queues * jobs_each; ++i) {
    auto queue = random() % queues;
    while (made.at(queue) == jobs_each) queue = (queue + 1) % queues;
    const int number = made.at(queue)++;
    State& state = states.at(queue);
    pool.run(queue, [&, number]() -> std::function<void()> {
      if (state.running.exchange(true)) ++overlaps;
      if (state.next++ != number) ++disorder;
      if (number % 17 == 0) std::this_thread::yield();
      state.running = false;
      return [&, number] {
        if (state.next_in_loop++ != number) ++disorder;
        if (++results == queues * jobs_each) loop.exit(0);
      };
    });
    if (i % 37 == 0) pool.hurry(random() % queues);
  }
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(disorder, 0);
  EXPECT_EQ(results, queues * jobs_each);
}

}  // namespace
}  // namespace handover::system::test
