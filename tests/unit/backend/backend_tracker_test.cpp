// SPDX-License-Identifier: LGPL-2.1-or-later
// The tracker backend against a module that refuses, fails at the n-th call, or is not there.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <functional>

#include "backend/tracker.h"
#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

using Tokens = std::set<std::uint64_t>;

Tokens tokens_of(const Session& session) {
  Tokens tokens;
  for (const Descriptor& descriptor : session.describe()) tokens.insert(descriptor.token);
  return tokens;
}

Descriptor describe(const Session& session, std::uint64_t token) {
  for (const Descriptor& descriptor : session.describe()) {
    if (descriptor.token == token) return descriptor;
  }
  ADD_FAILURE() << "no token " << token;
  return {};
}

class Tracker : public testing::Test {
 protected:
  std::unique_ptr<Session> session_with(const std::string& name, const Tokens& tokens) {
    auto session = world.create(name);
    for (const std::uint64_t token : tokens) {
      const auto preserved = session->preserve(token, memfd(std::to_string(token)).get());
      EXPECT_TRUE(preserved) << preserved.error().message;
    }
    return session;
  }

  TrackerWorld world;
};

TEST_F(Tracker, NamesItselfAndTellsOfTheModule) {
  EXPECT_TRUE(world.backend().available(Keeper::tracker));
  EXPECT_FALSE(world.backend().available(Keeper::luo));
  const auto module = world.keepers().module();
  ASSERT_TRUE(module);
  EXPECT_EQ(module->abi, 1U);
  EXPECT_EQ(module->format, 1U);
  EXPECT_TRUE(module->kho);
  world.module().unload();
  EXPECT_FALSE(world.keepers().refresh_module());
  EXPECT_FALSE(world.keepers().module());
  EXPECT_FALSE(world.backend().available(Keeper::tracker));
}

TEST_F(Tracker, PreservesWhatLuoRefuses) {
  auto session = world.create("s");
  const auto plain = session->preserve(1, memfd("twelve bytes").get());
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_EQ(plain->descriptor.kind, Kind::memfd);
  EXPECT_EQ(plain->descriptor.bytes, 12U);
  EXPECT_EQ(plain->descriptor.keeper, Keeper::tracker);
  const auto named = session->preserve(2, named_tmpfs_file().get());
  ASSERT_TRUE(named) << named.error().message;
  EXPECT_EQ(named->descriptor.kind, Kind::tmpfs);
  if (const UniqueFd huge = hugetlb_memfd()) {
    const auto preserved = session->preserve(3, huge.get());
    ASSERT_TRUE(preserved) << preserved.error().message;
    EXPECT_EQ(preserved->descriptor.kind, Kind::hugetlb);
  }
}

TEST_F(Tracker, RefusesWhatNoKexecKeepsAndSaysWhatItWas) {
  auto session = world.create("s");
  const auto pipe = session->preserve(1, pipe_end().get());
  ASSERT_FALSE(pipe);
  EXPECT_EQ(pipe.error().code, ErrorCode::unsupported);
  EXPECT_NE(pipe.error().message.find("a pipe"), std::string::npos) << pipe.error().message;
  const auto closed = session->preserve(1, 9999);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(session->preserve(1, memfd().get())) << "a refusal must not use the token up";
}

TEST_F(Tracker, KeepsASessionWhoseObjectIsGone) {
  session_with("s", {1, 2}).reset();
  EXPECT_EQ(world.module().outgoing("s"), (Tokens{1, 2}));
  world.restart_daemon();
  auto adopted = world.adopt(world.by_name("s", false));
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_EQ(tokens_of(**adopted), (Tokens{1, 2}));
  EXPECT_FALSE((*adopted)->incoming());
  EXPECT_TRUE((*adopted)->stored_fds().empty()) << "nothing of it needs the fd store";
  ASSERT_TRUE((*adopted)->unpreserve(2));
  EXPECT_EQ(world.module().outgoing("s"), Tokens{1});
  ASSERT_TRUE((*adopted)->discard());
  EXPECT_FALSE(world.module().outgoing("s"));
  EXPECT_TRUE(world.try_create("s"));
}

