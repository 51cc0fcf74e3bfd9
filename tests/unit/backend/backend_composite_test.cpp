// SPDX-License-Identifier: LGPL-2.1-or-later
// LUO and the companion module as one backend: the choice, and what happens when one half fails.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

using Tokens = std::set<std::uint64_t>;

/// 64 MiB with one page in it.
UniqueFd sparse_memfd() {
  UniqueFd fd(::memfd_create("sparse", MFD_CLOEXEC));
  EXPECT_EQ(::ftruncate(fd.get(), off_t{64} << 20), 0);
  EXPECT_EQ(::pwrite(fd.get(), "x", 1, 0), 1);
  return fd;
}

/// A file that cannot say whether it is preserved already.
UniqueFd sealed_memfd() {
  UniqueFd fd(::memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  return fd;
}

std::optional<Keeper> keeper_of(const Session& session, std::uint64_t token) {
  for (const Descriptor& descriptor : session.describe()) {
    if (descriptor.token == token) return descriptor.keeper;
  }
  return std::nullopt;
}

class Composite : public testing::Test {
 protected:
  /// 1 in LUO, 2 in the module.
  std::unique_ptr<Session> mixed_session() {
    auto session = world.create("s");
    EXPECT_TRUE(session->preserve(1, memfd("one").get()));
    EXPECT_TRUE(session->preserve(2, named_tmpfs_file().get()));
    EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
    EXPECT_EQ(world.module().outgoing("s"), Tokens{2});
    return session;
  }

  CompositeWorld world;
};

TEST_F(Composite, IsNamedAsItsMainHalf) {
  EXPECT_EQ(world.create("s")->keeper(), Keeper::luo);
  CompositeWorld other(Keeper::tracker);
  EXPECT_EQ(other.create("s")->keeper(), Keeper::tracker);
  other.module().unload();
  EXPECT_FALSE(other.keepers().refresh_module());
  EXPECT_FALSE(other.backend().available(Keeper::tracker));
  EXPECT_TRUE(other.backend().available(Keeper::luo)) << "one backend for both";
  EXPECT_EQ(&world.backend(), world.keepers().by.at(Keeper::tracker).get());
  EXPECT_FALSE(world.backend().available(Keeper::emulated));
}

TEST_F(Composite, GivesEachWhatItKeepsBest) {
  auto session = mixed_session();
  ASSERT_TRUE(session->preserve(3, sparse_memfd().get()));
  ASSERT_TRUE(session->preserve(4, sealed_memfd().get()));
  EXPECT_EQ(keeper_of(*session, 1), Keeper::luo);
  EXPECT_EQ(keeper_of(*session, 2), Keeper::tracker);
  EXPECT_EQ(keeper_of(*session, 3), Keeper::tracker) << "LUO would fill its holes";
  EXPECT_EQ(keeper_of(*session, 4), Keeper::tracker) << "LUO would not see that it is preserved";
  if (const UniqueFd huge = hugetlb_memfd()) {
    ASSERT_TRUE(session->preserve(5, huge.get()));
    EXPECT_EQ(keeper_of(*session, 5), Keeper::tracker);
  }
}

TEST_F(Composite, MakesASessionInTheModuleOnlyWhenSomethingGoesThere) {
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  EXPECT_FALSE(world.module().outgoing("s"));
  EXPECT_FALSE(session->preserve(2, pipe_end().get()));
  EXPECT_FALSE(world.module().outgoing("s")) << "a refusal leaves nothing behind";
}

TEST_F(Composite, AsksTheModuleForEverythingIfThatIsTheMainHalf) {
  CompositeWorld other(Keeper::tracker);
  auto session = other.create("s");
  EXPECT_FALSE(other.kernel().outgoing("s"));
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  EXPECT_EQ(other.module().outgoing("s"), Tokens{1});
  other.module().faults().fail_call(2, EOPNOTSUPP);  // after the question about the token
  const auto refused_there = session->preserve(2, memfd().get());
  ASSERT_TRUE(refused_there) << refused_there.error().message;
  EXPECT_EQ(refused_there->descriptor.keeper, Keeper::luo) << "what it cannot keep, LUO may";
}

TEST_F(Composite, SaysWhatAPipeIsWhicheverIsAskedFirst) {
  for (const auto main : {Keeper::luo, Keeper::tracker}) {
    CompositeWorld any(main);
    const auto refused = any.create("s")->preserve(1, pipe_end().get());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
    EXPECT_NE(refused.error().message.find("a pipe"), std::string::npos);
  }
}

TEST_F(Composite, DoesAsLuoDoesWithoutTheModule) {
  world.module().unload();
  auto session = world.create("s");
  const auto holes = session->preserve(1, sparse_memfd().get());
  ASSERT_TRUE(holes) << holes.error().message;
  EXPECT_EQ(holes->descriptor.keeper, Keeper::luo);
  const auto named = session->preserve(2, named_tmpfs_file().get());
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code, ErrorCode::unsupported);
  EXPECT_NE(named.error().message.find("modprobe handover"), std::string::npos);
  const auto asked = session->preserve(2, named_tmpfs_file().get(), Keeper::tracker);
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ErrorCode::no_such_backend);
  // Loaded later, it is used.
  world.module().load();
  EXPECT_TRUE(session->preserve(2, named_tmpfs_file().get()));
}

