// SPDX-License-Identifier: LGPL-2.1-or-later
// The manifest's store on each keeper: the newest text comes back, whole, whatever fails.
#include <gtest/gtest.h>

#include <functional>
#include <ostream>

#include "backend/memory_file.h"
#include "backend/slots.h"
#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

using Tokens = std::set<std::uint64_t>;

struct WorldKind {
  std::string name;
  std::function<std::unique_ptr<World>()> make;
};

std::ostream& operator<<(std::ostream& out, const WorldKind& kind) { return out << kind.name; }

class ManifestOnEach : public testing::TestWithParam<WorldKind> {
 protected:
  void update() {
    Sessions none;
    world->update(none);
  }

  std::unique_ptr<World> world = GetParam().make();
};

std::string read(World& world) {
  const auto text = world.manifest().unseal();
  if (!text) return "error: " + text.error().message;
  return text->value_or("none");
}

TEST_P(ManifestOnEach, KeepsTheNewest) {
  EXPECT_EQ(read(*world), "none");
  const std::string large(300'000, 'x');
  for (const std::string& text : {std::string("first"), std::string("a longer one"), large,
                                  std::string(900'000, 'y'), std::string("short again")}) {
    ASSERT_TRUE(world->manifest().replace(text));
  }
  EXPECT_EQ(read(*world), "none") << "that of this very kernel is no message";
  update();
  EXPECT_EQ(read(*world), "short again");
  EXPECT_EQ(read(*world), "none") << "a manifest is read once";
  ASSERT_TRUE(world->manifest().replace(large));
  update();
  EXPECT_EQ(read(*world), large);
}

TEST_P(ManifestOnEach, AddsToWhatItKeeps) {
  EXPECT_EQ(world->manifest().room(), 0U);
  const auto too_early = world->manifest().append("+1\n");
  ASSERT_FALSE(too_early);
  EXPECT_EQ(too_early.error().code, ErrorCode::limit_exceeded);

  ASSERT_TRUE(world->manifest().replace("base\n"));
  const auto room = world->manifest().room();
  EXPECT_GE(room, 200'000U);
  ASSERT_TRUE(world->manifest().append("+1\n"));
  ASSERT_TRUE(world->manifest().append("+2\n"));
  EXPECT_EQ(world->manifest().room(), room - 6);
  const auto too_large = world->manifest().append(std::string(room, 'x'));
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::limit_exceeded);
  update();
  EXPECT_EQ(read(*world), "base\n+1\n+2\n");

  ASSERT_TRUE(world->manifest().replace("next\n"));
  ASSERT_TRUE(world->manifest().append("+1\n"));
  ASSERT_TRUE(world->manifest().replace("compacted\n"));
  update();
  EXPECT_EQ(read(*world), "compacted\n");
}

TEST_P(ManifestOnEach, IsFoundAgainIfTheDaemonDiesAfterReading) {
  ASSERT_TRUE(world->manifest().replace("text"));
  update();
  EXPECT_EQ(read(*world), "text");
  // The fd store has it; the daemon dies before it has written the text anywhere.
  auto parts = kept(world->manifest().stored_fds());
  ASSERT_FALSE(parts.empty());
  world->restart_daemon();
  ASSERT_TRUE(world->manifest().adopt(parts));
  EXPECT_EQ(read(*world), "text");
  ASSERT_TRUE(world->manifest().replace("safe"));
  update();
  EXPECT_EQ(read(*world), "safe");
}

TEST_P(ManifestOnEach, AdoptsNothingThatIsNoManifest) {
  std::vector<Adopted::Part> none;
  const auto nothing = world->manifest().adopt(none);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::io);
  EXPECT_NE(nothing.error().nature, Nature::passing);
  std::vector<Adopted::Part> parts;
  parts.push_back(Adopted::Part{session_part, memfd("no manifest")});
  const auto wrong = world->manifest().adopt(parts);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::io);
  EXPECT_TRUE(parts.front().fd) << "the caller's still";
}

INSTANTIATE_TEST_SUITE_P(
    All, ManifestOnEach,
    testing::Values(WorldKind{"luo", [] { return std::make_unique<LuoWorld>(); }},
                    WorldKind{"tracker", [] { return std::make_unique<TrackerWorld>(); }},
                    WorldKind{"composite", [] { return std::make_unique<CompositeWorld>(); }},
                    WorldKind{"emulated", [] { return std::make_unique<EmulatedWorld>(); }}),
    [](const auto& kind) { return kind.param.name; });

// ---- luo

class LuoManifestTest : public testing::Test {
 protected:
  void update() {
    Sessions none;
    world.update(none);
  }

  LuoWorld world;
};

TEST_F(LuoManifestTest, MakesNoCallToAddOrToReplaceWhatFits) {
  ASSERT_TRUE(world.manifest().replace(std::string(10'000, 'x')));
  world.kernel().faults().none();
  ASSERT_TRUE(world.manifest().append("+1\n"));
  ASSERT_TRUE(world.manifest().replace(std::string(20'000, 'y')));
  ASSERT_TRUE(world.manifest().append("+1\n"));
  EXPECT_EQ(world.kernel().faults().calls(), 0);
  EXPECT_EQ(world.kernel().outgoing("handoverd"), Tokens{0});
}

TEST_F(LuoManifestTest, MakesLargerMemoryNotOftenerThanTheTextDoubles) {
  std::string text(1000, 'x');
  while (text.size() < (std::size_t{16} << 20)) {
    ASSERT_TRUE(world.manifest().replace(text));
    text += std::string(text.size() / 8, 'y');
  }
  EXPECT_LE(world.kernel().outgoing("handoverd")->size(), 10U);
}

TEST_F(LuoManifestTest, ReadsTheNewestMemoryOnly) {
  for (const std::size_t size : {1000, 300'000, 900'000, 3'000'000}) {
    ASSERT_TRUE(world.manifest().replace(std::string(size, 'x')));
  }
  ASSERT_EQ(world.kernel().outgoing("handoverd"), (Tokens{0, 1, 2, 3}));
  update();
  EXPECT_EQ(read(world), std::string(3'000'000, 'x'));
  EXPECT_EQ(world.kernel().restored(), std::vector<std::uint64_t>{3})
      << "to restore the others takes time, and everybody is frozen";
}

TEST_F(LuoManifestTest, ReadsWhatAnOlderDaemonWrote) {
  const auto session = world.kernel().create_session("handoverd");
  ASSERT_TRUE(session);
  for (const std::string text : {"first", "handover-manifest 1 …"}) {
    const auto memory = memfd(text + std::string(1000, '\0'));
    const auto token = world.kernel().outgoing("handoverd")->size();
    ASSERT_EQ(world.kernel().preserve_fd(session->get(), token, memory.get()), 0);
  }
  update();
  EXPECT_EQ(read(world), "handover-manifest 1 …");
}

TEST_F(LuoManifestTest, ReleasesTheKernelsCopyWhenTheTextIsKeptElsewhere) {
  ASSERT_TRUE(world.manifest().replace("text"));
  update();
  EXPECT_EQ(read(world), "text");
  EXPECT_TRUE(world.kernel().incoming("handoverd"));
  ASSERT_TRUE(world.manifest().replace("ours"));
  EXPECT_FALSE(world.kernel().incoming("handoverd"));
  EXPECT_EQ(world.manifest().stored_fds().size(), 1U);
}

TEST_F(LuoManifestTest, KeepsOneWhicheverCallOfReplaceFails) {
  const std::string large(200'000, 'm');
  for (const int sys_errno : {ENOMEM, EBUSY, EMFILE}) {
    for (int nth = 1;; ++nth) {
      ASSERT_LT(nth, 100);
      LuoWorld fresh;
      ASSERT_TRUE(fresh.manifest().replace("first"));
      fresh.kernel().faults().fail_call(nth, sys_errno, 100);
      const auto replaced = fresh.manifest().replace(large);
      const bool failed_one = fresh.kernel().faults().calls() >= nth;
      fresh.kernel().faults().none();
      EXPECT_TRUE(replaced) << "less room is better than an old text";
      Sessions none;
      fresh.update(none);
      EXPECT_EQ(read(fresh), large);
      if (!failed_one) break;
    }
  }
}

TEST_F(LuoManifestTest, GoesOnAfterAFailure) {
  for (int nth = 1; nth < 3; ++nth) {
    LuoWorld fresh;
    fresh.kernel().faults().fail_call(nth, ENOMEM);
    const auto failed = fresh.manifest().replace("one");
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().nature, Nature::passing);
    ASSERT_TRUE(fresh.manifest().replace("two"));
    Sessions none;
    fresh.update(none);
    EXPECT_EQ(read(fresh), "two");
  }
}

TEST_F(LuoManifestTest, GoesOnAfterACrash) {
  ASSERT_TRUE(world.manifest().replace("before the crash"));
  auto parts = kept(world.manifest().stored_fds());
  ASSERT_EQ(parts.size(), 1U);
  world.restart_daemon();
  ASSERT_TRUE(world.manifest().adopt(parts));
  EXPECT_EQ(read(world), "none") << "it is this kernel's own";
  ASSERT_TRUE(world.manifest().replace("after the crash"));
  EXPECT_EQ(world.kernel().outgoing("handoverd"), (Tokens{0, 1}));
  ASSERT_TRUE(world.manifest().replace("and in place"));
  EXPECT_EQ(world.kernel().outgoing("handoverd"), (Tokens{0, 1}));
  update();
  EXPECT_EQ(read(world), "and in place");
}

TEST_F(LuoManifestTest, SaysWhenItIsLost) {
  ASSERT_TRUE(world.manifest().replace("text"));
  update();
  world.kernel().break_token("handoverd", 0);
  const auto broken = world.manifest().unseal();
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::state_lost);
  EXPECT_EQ(broken.error().nature, Nature::damaged);
  EXPECT_EQ(read(world), "none");

  ASSERT_TRUE(world.manifest().replace("text"));
  update();
  const UniqueFd another_process = world.kernel().retrieve_session("handoverd").value();
  const auto taken = world.manifest().unseal();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::state_lost);
}

TEST_F(LuoManifestTest, SaysThatItIsDamaged) {
  auto slots = Slots::make("test", "text");
  ASSERT_TRUE(slots);
  ASSERT_TRUE(write_memory_file(slots->fd(), std::string(64, 'x'), 4096));
  const auto session = world.kernel().create_session("handoverd");
  ASSERT_TRUE(session);
  ASSERT_EQ(world.kernel().preserve_fd(session->get(), 0, slots->fd()), 0);
  update();
  const auto damaged = world.manifest().unseal();
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().nature, Nature::damaged);
}

/// The heart of it: "not now" is never "never".
TEST_F(LuoManifestTest, IsReadLaterIfItCannotBeReadNow) {
  for (const int sys_errno : {EBUSY, ENOMEM, EMFILE, ENFILE, EAGAIN, EINTR}) {
    for (const bool by_descriptor : {false, true}) {
      for (int nth = 1;; ++nth) {
        ASSERT_LT(nth, 200);
        LuoWorld fresh;
        ASSERT_TRUE(fresh.manifest().replace("text"));
        Sessions none;
        fresh.update(none);
        std::vector<Adopted::Part> parts;
        if (by_descriptor) {
          parts.push_back({session_part, std::move(*fresh.kernel().retrieve_session("handoverd"))});
        }
        fresh.kernel().faults().fail_call(nth, sys_errno, sys_errno == EMFILE ? 2 : 1);
        bool failed = false;
        if (by_descriptor) {
          auto adopted = fresh.manifest().adopt(parts);
          if (!adopted) {
            failed = true;
            EXPECT_EQ(adopted.error().nature, Nature::passing);
            adopted = fresh.manifest().adopt(parts);
          }
          if (!adopted) adopted = fresh.manifest().adopt(parts);
          ASSERT_TRUE(adopted) << adopted.error().message;
        }
        auto text = fresh.manifest().unseal();
        const bool failed_one = fresh.kernel().faults().calls() >= nth;
        if (!text) {
          failed = true;
          EXPECT_EQ(text.error().nature, Nature::passing) << text.error().message;
          fresh.kernel().faults().none();
          text = fresh.manifest().unseal();
        }
        ASSERT_TRUE(text) << text.error().message;
        EXPECT_EQ(text->value_or("none"), "text");
        if (!failed_one) {
          EXPECT_FALSE(failed);
          break;
        }
      }
    }
  }
}

TEST_F(LuoManifestTest, IsReadLaterIfAnotherProcessHasTheDevice) {
  ASSERT_TRUE(world.manifest().replace("text"));
  update();
  world.kernel().set_busy(true);
  for (int attempt = 0; attempt < 3; ++attempt) {
    const auto busy = world.manifest().unseal();
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().nature, Nature::passing);
  }
  world.kernel().set_busy(false);
  EXPECT_EQ(read(world), "text");
}

// ---- tracker

class TrackerManifestTest : public testing::Test {
 protected:
  void update() {
    Sessions none;
    world.update(none);
  }

  TrackerWorld world;
};

TEST_F(TrackerManifestTest, GivesOlderMemoryUp) {
  ASSERT_TRUE(world.manifest().replace("first"));
  ASSERT_TRUE(world.manifest().replace(std::string(300'000, 'x')));
  EXPECT_EQ(world.module().outgoing("handoverd")->size(), 1U);
}

TEST_F(TrackerManifestTest, IsWrittenAlsoAfterACrashAndWhileTablesAreSealed) {
  ASSERT_TRUE(world.manifest().replace("before the crash"));
  world.restart_daemon();
  ASSERT_TRUE(world.manifest().replace("after the crash"));
  EXPECT_EQ(world.module().outgoing("handoverd")->size(), 1U);
  // What follows would need a larger memfd, which cannot be preserved any more.
  ASSERT_TRUE(world.manifest().replace(std::string(UINT64_C(130) * 1024, 'f')));
  ASSERT_TRUE(world.keepers().tables->close());
  EXPECT_TRUE(world.module().sealed());
  const std::string last(UINT64_C(300) * 1024, 'l');
  const auto written = world.manifest().replace(last);
  ASSERT_TRUE(written) << written.error().message;
  ASSERT_TRUE(world.manifest().append("+1\n"));
  update();
  EXPECT_EQ(read(world), last + "+1\n");
}

TEST_F(TrackerManifestTest, LosesNoNameToOneThatCannotBeRead) {
  ASSERT_TRUE(world.manifest().replace("text"));
  update();
  world.module().damage("handoverd", *world.module().incoming("handoverd")->begin());
  const auto damaged = world.manifest().unseal();
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::state_lost);
  EXPECT_EQ(damaged.error().nature, Nature::damaged);
  EXPECT_TRUE(world.manifest().replace("next")) << "the name must be free again";
}

TEST_F(TrackerManifestTest, ReadsWhatAnOlderDaemonWrote) {
  const auto session = world.module().create_session("handoverd", {});
  ASSERT_TRUE(session);
  const auto memory = memfd("handover-manifest 1 …" + std::string(1000, '\0'));
  ASSERT_TRUE(world.module().preserve_fd(session->get(), 0, memory.get()));
  update();
  EXPECT_EQ(read(world), "handover-manifest 1 …");
}

TEST_F(TrackerManifestTest, IsReadLaterIfItCannotBeReadNow) {
  for (const int sys_errno : {EBUSY, ENOMEM, EMFILE, ENFILE, EAGAIN, EINTR}) {
    for (int nth = 1;; ++nth) {
      ASSERT_LT(nth, 50);
      TrackerWorld fresh;
      ASSERT_TRUE(fresh.manifest().replace("text"));
      Sessions none;
      fresh.update(none);
      fresh.module().faults().fail_call(nth, sys_errno);
      auto text = fresh.manifest().unseal();
      const bool failed_one = fresh.module().faults().calls() >= nth;
      if (!text) {
        EXPECT_EQ(text.error().nature, Nature::passing) << text.error().message;
        text = fresh.manifest().unseal();
      }
      ASSERT_TRUE(text) << text.error().message;
      EXPECT_EQ(text->value_or("none"), "text");
      if (!failed_one) break;
    }
  }
}

TEST_F(TrackerManifestTest, KeepsOneWhicheverCallOfReplaceFails) {
  for (int nth = 1; nth < 20; ++nth) {
    TrackerWorld fresh;
    ASSERT_TRUE(fresh.manifest().replace("old"));
    fresh.module().faults().fail_call(nth, ENOMEM, 100);
    EXPECT_TRUE(fresh.manifest().replace(std::string(200'000, 'n')));
    fresh.module().faults().none();
    Sessions none;
    fresh.update(none);
    EXPECT_EQ(read(fresh), std::string(200'000, 'n')) << nth;
  }
}

TEST_F(TrackerManifestTest, IsNotThereWithoutTheModule) {
  world.module().unload();
  EXPECT_EQ(read(world), "none");
}

// ---- both

TEST(ManifestOfEitherTest, IsReadFromTheModuleAndKeptByLuo) {
  // The earlier kernel had no LUO: its daemon used the tracker alone.
  CompositeWorld both;
  {
    const auto session = both.module().create_session("handoverd", {});
    ASSERT_TRUE(session);
    ASSERT_TRUE(both.module().preserve_fd(session->get(), 0, memfd("from there").get()));
  }
  both.reboot();
  EXPECT_EQ(read(both), "from there");
  ASSERT_TRUE(both.manifest().replace("ours"));
  EXPECT_TRUE(both.kernel().outgoing("handoverd")) << "with LUO, it is kept there";
  EXPECT_FALSE(both.module().outgoing("handoverd"));
  EXPECT_FALSE(both.module().incoming("handoverd")) << "and the module's copy is released";
}

TEST(ManifestOfEitherTest, DoesNotAskTheSecondBeforeTheFirstHasAnswered) {
  CompositeWorld both;
  ASSERT_TRUE(both.manifest().replace("ours"));
  {
    const auto session = both.module().create_session("handoverd", {});
    ASSERT_TRUE(both.module().preserve_fd(session->get(), 0, memfd("older").get()));
  }
  both.reboot();
  both.kernel().set_busy(true);
  const auto busy = both.manifest().unseal();
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().nature, Nature::passing);
  both.kernel().set_busy(false);
  EXPECT_EQ(read(both), "ours");
}

// ---- emulated

TEST(EmulatedManifestTest, ReadsWhatAnOlderDaemonWrote) {
  EmulatedWorld world;
  ASSERT_TRUE(world.manifest().replace("text"));
  const auto parts = kept(world.manifest().stored_fds());
  const auto contents = read_slots(parts.front().fd.get());
  ASSERT_TRUE(contents);
  std::vector<Adopted::Part> older;
  older.push_back({session_part, memfd(*contents + std::string(1000, '\0'))});
  world.restart_daemon();
  ASSERT_TRUE(world.manifest().adopt(older));
  EXPECT_EQ(read(world), "text");
}

}  // namespace
}  // namespace handover::backend::test