TEST_F(Tracker, GivesBackAfterAnUpdate) {
  auto session = world.update_one(session_with("s", {1, 2}));
  EXPECT_TRUE(session->incoming());
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2})) << "the module can list what came";
  const auto first = session->retrieve(1);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(contents(first->fd.get()), "1");
  EXPECT_TRUE(close_on_exec(first->fd.get()));
  EXPECT_TRUE(describe(*session, 1).retrieved);
  EXPECT_FALSE(describe(*session, 2).retrieved);

  const auto twice = session->retrieve(1);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::already_retrieved);
  const auto unknown = session->retrieve(99);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_such_token);
  for (const auto& refused :
       {session->preserve(5, memfd().get()).map([](const auto&) {}), session->unpreserve(2),
        session->preserve_again(nullptr), session->discard()}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::incoming);
  }
  ASSERT_TRUE(session->finish());
  for (const auto& refused : {session->finish(), session->retrieve(2).map([](const auto&) {})}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::not_incoming);
  }
}

TEST_F(Tracker, NeedsAnEarlierKernelToRetrieve) {
  auto session = session_with("s", {1});
  for (const auto& refused : {session->retrieve(1).map([](const auto&) {}), session->finish()}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::not_incoming);
  }
  const auto own = world.retrieve("s");
  ASSERT_TRUE(own);
  EXPECT_FALSE((*own)->incoming()) << "the kernel knows best";
}

TEST_F(Tracker, ListsWhatItsOwnerPreservedByHimself) {
  auto session = session_with("s", {1});
  const auto own = session->open_tracker();
  ASSERT_TRUE(own) << own.error().message;
  ASSERT_TRUE(world.module().preserve_fd(own->get(), 7, memfd("by himself").get()));
  world.module().add_entry("s", 8, Kind::range, 8192);
  world.module().add_entry("s", 9, Kind::allocated, 4096);
  world.module().add_entry("s", 10, Kind::kernel, 4096);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 7, 8, 9, 10}));
  EXPECT_EQ(describe(*session, 7).kind, Kind::memfd);
  EXPECT_EQ(describe(*session, 8).kind, Kind::range);
  EXPECT_EQ(describe(*session, 8).bytes, 8192U);
  EXPECT_EQ(describe(*session, 9).kind, Kind::allocated);
  EXPECT_EQ(describe(*session, 10).kind, Kind::kernel);

  session = world.update_one(std::move(session));
  const auto memory = session->retrieve(7);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(contents(memory->fd.get()), "by himself");
  const auto others = session->retrieve(10);
  ASSERT_FALSE(others);
  EXPECT_EQ(others.error().code, ErrorCode::unsupported);
}

TEST_F(Tracker, TellsTheModuleTheLimits) {
  const auto session = world.try_create("s", Limits{10, 2});
  ASSERT_TRUE(session);
  EXPECT_EQ(world.module().limits("s").bytes, 10U);
  EXPECT_EQ(world.module().limits("s").entries, 2U);
  const auto large = (*session)->preserve(1, memfd("more than ten").get());
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::limit_exceeded);
  EXPECT_NE(large.error().message.find("max_bytes_per_user"), std::string::npos);
}

TEST_F(Tracker, ReportsWhatDidNotComeBack) {
  session_with("s", {1});
  world.module().reboot();
  world.restart_daemon();
  auto adopted = world.by_name("s", true,
                               {Descriptor{1, Kind::memfd, 1, Keeper::tracker},
                                Descriptor{5, Kind::memfd, 1, Keeper::tracker}});
  const auto adoption = world.backend().adopt(adopted);
  ASSERT_TRUE(adoption);
  ASSERT_EQ(adoption->losses.size(), 1U);
  EXPECT_EQ(adoption->losses[0].token, 5U);
  EXPECT_NE(adoption->losses[0].sentence.find("token 5"), std::string::npos);

  const auto nothing = world.retrieve("nothing");
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::no_such_session);
  EXPECT_NE(nothing.error().nature, Nature::passing);
}