TEST_F(Composite, TakesAClientAtHisWord) {
  auto session = world.create("s");
  const auto there = session->preserve(1, memfd().get(), Keeper::tracker);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_EQ(there->descriptor.keeper, Keeper::tracker);
  const auto not_there = session->preserve(2, named_tmpfs_file().get(), Keeper::luo);
  ASSERT_FALSE(not_there);
  EXPECT_EQ(not_there.error().code, ErrorCode::unsupported) << "no other one is tried";
  const auto holes = session->preserve(2, sparse_memfd().get(), Keeper::luo);
  ASSERT_TRUE(holes) << holes.error().message;
  EXPECT_EQ(holes->descriptor.keeper, Keeper::luo);
  const auto unknown = session->preserve(3, memfd().get(), Keeper::emulated);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_such_backend);
  const auto silent = session->preserve(3, sealed_memfd().get(), Keeper::luo);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::unsupported);
}

TEST_F(Composite, KeepsNothingNewInAModuleThatIsNotAllowed) {
  CompositeWorld luo_only(Keeper::luo, false);
  auto session = luo_only.create("s");
  EXPECT_FALSE(session->preserve(1, named_tmpfs_file().get()));
  EXPECT_EQ(session->preserve(1, memfd().get(), Keeper::tracker).error().code,
            ErrorCode::no_such_backend);
  EXPECT_EQ(session->open_tracker().error().code, ErrorCode::no_such_backend);
  const auto holes = session->preserve(2, sparse_memfd().get());
  ASSERT_TRUE(holes);
  EXPECT_EQ(holes->descriptor.keeper, Keeper::luo);
  EXPECT_FALSE(luo_only.module().outgoing("s"));
}

TEST_F(Composite, RefusesATokenAndAFileTwiceAcrossTheHalves) {
  auto session = mixed_session();
  for (const std::uint64_t token : {1, 2}) {
    const auto taken = session->preserve(token, memfd().get());
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::token_taken);
    const auto asked = session->preserve(token, memfd().get(), Keeper::tracker);
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, ErrorCode::token_taken);
  }
  const UniqueFd sealed = sealed_memfd();
  ASSERT_TRUE(session->preserve(3, sealed.get()));
  const auto again = session->preserve(4, sealed.get());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::already_preserved) << "LUO must not be asked then";
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
}

