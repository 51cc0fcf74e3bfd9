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

std::string backend_of(const Session& session, std::uint64_t token) {
  for (const Descriptor& descriptor : session.describe()) {
    if (descriptor.token == token) return descriptor.backend;
  }
  return "none";
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
  EXPECT_EQ(world.backend().name(), "luo");
  EXPECT_EQ(world.create("s")->backend(), "luo");
  CompositeWorld other(Keeper::tracker);
  EXPECT_EQ(other.backend().name(), "tracker");
  EXPECT_EQ(other.create("s")->backend(), "tracker");
  other.module().unload();
  EXPECT_FALSE(other.backend().available());
  EXPECT_TRUE(world.backend().available());
}

TEST_F(Composite, GivesEachWhatItKeepsBest) {
  auto session = mixed_session();
  ASSERT_TRUE(session->preserve(3, sparse_memfd().get()));
  ASSERT_TRUE(session->preserve(4, sealed_memfd().get()));
  EXPECT_EQ(backend_of(*session, 1), "luo");
  EXPECT_EQ(backend_of(*session, 2), "tracker");
  EXPECT_EQ(backend_of(*session, 3), "tracker") << "LUO would fill its holes";
  EXPECT_EQ(backend_of(*session, 4), "tracker") << "LUO would not see that it is preserved";
  if (const UniqueFd huge = hugetlb_memfd()) {
    ASSERT_TRUE(session->preserve(5, huge.get()));
    EXPECT_EQ(backend_of(*session, 5), "tracker");
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
  other.module().fail_call(3, EOPNOTSUPP);  // after info and list
  const auto refused_there = session->preserve(2, memfd().get());
  ASSERT_TRUE(refused_there) << refused_there.error().message;
  EXPECT_EQ(refused_there->backend, "luo") << "what it cannot keep, LUO may";
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
  EXPECT_EQ(holes->backend, "luo");
  const auto named = session->preserve(2, named_tmpfs_file().get());
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code, ErrorCode::unsupported);
  EXPECT_NE(named.error().message.find("modprobe handover"), std::string::npos);
  const auto asked = session->preserve_in("tracker", 2, named_tmpfs_file().get());
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, ErrorCode::no_such_backend);
  // Loaded later, it is used.
  world.module().load();
  EXPECT_TRUE(session->preserve(2, named_tmpfs_file().get()));
}

TEST_F(Composite, TakesAClientAtHisWord) {
  auto session = world.create("s");
  const auto there = session->preserve_in("tracker", 1, memfd().get());
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_EQ(there->backend, "tracker");
  const auto not_there = session->preserve_in("luo", 2, named_tmpfs_file().get());
  ASSERT_FALSE(not_there);
  EXPECT_EQ(not_there.error().code, ErrorCode::unsupported) << "no other one is tried";
  const auto holes = session->preserve_in("luo", 2, sparse_memfd().get());
  ASSERT_TRUE(holes) << holes.error().message;
  EXPECT_EQ(holes->backend, "luo");
  const auto unknown = session->preserve_in("disk", 3, memfd().get());
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_such_backend);
  const auto silent = session->preserve_in("luo", 3, sealed_memfd().get());
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, ErrorCode::unsupported);
}

TEST_F(Composite, KeepsNothingNewInAModuleThatIsNotAllowed) {
  CompositeWorld luo_only(Keeper::luo, false);
  auto session = luo_only.create("s");
  EXPECT_FALSE(session->preserve(1, named_tmpfs_file().get()));
  EXPECT_EQ(session->preserve_in("tracker", 1, memfd().get()).error().code,
            ErrorCode::no_such_backend);
  EXPECT_EQ(session->open_tracker().error().code, ErrorCode::no_such_backend);
  const auto holes = session->preserve(2, sparse_memfd().get());
  ASSERT_TRUE(holes);
  EXPECT_EQ(holes->backend, "luo");
  EXPECT_FALSE(luo_only.module().outgoing("s"));
}