TEST_F(Tracker, HasItsSessionsWhenTheModuleIsLoadedLater) {
  const auto tokens = session_with("s", {1})->describe();
  world.module().reboot();
  world.module().unload();
  world.restart_daemon();
  const auto not_yet = world.retrieve("s", tokens);
  ASSERT_FALSE(not_yet);
  EXPECT_EQ(not_yet.error().code, ErrorCode::no_such_backend);
  EXPECT_EQ(not_yet.error().nature, Nature::passing) << "nothing is lost by that";
  EXPECT_NE(not_yet.error().message.find("modprobe handover"), std::string::npos);
  world.module().load();
  const auto there = world.retrieve("s", tokens);
  ASSERT_TRUE(there) << there.error().message;
  EXPECT_TRUE((*there)->retrieve(1));
}

/// For an owner that has lost his descriptor; what only the module has is given in the next kernel.
TEST_F(Tracker, HasDuplicatesOfWhatItPreservedItself) {
  auto session = session_with("s", {1, 2});
  const auto copy = session->duplicate(1);
  ASSERT_TRUE(copy);
  EXPECT_EQ(contents(copy->get()), "1");
  EXPECT_TRUE(session->stored_fds().empty()) << "systemd would have LUO preserve it once more";
  ASSERT_TRUE(session->unpreserve(1));
  EXPECT_FALSE(session->duplicate(1));
  session.reset();
  world.restart_daemon();
  auto adopted = world.adopt(world.by_name("s", false));
  ASSERT_TRUE(adopted) << adopted.error().message;
  EXPECT_EQ(tokens_of(**adopted), Tokens{2});
  EXPECT_FALSE((*adopted)->duplicate(2));
}

TEST_F(Tracker, NamesDamageAsLoss) {
  auto session = world.update_one(session_with("s", {1}));
  world.module().damage("s", 1);
  const auto damaged = session->retrieve(1);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code, ErrorCode::state_lost);
  EXPECT_EQ(damaged.error().sys_errno, ENODATA);
}

TEST_F(Tracker, GivesBackToTheEngineWhatWasGivenToADaemonThatDied) {
  auto session = world.update_one(session_with("s", {1}));
  auto given = session->retrieve(1);
  ASSERT_TRUE(given);
  EXPECT_TRUE(given->once) << "the caller keeps it";
  EXPECT_TRUE(session->stored_fds().empty()) << "not the session";
  session.reset();
  world.restart_daemon();
  auto adopted = world.by_name("s", true, {Descriptor{1, Kind::memfd, 1, Keeper::tracker}});
  adopted.parts.push_back({token_part(1), std::move(given->fd)});
  auto again = world.backend().adopt(adopted);
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE(again->given.contains(1));
  EXPECT_EQ(contents(again->given.at(1).get()), "1");
  const auto twice = again->session->retrieve(1);
  ASSERT_FALSE(twice) << "the module gives once";
  EXPECT_EQ(twice.error().code, ErrorCode::already_retrieved);
  ASSERT_TRUE(again->session->finish());
}

TEST_F(Tracker, DoesNotLookEmptyWhenTheModuleGivesNoAnswer) {
  auto session = session_with("s", {1, 2});
  ASSERT_TRUE(world.module().preserve_fd(session->open_tracker()->get(), 3, memfd("own").get()));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  world.module().faults().fail_call(1, ENOMEM, 100);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  EXPECT_TRUE(session->holds(3));
  world.module().faults().none();
  ASSERT_TRUE(session->unpreserve(3));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
}

TEST_F(Tracker, KnowsOfTheModuleWithoutAsking) {
  world.module().faults().none();
  EXPECT_TRUE(world.backend().available(Keeper::tracker));
  EXPECT_TRUE(world.keepers().module());
  EXPECT_EQ(world.module().faults().calls(), 0);

  world.module().unload();
  EXPECT_TRUE(world.backend().available(Keeper::tracker)) << "as it was seen last";
  EXPECT_FALSE(world.try_create("s"));
  EXPECT_FALSE(world.backend().available(Keeper::tracker)) << "noticed by the way";
  world.module().load();
  EXPECT_TRUE(world.try_create("s"));
  EXPECT_TRUE(world.backend().available(Keeper::tracker));
  world.module().faults().fail_call(1, EMFILE);
  EXPECT_TRUE(world.keepers().refresh_module()) << "no answer is no news";
}

// ---- the rest of a session's memory