TEST_F(Composite, AsksTheKernelAsOftenForTheLastTokenAsForTheFirst) {
  auto session = mixed_session();
  const auto calls = [&](std::uint64_t token, Keeper keeper) {
    world.kernel().faults().none();
    world.module().faults().none();
    const auto preserved = session->preserve(token, memfd().get(), keeper);
    EXPECT_TRUE(preserved);
    EXPECT_EQ(preserved->stored.size(), keeper == Keeper::luo ? 1U : 0U);
    return world.kernel().faults().calls() + world.module().faults().calls();
  };
  const int in_luo = calls(100, Keeper::luo);
  const int in_tracker = calls(101, Keeper::tracker);
  EXPECT_LE(in_luo, 2);
  EXPECT_LE(in_tracker, 3);
  for (std::uint64_t token = 200; token < 300; token += 2) {
    EXPECT_EQ(calls(token, Keeper::luo), in_luo);
    EXPECT_EQ(calls(token + 1, Keeper::tracker), in_tracker);
  }
}

TEST_F(Composite, UnpreservesFromEither) {
  auto session = mixed_session();
  ASSERT_TRUE(session->unpreserve(2));
  EXPECT_EQ(world.module().outgoing("s"), Tokens{});
  ASSERT_TRUE(session->unpreserve(1));
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{});
  const auto unknown = session->unpreserve(1);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_such_token);
}

TEST_F(Composite, GivesBackFromBoth) {
  auto session = world.update_one(mixed_session());
  EXPECT_TRUE(session->incoming());
  EXPECT_TRUE(session->whole());
  const auto one = session->retrieve(1);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(contents(one->fd.get()), "one");
  const auto two = session->retrieve(2);
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_TRUE(session->retrieve(1)) << "LUO gives again";
  EXPECT_FALSE(one->once);
  EXPECT_TRUE(two->once);
  const auto twice = session->retrieve(2);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::already_retrieved);
  EXPECT_EQ(session->retrieve(3).error().code, ErrorCode::no_such_token);
  EXPECT_EQ(session->discard().error().code, ErrorCode::incoming);
  ASSERT_TRUE(session->finish());
  EXPECT_EQ(world.kernel().incoming("s").value_or(Tokens{}), Tokens{});
  EXPECT_EQ(session->finish().error().code, ErrorCode::not_incoming);
  // The name is free for the next one in both.
  auto next = world.try_create("s");
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_TRUE((*next)->preserve(2, named_tmpfs_file().get()));
}

TEST_F(Composite, GoesOnAfterACrash) {
  auto session = mixed_session();
  auto adopted = kept_session(*session, false);
  std::vector<Part> parts;
  for (const auto& part : adopted.parts) parts.push_back(part.part);
  EXPECT_EQ(parts, (std::vector<Part>{session_part, token_part(1)}))
      << "the module's need no store";
  session.reset();
  world.restart_daemon();
  auto again = world.adopt(std::move(adopted));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE((*again)->incoming());
  EXPECT_EQ(keeper_of(**again, 1), Keeper::luo);
  EXPECT_EQ(keeper_of(**again, 2), Keeper::tracker);
  EXPECT_TRUE((*again)->unpreserve(1));
  EXPECT_TRUE((*again)->unpreserve(2));
}

