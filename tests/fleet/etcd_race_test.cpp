// SPDX-License-Identifier: LGPL-2.1-or-later
// Many gates race for few slots of a real etcd, are killed at random and come back, while etcd
// dies and comes back: never more hold than there are slots, everybody gets his turns, and in the
// end every slot is free.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <random>
#include <thread>

#include "etcd_process.h"
#include "fleet/lock.h"

namespace handover::test {
namespace {

using namespace std::chrono_literals;
using fleet::Claim;
using fleet::LockClient;
using fleet::LockOutcome;

/// The process dies here.
struct Killed {};

/// Kills its gate now and then, before or after a request went out.
class Deadly : public fleet::Server {
 public:
  Deadly(const fleet::Access& access, const std::atomic<bool>& never, std::mt19937& random)
      : server_(fleet::make_http_server(access, never)), random_(random) {}

  fleet::Reply exchange(const std::string& url, const fleet::Request& request) override {
    const auto fate = std::uniform_int_distribution(0, 99)(random_);
    if (fate == 0) throw Killed();
    auto reply = server_->exchange(url, request);
    if (fate == 1) throw Killed();
    return reply;
  }

 private:
  std::unique_ptr<fleet::Server> server_;
  std::mt19937& random_;
};

struct Race {
  fleet::Lock lock;
  std::atomic<int> holding = 0, most = 0, turns = 0, deaths = 0;
  std::atomic<bool> never = false;
};

/// What a gate's process does from its start on; what it leaves on disk is `asked`.
class RacingGate {
 public:
  RacingGate(Race& race, unsigned seed, int number)
      : race_(race),
        random_(seed),
        claim_{"id" + std::to_string(number), "host" + std::to_string(number), 0, "t"} {}

  void take_turns(int turns) {
    // Whoever dies after his last turn comes back, too, and gives back what he may hold.
    while (done_ < turns || asked_) {
      try {
        live(turns);
      } catch (const Killed&) {
        ++race_.deaths;
        stop_holding();
      }
    }
  }

 private:
  void live(int turns) {
    Deadly server(race_.lock.access, race_.never, random_);
    LockClient client(race_.lock, server, race_.never);
    if (asked_) give_back(client);
    while (done_ < turns) {
      asked_ = true;
      const auto outcome = client.take(claim_);
      if (outcome.held()) {
        hold();
        ++done_;
        ++race_.turns;
        give_back(client);
      } else if (outcome.kind == LockOutcome::Kind::uncertain) {
        give_back(client);
      } else {
        asked_ = false;
      }
      sleep_for_some(100, 300);
    }
  }

  void hold() {
    const int now = ++race_.holding;
    int most = race_.most;
    while (now > most && !race_.most.compare_exchange_weak(most, now)) {
    }
    holds_ = true;
    sleep_for_some(1, 10);
    if (std::uniform_int_distribution(0, 19)(random_) == 0) throw Killed();
    stop_holding();
  }

  void stop_holding() {
    if (std::exchange(holds_, false)) --race_.holding;
  }

  void give_back(LockClient& client) {
    while (client.give_back(claim_).kind != LockOutcome::Kind::free) sleep_for_some(50, 100);
    asked_ = false;
  }

  void sleep_for_some(int least_ms, int most_ms) {
    const auto ms = std::uniform_int_distribution(least_ms, most_ms)(random_);
    std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  }

  Race& race_;
  std::mt19937 random_;
  Claim claim_;
  bool asked_ = false, holds_ = false;
  int done_ = 0;
};

unsigned seed_of_run() {
  const char* given = getenv("HANDOVER_FLEET_SEED");
  return given ? static_cast<unsigned>(strtoul(given, nullptr, 10)) : 20261201U;
}

/// `trouble` runs once a third of all turns is over.
void race_for(Etcd& etcd, std::uint64_t slots, int gates, int turns,
              const std::function<void()>& trouble) {
  Race race;
  race.lock.kind = fleet::LockKind::etcd;
  race.lock.urls = etcd.endpoints();
  race.lock.slots = slots;
  race.lock.access.proxy = "none";
  race.lock.access.timeout_usec = 3'000'000;
  const auto seed = seed_of_run();
  SCOPED_TRACE("HANDOVER_FLEET_SEED=" + std::to_string(seed));

  std::vector<std::thread> threads;
  for (int i = 0; i < gates; ++i) {
    threads.emplace_back([&race, seed, i, turns] {
      RacingGate(race, seed + static_cast<unsigned>(i), i).take_turns(turns);
    });
  }
  // What etcd itself says, meanwhile.
  std::atomic<bool> over = false;
  std::atomic<std::size_t> most_seen = 0;
  std::thread watcher([&] {
    const auto server = fleet::make_http_server(race.lock.access, race.never);
    LockClient client(race.lock, *server, race.never);
    while (!over) {
      if (auto board = client.board()) {
        most_seen = std::max<std::size_t>(most_seen, board->held.size());
      }
      std::this_thread::sleep_for(50ms);
    }
  });
  while (race.turns < gates * turns / 3) std::this_thread::sleep_for(20ms);
  trouble();
  for (auto& thread : threads) thread.join();
  over = true;
  watcher.join();

  EXPECT_EQ(race.turns, gates * turns);
  EXPECT_LE(race.most, static_cast<int>(slots));
  EXPECT_LE(most_seen.load(), slots);
  EXPECT_GT(race.deaths, 0) << "nobody was killed";
  const auto server = fleet::make_http_server(race.lock.access, race.never);
  auto board = LockClient(race.lock, *server, race.never).board();
  ASSERT_TRUE(board) << board.error().message;
  EXPECT_TRUE(board->held.empty()) << fleet::describe(board->held);
  testing::Test::RecordProperty("killed", race.deaths);
  testing::Test::RecordProperty("most", race.most);
}

TEST(EtcdRace, FiftyGatesForThreeSlots) {
  if (!Etcd::there()) GTEST_SKIP() << "etcd-server is not installed";
  Etcd etcd;
  ASSERT_TRUE(etcd.start());
  race_for(etcd, 3, 50, 4, [&] {
    for (int i = 0; i < 2; ++i) {
      etcd.kill_member(0);
      std::this_thread::sleep_for(500ms);
      ASSERT_TRUE(etcd.start_member(0));
      std::this_thread::sleep_for(2s);
    }
  });
}

TEST(EtcdRace, AClusterLosesAMember) {
  if (!Etcd::there()) GTEST_SKIP() << "etcd-server is not installed";
  Etcd etcd(3);
  ASSERT_TRUE(etcd.start());
  race_for(etcd, 2, 10, 6, [&] { etcd.kill_member(0); });
}

}  // namespace
}  // namespace handover::test