TEST_F(Tracker, RestoresTheRestWhenTheLastClientIsThawed) {
  auto session = world.update_one(session_with("s", {1, 2}));
  const auto memory = session->retrieve(1);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  EXPECT_TRUE(world.module().restored().empty()) << "clients are still being restored";
  EXPECT_EQ(world.keepers().rest->resting(), std::vector<std::string>{"s"});

  ASSERT_TRUE(world.keepers().rest->restore_rest(3));
  EXPECT_EQ(world.module().restored(), (std::map<std::string, unsigned>{{"s", 3}}));
  EXPECT_FALSE(world.module().incoming("s")) << "finished, then";
  EXPECT_TRUE(world.keepers().rest->resting().empty());
}

TEST_F(Tracker, FinishesAtOnceWhatNobodyRetrieved) {
  auto session = world.update_one(session_with("s", {1}));
  ASSERT_TRUE(session->finish());
  EXPECT_FALSE(world.module().incoming("s")) << "its memory is free";
  EXPECT_TRUE(world.keepers().rest->resting().empty());
}

TEST_F(Tracker, RestoresALateComersRestAtOnce) {
  auto session = world.update_one(session_with("s", {1}));
  ASSERT_TRUE(world.keepers().rest->restore_rest(1000));
  const auto memory = session->retrieve(1);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  EXPECT_EQ(world.module().restored(), (std::map<std::string, unsigned>{{"s", 64}}));
  EXPECT_FALSE(world.module().incoming("s"));
}

TEST_F(Tracker, FreesTheNameOfARestingSessionForItsOwner) {
  auto session = world.update_one(session_with("s", {1}));
  const auto memory = session->retrieve(1);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  const auto next = world.try_create("s");
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ(world.module().outgoing("s"), Tokens{});
  EXPECT_TRUE(world.module().restored().empty()) << "others are still being restored";
  ASSERT_TRUE(world.keepers().rest->restore_rest(1));
  EXPECT_EQ(world.module().outgoing("s"), Tokens{}) << "the new one is no resting one";
}

TEST_F(Tracker, GoesOnWithRestingSessionsAfterACrash) {
  auto session = world.update_one(session_with("s", {1}));
  const auto memory = session->retrieve(1);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  const auto resting = world.keepers().rest->resting();
  session.reset();
  world.restart_daemon();
  auto newer = world.create("newer");
  auto names = resting;
  names.insert(names.end(), {"newer", "gone"});
  world.keepers().rest->adopt_resting(names);
  EXPECT_EQ(world.keepers().rest->resting(), resting);
  ASSERT_TRUE(world.keepers().rest->restore_rest(2));
  EXPECT_FALSE(world.module().incoming("s"));
  EXPECT_TRUE(world.module().outgoing("newer"));
}

TEST_F(Tracker, RemembersARestingSessionThatCannotBeReachedNow) {
  auto session = world.update_one(session_with("s", {1}));
  const auto memory = session->retrieve(1);
  ASSERT_TRUE(memory);
  ASSERT_TRUE(session->finish());
  for (int nth = 1; nth <= 2; ++nth) {
    world.restart_daemon();
    world.module().faults().fail_call(nth, EMFILE);
    world.keepers().rest->adopt_resting({"s"});
    EXPECT_EQ(world.keepers().rest->resting(), std::vector<std::string>{"s"})
        << "or its memory is nobody's until the next cold boot";
  }
  world.module().faults().fail_call(1, EMFILE);
  EXPECT_FALSE(world.keepers().rest->restore_rest(1));
  EXPECT_EQ(world.keepers().rest->resting(), std::vector<std::string>{"s"});
  ASSERT_TRUE(world.keepers().rest->restore_rest(1));
  EXPECT_FALSE(world.module().incoming("s"));
  EXPECT_TRUE(world.keepers().rest->resting().empty());
}

// ---- sealing

TEST_F(Tracker, SealsTwiceAndAgainAfterUnsealing) {
  auto session = session_with("s", {1});
  ASSERT_TRUE(world.keepers().tables->close());
  ASSERT_TRUE(world.keepers().tables->close());
  const auto refused = session->discard();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_EQ(world.module().outgoing("s"), Tokens{1});
  ASSERT_TRUE(world.keepers().tables->open());
  ASSERT_TRUE(world.keepers().tables->open());
  EXPECT_FALSE(world.module().sealed());
  ASSERT_TRUE(session->unpreserve(1));
  ASSERT_TRUE(world.keepers().tables->close());
}