TEST_F(Composite, GivesOneHalfWhileTheOtherCannotBeReached) {
  auto whole = world.create("t");
  ASSERT_TRUE(whole->preserve(1, memfd("one").get()));
  ASSERT_TRUE(whole->preserve(2, memfd("two").get(), Keeper::tracker));
  auto adopted = world.by_name("t", true, whole->describe());
  world.reboot();
  world.module().unload();
  auto half = world.backend().adopt(adopted);
  ASSERT_TRUE(half) << half.error().message;
  EXPECT_TRUE(half->losses.empty()) << "nothing is lost while the module is not loaded";
  EXPECT_FALSE(half->session->whole());
  EXPECT_TRUE(half->session->retrieve(1));
  const auto not_yet = half->session->retrieve(2);
  ASSERT_FALSE(not_yet);
  EXPECT_EQ(not_yet.error().nature, Nature::passing);
  EXPECT_NE(not_yet.error().message.find("not loaded"), std::string::npos);
  EXPECT_EQ(half->session->mend().error().nature, Nature::passing);
  EXPECT_EQ(half->session->finish().error().nature, Nature::passing);

  world.module().load();
  ASSERT_TRUE(half->session->mend());
  EXPECT_TRUE(half->session->whole());
  const auto two = half->session->retrieve(2);
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(contents(two->fd.get()), "two");
  EXPECT_TRUE(half->session->take_losses().empty());
  EXPECT_TRUE(half->session->finish());
}

TEST_F(Composite, GivesTheModulesHalfWhileLuoCannotBeReached) {
  auto session = mixed_session();
  auto adopted = world.by_name("s", true, session->describe());
  world.reboot();
  world.kernel().set_busy(true);
  auto half = world.backend().adopt(adopted);
  ASSERT_TRUE(half) << half.error().message;
  EXPECT_TRUE(half->losses.empty());
  EXPECT_FALSE(half->session->whole());
  EXPECT_TRUE(half->session->incoming());
  EXPECT_TRUE(half->session->retrieve(2));
  EXPECT_EQ(half->session->retrieve(1).error().nature, Nature::passing);
  world.kernel().set_busy(false);
  const auto one = half->session->retrieve(1);
  ASSERT_TRUE(one) << "asked for, it is reached";
  EXPECT_EQ(contents(one->fd.get()), "one");
  EXPECT_TRUE(half->session->whole());
}

TEST_F(Composite, CannotBeReachedIfNeitherHalfCan) {
  auto session = mixed_session();
  auto adopted = kept_session(*session, false);
  session.reset();
  world.restart_daemon();
  const std::size_t parts = adopted.parts.size();
  world.kernel().faults().fail_call(1, ENOMEM);
  world.module().faults().fail_call(1, ENOMEM);
  const auto neither = world.backend().adopt(adopted);
  ASSERT_FALSE(neither);
  EXPECT_EQ(neither.error().nature, Nature::passing);
  EXPECT_EQ(adopted.parts.size(), parts);
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1}) << "its descriptor is still open";
  const auto both = world.backend().adopt(adopted);
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_TRUE(both->session->whole());
  EXPECT_TRUE(both->session->unpreserve(1));
  EXPECT_TRUE(both->session->unpreserve(2));
}

TEST_F(Composite, KeepsWhatAnUnreachableHalfIsMadeOf) {
  auto session = mixed_session();
  auto adopted = kept_session(*session, false);
  session.reset();
  world.restart_daemon();
  world.kernel().faults().fail_call(1, ENOMEM);
  auto half = world.backend().adopt(adopted);
  ASSERT_TRUE(half) << half.error().message;
  EXPECT_FALSE(half->session->whole());
  std::set<Part> stored;
  for (const auto& one : half->session->stored_fds()) stored.insert(one.part);
  EXPECT_EQ(stored, (std::set<Part>{session_part, token_part(1)})) << "for the fd store";
  EXPECT_EQ(half->session->describe().size(), 2U);
  EXPECT_EQ(half->session->preserve(1, memfd().get()).error().code, ErrorCode::token_taken);
  ASSERT_TRUE(half->session->mend());
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
  ASSERT_TRUE(half->session->unpreserve(1));
}