TEST_F(Composite, RefusesATokenAndAFileTwiceAcrossTheHalves) {
  auto session = mixed_session();
  for (const std::uint64_t token : {1, 2}) {
    const auto taken = session->preserve(token, memfd().get());
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, ErrorCode::token_taken);
    const auto asked = session->preserve_in("tracker", token, memfd().get());
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
  EXPECT_TRUE(session->losses().empty());
  const auto one = session->retrieve(1);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(contents(one->get()), "one");
  const auto two = session->retrieve(2);
  ASSERT_TRUE(two) << two.error().message;
  for (const std::uint64_t token : {1, 2}) {
    EXPECT_EQ(session->retrieve(token).error().code, ErrorCode::already_retrieved);
  }
  EXPECT_EQ(session->retrieve(3).error().code, ErrorCode::no_such_token);
  EXPECT_EQ(session->discard().error().code, ErrorCode::incoming);
  ASSERT_TRUE(session->finish());
  EXPECT_EQ(world.kernel().incoming("s").value_or(Tokens{}), Tokens{});
  EXPECT_EQ(session->finish().error().code, ErrorCode::not_incoming);
  // The name is free for the next one in both.
  auto next = world.backend().create("s");
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_TRUE((*next)->preserve(2, named_tmpfs_file().get()));
}

TEST_F(Composite, GoesOnAfterACrash) {
  auto session = mixed_session();
  auto adopted = kept_session(*session, false);
  std::vector<std::string> parts;
  for (const auto& part : adopted.parts) parts.push_back(part.part);
  EXPECT_EQ(parts, (std::vector<std::string>{"s", "t1"})) << "the module's need no store";
  session.reset();
  world.restart_daemon();
  auto again = world.backend().adopt(std::move(adopted));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE((*again)->incoming());
  EXPECT_EQ(backend_of(**again, 1), "luo");
  EXPECT_EQ(backend_of(**again, 2), "tracker");
  EXPECT_TRUE((*again)->unpreserve(1));
  EXPECT_TRUE((*again)->unpreserve(2));
}

TEST_F(Composite, TellsWhichHalfIsLost) {
  CompositeWorld other;
  auto whole = other.create("s");
  ASSERT_TRUE(whole->preserve(1, memfd("one").get()));
  ASSERT_TRUE(whole->preserve(2, named_tmpfs_file().get()));
  Adopted adopted;
  adopted.name = "s";
  adopted.incoming = true;
  adopted.tokens = whole->describe();
  other.reboot();
  other.module().unload();
  auto half = other.backend().adopt(std::move(adopted));
  ASSERT_TRUE(half) << half.error().message;
  ASSERT_EQ((*half)->losses().size(), 1U);
  EXPECT_EQ((*half)->losses()[0].token, 2U);
  EXPECT_NE((*half)->losses()[0].sentence.find("not loaded"), std::string::npos)
      << (*half)->losses()[0].sentence;
  EXPECT_EQ((*half)->retrieve(2).error().code, ErrorCode::state_lost);
  EXPECT_TRUE((*half)->retrieve(1));
  EXPECT_TRUE((*half)->finish());
}

TEST_F(Composite, TellsThatLuosHalfIsLost) {
  auto session = mixed_session();
  Adopted adopted;
  adopted.name = "s";
  adopted.incoming = true;
  adopted.tokens = session->describe();
  session.reset();  // and nobody else held LUO's descriptor
  world.reboot();
  auto half = world.backend().adopt(std::move(adopted));
  ASSERT_TRUE(half) << half.error().message;
  ASSERT_EQ((*half)->losses().size(), 1U);
  EXPECT_EQ((*half)->losses()[0].token, 1U);
  EXPECT_TRUE((*half)->retrieve(2));
  EXPECT_TRUE((*half)->finish());
}

TEST_F(Composite, IsLostAsAWholeOnlyIfBothHalvesAre) {
  Adopted adopted;
  adopted.name = "s";
  adopted.incoming = true;
  adopted.tokens = {Descriptor{1, "memfd", 1, "luo"}, Descriptor{2, "memfd", 1, "tracker"}};
  const auto nothing = world.backend().adopt(std::move(adopted));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::no_such_session);
}