TEST_F(Tracker, ReportsTablesThatCannotBeSealed) {
  world.module().faults().fail_call(1, ENOMEM);
  const auto closed = world.keepers().tables->close();
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().sys_errno, ENOMEM);
  EXPECT_FALSE(world.module().sealed());
}

TEST_F(Tracker, RehearsesWithoutStayingSealed) {
  ASSERT_TRUE(world.keepers().tables->rehearse());
  EXPECT_FALSE(world.module().sealed());
  EXPECT_GE(world.module().faults().calls(), 2) << "sealed and unsealed";
  for (int nth = 1; nth < 4; ++nth) {
    world.module().faults().fail_call(nth, EMFILE);
    const auto rehearsed = world.keepers().tables->rehearse();
    EXPECT_EQ(rehearsed.has_value(), nth > 1);
    EXPECT_FALSE(world.module().sealed()) << "workloads run on";
  }
}

TEST_F(Tracker, HasNoTablesWithoutTheModule) {
  world.module().unload();
  EXPECT_TRUE(world.keepers().tables->rehearse());
  EXPECT_TRUE(world.keepers().tables->close());
  EXPECT_TRUE(world.keepers().tables->open());
}

// ---- errnos, each with a name of its own

TEST_F(Tracker, EveryErrnoOfPreserveHasAName) {
  const std::map<int, ErrorCode> expected = {{EEXIST, ErrorCode::token_taken},
                                             {EOPNOTSUPP, ErrorCode::unsupported},
                                             {EDQUOT, ErrorCode::limit_exceeded},
                                             {EINVAL, ErrorCode::incoming},
                                             {EBUSY, ErrorCode::already_preserved},
                                             {ENOENT, ErrorCode::no_such_session},
                                             {ENOMEM, ErrorCode::io},
                                             {EPERM, ErrorCode::io}};
  for (const auto& [sys_errno, code] : expected) {
    TrackerWorld fresh;
    auto session = fresh.create("s");
    ASSERT_TRUE(session->preserve(1, memfd().get()));
    fresh.module().faults().fail_call(1, sys_errno);
    const auto refused = session->preserve(2, memfd().get());
    ASSERT_FALSE(refused) << sys_errno;
    EXPECT_EQ(refused.error().code, code) << refused.error().message;
    EXPECT_GT(refused.error().message.size(), 20U);
    EXPECT_EQ(tokens_of(*session), Tokens{1}) << "nothing has changed";
    EXPECT_TRUE(session->preserve(2, memfd().get()));
  }
}

TEST_F(Tracker, EveryErrnoOfRetrieveHasAName) {
  const std::map<int, ErrorCode> expected = {{ENOENT, ErrorCode::no_such_token},
                                             {EINVAL, ErrorCode::not_incoming},
                                             {EALREADY, ErrorCode::already_retrieved},
                                             {ENODATA, ErrorCode::state_lost},
                                             {EOPNOTSUPP, ErrorCode::unsupported},
                                             {EBUSY, ErrorCode::busy},
                                             {ENOMEM, ErrorCode::io},
                                             {EMFILE, ErrorCode::io}};
  for (const auto& [sys_errno, code] : expected) {
    TrackerWorld fresh;
    Sessions sessions;
    sessions["s"] = fresh.create("s");
    ASSERT_TRUE(sessions["s"]->preserve(1, memfd("kept").get()));
    fresh.update(sessions);
    fresh.module().faults().fail_call(1, sys_errno);
    const auto refused = sessions["s"]->retrieve(1);
    ASSERT_FALSE(refused) << sys_errno;
    EXPECT_EQ(refused.error().code, code) << refused.error().message;
    const auto memory = sessions["s"]->retrieve(1);
    ASSERT_TRUE(memory) << "nothing has changed: " << memory.error().message;
    EXPECT_EQ(contents(memory->fd.get()), "kept");
  }
}