TEST_F(Composite, HandsOverWhatTheModuleGaveThoughItCannotBeReached) {
  auto session = world.update_one(mixed_session());
  auto two = session->retrieve(2);
  ASSERT_TRUE(two);
  EXPECT_TRUE(two->once);
  auto adopted = kept_session(*session, true);
  adopted.tokens = {Descriptor{1, Kind::memfd, 3, Keeper::luo},
                    Descriptor{2, Kind::tmpfs, 0, Keeper::tracker}};
  adopted.parts.push_back({token_part(2), std::move(two->fd)});
  session.reset();
  world.restart_daemon();
  world.module().faults().fail_call(1, EMFILE);
  const auto adoption = world.backend().adopt(adopted);
  ASSERT_TRUE(adoption) << adoption.error().message;
  EXPECT_TRUE(adoption->given.contains(2));
  EXPECT_FALSE(adoption->session->whole());
  ASSERT_TRUE(adoption->session->mend());
  EXPECT_TRUE(adoption->session->retrieve(1));
}

TEST_F(Composite, TellsThatOneHalfIsLost) {
  auto session = mixed_session();
  auto adopted = world.by_name("s", true, session->describe());
  session.reset();  // and nobody else held LUO's descriptor
  world.reboot();
  auto half = world.backend().adopt(adopted);
  ASSERT_TRUE(half) << half.error().message;
  ASSERT_EQ(half->losses.size(), 1U);
  EXPECT_EQ(half->losses[0].token, 1U);
  const auto lost = half->session->retrieve(1);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::state_lost);
  EXPECT_TRUE(half->session->retrieve(2));
  EXPECT_TRUE(half->session->finish());
}

TEST_F(Composite, TellsLaterThatAHalfIsLost) {
  auto session = mixed_session();
  auto adopted = world.by_name("s", true, session->describe());
  session.reset();
  world.reboot();
  world.kernel().set_busy(true);
  auto half = world.backend().adopt(adopted);
  ASSERT_TRUE(half) << half.error().message;
  EXPECT_TRUE(half->losses.empty());
  world.kernel().set_busy(false);
  ASSERT_TRUE(half->session->mend());
  const auto losses = half->session->take_losses();
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(losses[0].token, 1U);
  EXPECT_TRUE(half->session->whole());
}

TEST_F(Composite, IsLostAsAWholeOnlyIfBothHalvesAre) {
  Adopted adopted;
  adopted.name = "s";
  adopted.incoming = true;
  adopted.tokens = {Descriptor{1, Kind::memfd, 1, Keeper::luo},
                    Descriptor{2, Kind::memfd, 1, Keeper::tracker}};
  const auto nothing = world.adopt(std::move(adopted));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::no_such_session);
}

TEST_F(Composite, DoesNotTakeARestingSessionForItsOwn) {
  auto session = world.update_one(mixed_session());
  const auto memory = session->retrieve(2);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  ASSERT_EQ(world.keepers().rest->resting(), std::vector<std::string>{"s"});
  auto next = world.try_create("s");
  ASSERT_TRUE(next) << next.error().message;
  ASSERT_TRUE((*next)->preserve(1, memfd("new").get()));
  // The daemon dies: by the name, the module still has the earlier one.
  auto adopted = kept_session(**next, false);
  next->reset();
  world.restart_daemon();
  auto again = world.adopt(std::move(adopted));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE((*again)->incoming());
  EXPECT_EQ(keeper_of(**again, 2), std::nullopt);
  world.keepers().rest->adopt_resting({"s"});
  EXPECT_TRUE((*again)->preserve(2, named_tmpfs_file().get()));
}

TEST_F(Composite, UndoesInOneHalfWhatFailsThere) {
  // Every call of the module's, in turn, while the first thing goes there.
  for (int nth = 1; nth < 12; ++nth) {
    CompositeWorld fresh;
    auto session = fresh.create("s");
    ASSERT_TRUE(session->preserve(1, memfd("one").get()));
    fresh.module().faults().fail_call(nth, ENOMEM);
    const auto preserved = session->preserve(2, named_tmpfs_file().get());
    fresh.module().faults().fail_call(0, 0);
    EXPECT_EQ(fresh.kernel().outgoing("s"), Tokens{1});
    if (!preserved) {
      EXPECT_EQ(keeper_of(*session, 2), std::nullopt);
      EXPECT_EQ(fresh.module().outgoing("s").value_or(Tokens{}), Tokens{}) << nth;
    }
    EXPECT_EQ(session->preserve(2, named_tmpfs_file().get()).has_value(), !preserved) << nth;
  }
}

