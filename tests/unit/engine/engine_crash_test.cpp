// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon is killed at each of its effects on the machine in turn, and the kernel fails each of
// its calls in turn. Whatever happens: everybody runs again, every byte is there or its loss is
// told, and nothing is left over.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <string>

#include "support/sanitized.h"
#include "world_test.h"

namespace handover::engine::test {
namespace {

/// Every place in turn; a sanitizer, for which that takes minutes, sees every third.
constexpr unsigned stride = handover::test::sanitized ? 3 : 1;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// a ← b ← c, and d, which is optional.
void fill(World& world) {
  world.client("a").preserves("a-1", {1, 2}).preserves("a-2", {1});
  world.client("b").needs({"a"}).preserves("b-1", {1}).preserves("b-2", {5});
  world.client("c").needs({"b"}).preserves("c-1", {1}).preserves("c-2", {1});
  world.client("d").optional().preserves("d-1", {1}).preserves("d-2", {3});
}

/// PID 1 stops units for a second, and executes the kernel then.
void finish_kexec_job(World& world, std::uint64_t& since) {
  if (!world.pid_one.kexec_job) {
    since = 0;
  } else if (since == 0) {
    since = world.machine.clock.now_usec();
    world.machine.clock.later(World::second, [] {});
  } else if (world.machine.clock.now_usec() >= since + World::second) {
    world.finish_orderly_kexec();
  }
}

struct Kind {
  const char* name;
  bool emulated;
  Mode mode;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class CrashTest : public testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<World> make(std::uint64_t seed = 0) {
    World::Options options;
    options.emulated = GetParam().emulated;
    options.seed = seed;
    auto world = std::make_unique<World>(options);
    world->config.claim_timeout_usec = 60 * World::second;
    world->config.mode = GetParam().mode;
    fill(*world);
    world->boot();
    EXPECT_TRUE(world->calm_down());
    EXPECT_EQ(lines(world->wrong()), "");
    since_ = 0;
    world->before_step = [this, raw = world.get()] { finish_kexec_job(*raw, since_); };
    return world;
  }
  /// After whatever has happened to an update.
  void expect_it_goes_on(World& world, const std::string& outcome) {
    expect_all_is_well(world);
    if (!GetParam().emulated && !world.lost_anything()) {
      EXPECT_EQ(world.engine().generation(), world.kernels - 1);
    }
    // Killed before it answered, it may know nothing of it any more.
    if (!outcome.starts_with("refused")) {
      EXPECT_FALSE(world.history().empty());
    }
    const auto losses = world.announced.losses.size();
    EXPECT_EQ(world.update(), "done");
    EXPECT_EQ(world.announced.losses.size(), losses);
    expect_all_is_well(world);
  }

 private:
  std::uint64_t since_ = 0;
};

TEST_P(CrashTest, KilledAtEachEffect) {
  const auto descriptors = open_descriptors();
  std::size_t lossy = 0;
  for (std::uint64_t nth = 1;; nth += stride) {
    auto world = make();
    const auto before = world->machine.effects();
    world->machine.die_at(nth);
    const auto outcome = world->update();
    const bool died = world->machine.effects() - before >= nth;
    SCOPED_TRACE(std::to_string(nth) + ": " + world->machine.last_effect() + ", " + outcome);
    (void)world->calm_down();
    world->machine.die_at(0);
    if (world->lost_anything()) {
      ++lossy;
      EXPECT_EQ(world->machine.last_effect(), "store_fd");
    }
    expect_it_goes_on(*world, outcome);
    world.reset();
    EXPECT_EQ(open_descriptors(), descriptors);
    if (HasFailure() || !died) {
      std::cout << nth << " deaths, " << lossy << " with a loss that is told\n";
      break;
    }
  }
  // LUO's sessions go with their last descriptor. Between a session's retrieval and its copy in the
  // fd store that is the process's own: once for the manifest's, and once for each of the clients'.
  EXPECT_LE(lossy, GetParam().emulated ? 0U : 1 + 8U);
}

TEST_P(CrashTest, KilledAgainAndAgain) {
  for (std::uint64_t seed = 1; seed <= 60; seed += stride) {
    SCOPED_TRACE(seed);
    auto world = make(seed);
    std::mt19937_64 random(seed);
    auto deaths = 1 + random() % 4;
    world->before_step = [&, plain = world->before_step] {
      plain();
      if (deaths == 0 || !world->ready()) return;
      if (world->machine.die_at_is_set()) return;
      --deaths;
      world->machine.die_at(1 + random() % 60);
    };
    const auto outcome = world->update();
    deaths = 0;
    world->machine.die_at(0);
    expect_it_goes_on(*world, outcome);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, CrashTest,
                         testing::Values(Kind{"immediate", false, Mode::immediate},
                                         Kind{"orderly", false, Mode::orderly},
                                         Kind{"emulated", true, Mode::emulated}),
                         [](const auto& kind) { return kind.param.name; });

// ---- the kernel refuses

class FaultTest : public testing::TestWithParam<int> {};

TEST_P(FaultTest, EachCallOfTheKernelFailsOnce) {
  const auto descriptors = open_descriptors();
  std::size_t lossy = 0;
  for (int nth = 1;; nth += stride) {
    SCOPED_TRACE(nth);
    auto world = std::make_unique<World>();
    world->config.claim_timeout_usec = 60 * World::second;
    fill(*world);
    world->boot();
    EXPECT_TRUE(world->calm_down());
    world->kernel->faults().fail_call(nth, GetParam());
    (void)world->update();
    const bool failed = world->kernel->faults().calls() >= nth;
    if (!failed) world->kernel->faults().none();
    (void)world->calm_down();
    if (world->lost_anything()) ++lossy;
    expect_all_is_well(*world);
    EXPECT_EQ(world->processes, world->kernels);  // nobody died of it
    if (failed) {
      EXPECT_EQ(world->update(), "done");
      expect_all_is_well(*world);
    }
    world.reset();
    EXPECT_EQ(open_descriptors(), descriptors);
    if (HasFailure() || !failed) {
      std::cout << nth << " calls, " << lossy << " with a loss that is told\n";
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Errnos, FaultTest, testing::Values(EBUSY, ENOMEM, EMFILE),
                         [](const auto& code) { return std::string(strerrorname_np(code.param)); });

/// A passing error costs nothing: it is asked for again.
TEST_P(FaultTest, NothingIsLostForIt) {
  for (int nth = 1; nth < 40; nth += stride) {
    SCOPED_TRACE(nth);
    World world;
    fill(world);
    world.boot();
    ASSERT_TRUE(world.request(JobType::update));
    ASSERT_TRUE(world.run_until([&] { return world.kernels == 2; }));
    world.kernel->faults().fail_call(nth, GetParam());
    EXPECT_EQ(world.outcome(), "done");
    EXPECT_FALSE(world.lost_anything());
    expect_all_is_well(world);
    if (HasFailure() || world.kernel->faults().calls() < nth) return;
  }
}

}  // namespace
}  // namespace handover::engine::test