TEST_F(Tracker, EveryErrnoOfCreateHasAName) {
  const std::map<int, ErrorCode> expected = {{ENODEV, ErrorCode::no_such_backend},
                                             {EEXIST, ErrorCode::name_taken},
                                             {EOPNOTSUPP, ErrorCode::not_supported},
                                             {EBUSY, ErrorCode::busy},
                                             {EPERM, ErrorCode::access_denied},
                                             {EACCES, ErrorCode::access_denied},
                                             {ENOTTY, ErrorCode::not_supported},
                                             {E2BIG, ErrorCode::not_supported},
                                             {ENOMEM, ErrorCode::io},
                                             {EMFILE, ErrorCode::io}};
  for (const auto& [sys_errno, code] : expected) {
    TrackerWorld fresh;
    fresh.module().faults().fail_call(1, sys_errno);
    const auto refused = fresh.try_create("s");
    ASSERT_FALSE(refused) << sys_errno;
    EXPECT_EQ(refused.error().code, code) << refused.error().message;
    EXPECT_FALSE(fresh.module().outgoing("s"));
    EXPECT_TRUE(fresh.try_create("s"));
  }
}

TEST_F(Tracker, SaysWhatToDoWithoutTheModuleOrKho) {
  world.module().unload();
  const auto unloaded = world.try_create("s");
  ASSERT_FALSE(unloaded);
  EXPECT_NE(unloaded.error().message.find("modprobe handover"), std::string::npos);
  world.module().load();
  world.module().switch_kho_off();
  const auto off = world.try_create("s");
  ASSERT_FALSE(off);
  EXPECT_NE(off.error().message.find("kho=on"), std::string::npos);
}

/// Runs `operation` with the n-th call failing, for every n until none fails any more.
void fail_every_call(const std::function<bool(TrackerWorld&, Session&)>& operation,
                     const std::function<void(TrackerWorld&, Session&)>& check) {
  for (int nth = 1;; ++nth) {
    ASSERT_LT(nth, 50) << "the operation never succeeds";
    TrackerWorld world;
    auto session = world.create("s");
    ASSERT_TRUE(session->preserve(1, memfd("1").get()));
    ASSERT_TRUE(session->preserve(2, memfd("2").get()));
    world.module().faults().fail_call(nth, ENOMEM);
    const bool done = operation(world, *session);
    const bool reached = world.module().faults().calls() >= nth;
    world.module().faults().none();
    if (!done) check(world, *session);
    if (!reached) return;
  }
}

TEST(TrackerFaults, ChangesNothingWhenACallFails) {
  const auto unchanged = [](TrackerWorld& world, Session& session) {
    EXPECT_EQ(world.module().outgoing("s"), (Tokens{1, 2}));
    EXPECT_EQ(tokens_of(session), (Tokens{1, 2}));
  };
  fail_every_call([](TrackerWorld&,
                     Session& session) { return session.preserve(3, memfd().get()).has_value(); },
                  unchanged);
  fail_every_call([](TrackerWorld&, Session& session) { return session.unpreserve(2).has_value(); },
                  unchanged);
  fail_every_call([](TrackerWorld&, Session& session) { return session.discard().has_value(); },
                  unchanged);
  fail_every_call([](TrackerWorld& world,
                     Session&) { return world.adopt(world.by_name("s", false)).has_value(); },
                  unchanged);
}

TEST(TrackerDevice, SaysThatThereIsNoModule) {
  const auto device = open_tracker_device("/dev/handover-that-is-not-there");
  const auto info = device->info();
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error(), ENODEV);
  const auto session = device->create_session("s", {});
  ASSERT_FALSE(session);
  EXPECT_EQ(session.error(), ENODEV);
  const auto longest = device->create_session(std::string(64, 'n'), {});
  ASSERT_FALSE(longest);
  EXPECT_EQ(longest.error(), ENAMETOOLONG);
}

TEST(TrackerDevice, PassesTheErrnoOfWhatIsNoModuleOn) {
  const auto device = open_tracker_device("/dev/null");
  const auto info = device->info();
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error(), ENOTTY);
  const auto memory = memfd();
  EXPECT_EQ(device->preserve_fd(memory.get(), 1, memory.get()).error(), ENOTTY);
  EXPECT_EQ(device->list_tokens(memory.get()).error(), ENOTTY);
  EXPECT_EQ(device->is_incoming(-1).error(), EBADF);
}

}  // namespace
}  // namespace handover::backend::test