TEST_F(Composite, DiscardsBothOrNeither) {
  auto session = mixed_session();
  ASSERT_TRUE(world.keepers().tables->close());
  const auto refused = session->discard();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
  EXPECT_EQ(world.module().outgoing("s"), Tokens{2});
  ASSERT_TRUE(world.keepers().tables->open());
  ASSERT_TRUE(session->discard());
  EXPECT_FALSE(world.kernel().outgoing("s"));
  EXPECT_FALSE(world.module().outgoing("s"));
}

TEST_F(Composite, FinishesTheRestAfterAFailure) {
  auto session = world.update_one(mixed_session());
  world.kernel().faults().fail_call(1, EBUSY);
  const auto refused = session->finish();
  ASSERT_FALSE(refused);
  EXPECT_FALSE(world.module().incoming("s")) << "that half is done";
  EXPECT_TRUE(session->finish());
  EXPECT_EQ(world.kernel().incoming("s").value_or(Tokens{}), Tokens{});
}

TEST_F(Composite, LeavesTheModuleAloneWhenLuoMakesItsHalfAnew) {
  auto session = mixed_session();
  int runs = 0;
  ASSERT_TRUE(session->preserve_again([&]() -> Result<void> {
    ++runs;
    EXPECT_FALSE(world.kernel().outgoing("s")) << "nothing of LUO's is pinned";
    EXPECT_EQ(world.module().outgoing("s"), Tokens{2});
    return {};
  }));
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
  EXPECT_TRUE(session->duplicate(1));
  EXPECT_TRUE(session->duplicate(2));
}

TEST_F(Composite, OpensTheModulesSessionForItsOwner) {
  auto session = world.create("s");
  const auto own = session->open_tracker();
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_TRUE(world.module().preserve_fd(own->get(), 9, memfd("own").get()));
  EXPECT_EQ(keeper_of(*session, 9), Keeper::tracker);
  // A token that LUO has as well is LUO's.
  ASSERT_TRUE(session->preserve(1, memfd("luo's").get()));
  ASSERT_TRUE(world.module().preserve_fd(own->get(), 1, memfd("own").get()));
  EXPECT_EQ(keeper_of(*session, 1), Keeper::luo);
  EXPECT_EQ(session->describe().size(), 2U);

  session = world.update_one(std::move(session));
  const auto memory = session->retrieve(9);
  ASSERT_TRUE(memory);
  EXPECT_EQ(contents(memory->fd.get()), "own");
  EXPECT_TRUE(session->open_tracker());
}

TEST_F(Composite, OpensLuosSessionForItsOwner) {
  auto session = world.create("s");
  const auto own = session->open_luo();
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_EQ(world.kernel().preserve_fd(own->get(), 9, memfd("own").get()), 0);
  ASSERT_TRUE(session->preserve(1, memfd("1").get(), Keeper::tracker));
  EXPECT_TRUE(session->unpreserve(1)) << "the module's half is the daemon's";

  session = world.update_one(std::move(session));
  const auto memory = session->retrieve(9);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(contents(memory->fd.get()), "own");
}

TEST(CompositeOfTheModule, HasNoSessionOfLuosToOpen) {
  CompositeWorld world(Keeper::tracker);
  const auto session = world.create("s");
  EXPECT_EQ(session->open_luo().error().code, ErrorCode::no_such_backend);
}

TEST_F(Composite, HasNothingToOpenInASessionOfLuoAlone) {
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  session = world.update_one(std::move(session));
  const auto refused = session->open_tracker();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::no_such_session);
}

}  // namespace
}  // namespace handover::backend::test