TEST_F(Composite, DoesNotTakeARestingSessionForItsOwn) {
  auto session = world.update_one(mixed_session());
  const auto memory = session->retrieve(2);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  ASSERT_EQ(world.backend().resting(), std::vector<std::string>{"s"});
  auto next = world.backend().create("s");
  ASSERT_TRUE(next) << next.error().message;
  ASSERT_TRUE((*next)->preserve(1, memfd("new").get()));
  // The daemon dies: by the name, the module still has the earlier one.
  auto adopted = kept_session(**next, false);
  next->reset();
  world.restart_daemon();
  auto again = world.backend().adopt(std::move(adopted));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE((*again)->incoming());
  EXPECT_EQ(backend_of(**again, 2), "none");
  world.backend().adopt_resting({"s"});
  EXPECT_TRUE((*again)->preserve(2, named_tmpfs_file().get()));
}

TEST_F(Composite, UndoesInOneHalfWhatFailsThere) {
  // Every call of the module's, in turn, while the first thing goes there.
  for (int nth = 1; nth < 12; ++nth) {
    CompositeWorld fresh;
    auto session = fresh.create("s");
    ASSERT_TRUE(session->preserve(1, memfd("one").get()));
    fresh.module().fail_call(nth, ENOMEM);
    const auto preserved = session->preserve(2, named_tmpfs_file().get());
    fresh.module().fail_call(0, 0);
    EXPECT_EQ(fresh.kernel().outgoing("s"), Tokens{1});
    if (!preserved) {
      EXPECT_EQ(backend_of(*session, 2), "none");
      EXPECT_EQ(fresh.module().outgoing("s").value_or(Tokens{}), Tokens{}) << nth;
    }
    EXPECT_EQ(session->preserve(2, named_tmpfs_file().get()).has_value(), !preserved) << nth;
  }
}

TEST_F(Composite, DiscardsBothOrNeither) {
  auto session = mixed_session();
  ASSERT_TRUE(world.backend().close_tables());
  const auto refused = session->discard();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
  EXPECT_EQ(world.module().outgoing("s"), Tokens{2});
  ASSERT_TRUE(world.backend().open_tables());
  ASSERT_TRUE(session->discard());
  EXPECT_FALSE(world.kernel().outgoing("s"));
  EXPECT_FALSE(world.module().outgoing("s"));
}

TEST_F(Composite, FinishesTheRestAfterAFailure) {
  auto session = world.update_one(mixed_session());
  world.kernel().fail_call(1, EBUSY);
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
  EXPECT_FALSE(session->duplicate(2));
}

TEST_F(Composite, OpensTheModulesSessionForItsOwner) {
  auto session = world.create("s");
  const auto own = session->open_tracker();
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_TRUE(world.module().preserve_fd(own->get(), 9, memfd("own").get()));
  EXPECT_EQ(backend_of(*session, 9), "tracker");
  // A token that LUO has as well is LUO's.
  ASSERT_TRUE(session->preserve(1, memfd("luo's").get()));
  ASSERT_TRUE(world.module().preserve_fd(own->get(), 1, memfd("own").get()));
  EXPECT_EQ(backend_of(*session, 1), "luo");
  EXPECT_EQ(session->describe().size(), 2U);

  session = world.update_one(std::move(session));
  const auto memory = session->retrieve(9);
  ASSERT_TRUE(memory);
  EXPECT_EQ(contents(memory->get()), "own");
  EXPECT_TRUE(session->open_tracker());
}

TEST_F(Composite, HasNothingToOpenInASessionOfLuoAlone) {
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  session = world.update_one(std::move(session));
  const auto refused = session->open_tracker();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::no_such_session);
}

TEST_F(Composite, ReadsAManifestThatTheModuleKept) {
  // The earlier kernel had no LUO: its daemon used the tracker alone.
  CompositeWorld both;
  {
    const auto session = both.module().create_session("handoverd", {});
    ASSERT_TRUE(session);
    ASSERT_TRUE(both.module().preserve_fd(session->get(), 0, memfd("from there").get()));
  }
  both.reboot();
  const auto read = both.backend().unseal();
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_TRUE(*read);
  EXPECT_EQ(**read, "from there");
  ASSERT_TRUE(both.backend().seal("ours"));
  EXPECT_TRUE(both.kernel().outgoing("handoverd")) << "with LUO, it is kept there";
  EXPECT_FALSE(both.module().outgoing("handoverd"));
}

}  // namespace
}  // namespace handover::backend::test
