// SPDX-License-Identifier: LGPL-2.1-or-later
// The luo backend against a kernel that refuses, fails at the n-th call, or forgets.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <thread>
#include <vector>

#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

std::set<std::uint64_t> tokens_of(const Session& session) {
  std::set<std::uint64_t> tokens;
  for (const Descriptor& descriptor : session.describe()) tokens.insert(descriptor.token);
  return tokens;
}

using Tokens = std::set<std::uint64_t>;

class Luo : public testing::Test {
 protected:
  Luo() = default;
  explicit Luo(LuoPatience patience) : world(patience) {}

  std::unique_ptr<Session> session_with(const std::string& name, const Tokens& tokens) {
    auto session = world.create(name);
    for (const std::uint64_t token : tokens) {
      const auto preserved = session->preserve(token, memfd(std::to_string(token)).get());
      EXPECT_TRUE(preserved) << preserved.error().message;
    }
    return session;
  }

  /// What the session says and what the kernel preserves must be the same.
  void expect_truth(const Session& session) {
    EXPECT_TRUE(session.whole());
    EXPECT_EQ(tokens_of(session), world.kernel().outgoing(session.name()).value_or(Tokens{}));
  }

  LuoWorld world;
};

/// Waits for longer than any holder in these tests needs, however busy the machine is.
class PatientLuo : public Luo {
 protected:
  PatientLuo() : Luo({std::chrono::minutes(1), std::chrono::minutes(1), std::chrono::minutes(1)}) {}
};

/// What a passing failure must leave: every token that was there, and a session that mends.
void expect_nothing_lost(LuoWorld& world, Session& session, const Tokens& tokens) {
  const auto lost = session.take_losses();
  EXPECT_TRUE(lost.empty()) << lost.front().sentence;
  EXPECT_EQ(tokens_of(session), tokens);
  if (session.whole()) {
    EXPECT_EQ(world.kernel().outgoing("s").value_or(Tokens{}), tokens);
  }
  const auto mended = session.mend();
  ASSERT_TRUE(mended) << mended.error().message;
  EXPECT_TRUE(session.whole());
  EXPECT_EQ(world.kernel().outgoing("s").value_or(Tokens{}), tokens);
}

/// Runs `operation` on a new session of tokens 1, 2 and 3, with the n-th kernel call and `times` -
/// 1 more failing, for every n until none fails any more; `check` sees the session after each.
template <typename Operation, typename Check>
void fail_every_call(int times, const Operation& operation, const Check& check) {
  for (const int sys_errno : {ENOMEM, EINTR, EBUSY, EMFILE, ENFILE, EAGAIN}) {
    for (int nth = 1;; ++nth) {
      ASSERT_LT(nth, 100) << "the operation never succeeds";
      LuoWorld world(LuoPatience::none());
      auto session = world.create("s");
      for (const std::uint64_t token : {1, 2, 3}) {
        ASSERT_TRUE(session->preserve(token, memfd().get()));
      }
      const std::size_t descriptors = open_descriptors();
      world.kernel().faults().fail_call(nth, sys_errno, times);
      const auto result = operation(*session);
      const bool failed_one = world.kernel().faults().calls() >= nth;
      world.kernel().faults().none();
      SCOPED_TRACE("call " + std::to_string(nth) + " fails with " + std::to_string(sys_errno));
      check(world, *session, result);
      EXPECT_LE(open_descriptors(), descriptors + 3) << "a file is one here and one in the kernel";
      if (!result) {
        EXPECT_EQ(result.error().nature, Nature::passing) << result.error().message;
      }
      if (!failed_one) {
        EXPECT_TRUE(result);
        break;
      }
    }
  }
}

TEST(LuoFaults, LosesNothingWhicheverCallOfUnpreserveFails) {
  for (const int times : {1, 2, 100}) {
    fail_every_call(
        times, [](Session& session) { return session.unpreserve(2); },
        [](LuoWorld& world, Session& session, const Result<void>& result) {
          const Tokens wanted = result ? Tokens{1, 3} : Tokens{1, 2, 3};
          expect_nothing_lost(world, session, wanted);
          EXPECT_TRUE(session.preserve(9, memfd().get()));
        });
  }
}

TEST(LuoFaults, LosesNothingWhicheverCallOfPreserveAgainFails) {
  for (const int times : {1, 2, 100}) {
    fail_every_call(
        times,
        [](Session& session) {
          return session.preserve_again([]() -> Result<void> { return {}; });
        },
        [](LuoWorld& world, Session& session, const Result<void>& /*result*/) {
          expect_nothing_lost(world, session, {1, 2, 3});
        });
  }
}

TEST_F(Luo, LosesNothingWhicheverCallOfPreserveFails) {
  for (const int times : {1, 100}) {
    for (const int sys_errno : {ENOMEM, EINTR, EMFILE}) {
      auto session = session_with("s", {1, 2});
      world.kernel().faults().fail_call(1, sys_errno, times);
      const auto failed = session->preserve(3, memfd().get());
      world.kernel().faults().none();
      ASSERT_FALSE(failed);
      EXPECT_EQ(failed.error().nature, Nature::passing);
      expect_nothing_lost(world, *session, {1, 2});
      EXPECT_TRUE(session->preserve(3, memfd().get()));
      expect_truth(*session);
    }
  }
}

TEST_F(Luo, GoesOnWhileItIsDegraded) {
  auto session = session_with("s", {1, 2, 3});
  world.kernel().refuse_create("s", ENOMEM);
  EXPECT_FALSE(session->preserve_again(nullptr));
  EXPECT_FALSE(session->whole());
  EXPECT_FALSE(world.kernel().outgoing("s"));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  for (const std::uint64_t token : {1, 2, 3}) EXPECT_TRUE(session->duplicate(token));
  EXPECT_EQ(session->stored_fds().size(), 3U) << "the tokens are worth keeping all the same";

  const auto mended = session->mend();
  ASSERT_FALSE(mended);
  EXPECT_EQ(mended.error().nature, Nature::passing);
  const auto refused = session->preserve(4, memfd().get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().nature, Nature::passing);
  const auto unpreserved = session->unpreserve(3);
  ASSERT_FALSE(unpreserved) << "its owner would take it for changeable";
  EXPECT_EQ(unpreserved.error().nature, Nature::passing);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  const auto taken = session->preserve(1, memfd().get());
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::token_taken);

  world.kernel().refuse_create("s", 0);
  ASSERT_TRUE(session->unpreserve(3));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
  expect_truth(*session);
}

TEST_F(Luo, MakesADegradedSessionWholeWithTheNextPreserve) {
  auto session = session_with("s", {1, 2});
  world.kernel().refuse_create("s", ENOMEM);
  EXPECT_FALSE(session->preserve_again(nullptr));
  world.kernel().refuse_create("s", 0);
  const auto preserved = session->preserve(3, memfd().get());
  ASSERT_TRUE(preserved) << preserved.error().message;
  std::set<Part> stored;
  for (const auto& one : preserved->stored) stored.insert(one.part);
  EXPECT_TRUE(stored.contains(session_part)) << "the fd store has none of it";
  EXPECT_TRUE(stored.contains(token_part(3)));
  expect_truth(*session);
}

TEST_F(Luo, TellsByNameWhatTheKernelRefusesForEver) {
  auto session = session_with("s", {1, 2, 3});
  world.kernel().refuse_preserve("s", 2, EOPNOTSUPP);
  world.kernel().refuse_preserve("s", 3, ENOMEM);
  const auto again = session->preserve_again(nullptr);
  ASSERT_FALSE(again);
  const auto losses = session->take_losses();
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(losses[0].token, 2U);
  EXPECT_NE(losses[0].sentence.find("token 2 of session \"s\""), std::string::npos);
  EXPECT_TRUE(session->take_losses().empty()) << "told once";
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 3}));
  EXPECT_FALSE(session->whole()) << "token 3 may be taken later";

  world.kernel().refuse_preserve("s", 3, 0);
  ASSERT_TRUE(session->mend());
  expect_truth(*session);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 3}));
}

TEST_F(Luo, UnpreservesOneThoughAnotherIsLostByIt) {
  auto session = session_with("s", {1, 2, 3});
  world.kernel().refuse_preserve("s", 2, EOPNOTSUPP);
  ASSERT_TRUE(session->unpreserve(1));
  const auto losses = session->take_losses();
  ASSERT_EQ(losses.size(), 1U);
  EXPECT_EQ(losses[0].token, 2U);
  EXPECT_EQ(tokens_of(*session), Tokens{3});
  expect_truth(*session);
}

TEST_F(Luo, ChangesNothingWhileAnotherProcessHasTheDevice) {
  auto session = session_with("s", {1, 2});
  world.kernel().set_busy(true);
  bool ran = false;
  const auto again = session->preserve_again([&]() -> Result<void> {
    ran = true;
    return {};
  });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().nature, Nature::passing);
  EXPECT_FALSE(ran);
  expect_truth(*session);
  const auto unpreserved = session->unpreserve(1);
  ASSERT_FALSE(unpreserved);
  EXPECT_EQ(unpreserved.error().nature, Nature::passing);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
  expect_truth(*session);
  const auto created = world.try_create("t");
  ASSERT_FALSE(created);
  EXPECT_EQ(created.error().nature, Nature::passing);
}

TEST_F(Luo, LetsNobodyComeBetweenClosingASessionAndMakingItAnew) {
  auto session = session_with("s", {1, 2});
  ASSERT_TRUE(session->preserve_again([&]() -> Result<void> {
    world.kernel().set_busy(true);
    return {};
  }));
  expect_truth(*session);
}

TEST_F(Luo, MakesASessionAnewInTheOrderOfPreservation) {
  // A device that depends on another is preserved, and frozen, after it.
  auto session = world.create("s");
  for (const std::uint64_t token : {3, 1, 2}) ASSERT_TRUE(session->preserve(token, memfd().get()));
  ASSERT_TRUE(session->preserve_again(nullptr));
  EXPECT_EQ(world.kernel().order("s"), (std::vector<std::uint64_t>{3, 1, 2}));
}

TEST_F(Luo, PreservesOnceMoreWhatOneFailureRefused) {
  auto session = session_with("s", {1, 2, 3});
  world.kernel().faults().fail_call(3, ENOMEM);  // create, preserve 1, preserve 2
  EXPECT_TRUE(session->preserve_again(nullptr));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  expect_truth(*session);
}

TEST_F(Luo, SaysWhyASessionIsDegradedAndWhatFailedBefore) {
  auto session = session_with("s", {1, 2});
  world.kernel().refuse_create("s", ENOSPC);
  const auto again = session->preserve_again(
      []() -> Result<void> { return fail(ErrorCode::cancelled, "and on top of it, cancelled"); });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().nature, Nature::passing);
  for (const char* said : {"2 descriptors", "session \"s\"", "cancelled"}) {
    EXPECT_NE(again.error().message.find(said), std::string::npos) << again.error().message;
  }
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
}

TEST_F(PatientLuo, WaitsForAnotherHolderToLetTheSessionGo) {
  auto session = session_with("s", {1, 2});
  auto in_the_fd_store = kept({session->stored_fds().front()});
  std::thread service_manager([&]() {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    in_the_fd_store.clear();
  });
  const auto done = session->unpreserve(1);
  service_manager.join();
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(tokens_of(*session), Tokens{2});
  expect_truth(*session);
}

TEST_F(Luo, KeepsAllForAHolderThatDoesNotLetGo) {
  auto session = session_with("s", {1, 2});
  auto in_the_fd_store = kept({session->stored_fds().front()});
  const auto done = session->unpreserve(1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().nature, Nature::passing);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
  EXPECT_FALSE(session->whole());
  EXPECT_EQ(session->mend().error().nature, Nature::passing);
  in_the_fd_store.clear();
  ASSERT_TRUE(session->mend());
  expect_truth(*session);
}

TEST_F(Luo, LeavesASessionAloneWhoseDescriptorsAreInTheKernelOnly) {
  Adopted adopted = kept_session(*session_with("s", {1, 2}), false);
  adopted.parts.resize(1);  // the session, without its tokens
  auto session = world.adopt(std::move(adopted)).value();
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
  EXPECT_FALSE(session->duplicate(1));

  bool ran = false;
  const auto again = session->preserve_again([&]() -> Result<void> {
    ran = true;
    return {};
  });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::not_supported);
  EXPECT_FALSE(ran);
  const auto one = session->unpreserve(1);
  ASSERT_FALSE(one);
  EXPECT_EQ(one.error().code, ErrorCode::not_supported);
  expect_truth(*session);

  EXPECT_TRUE(session->preserve(3, memfd().get()));
  const auto taken = session->preserve(1, memfd().get());
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::token_taken);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  expect_truth(*session);
}

TEST_F(Luo, UnpreservesTheOnlyDescriptorThatIsMissing) {
  Adopted adopted = kept_session(*session_with("s", {1, 2}), false);
  adopted.parts.pop_back();  // t2
  auto session = world.adopt(std::move(adopted)).value();
  const auto other = session->unpreserve(1);
  ASSERT_FALSE(other) << "token 2 cannot be preserved again";
  world.kernel().refuse_create("s", ENOMEM);
  EXPECT_TRUE(session->unpreserve(2)) << "whatever becomes of the rest, it is out";
  EXPECT_EQ(tokens_of(*session), Tokens{1});
  EXPECT_FALSE(session->whole());
  world.kernel().refuse_create("s", 0);
  ASSERT_TRUE(session->mend());
  expect_truth(*session);
}

TEST_F(Luo, MakesASessionAnewThatACrashTookWithItsDescriptorsLeft) {
  Adopted adopted = kept_session(*session_with("s", {1, 2}), false);
  adopted.parts.erase(adopted.parts.begin());  // "s": the daemon died while making it anew
  auto session = world.adopt(std::move(adopted));
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(tokens_of(**session), (Tokens{1, 2}));
  expect_truth(**session);

  Adopted incomplete = kept_session(**session, false);
  session->reset();
  incomplete.parts.erase(incomplete.parts.begin(), incomplete.parts.begin() + 2);  // "s" and "t1"
  auto partly = world.backend().adopt(incomplete);
  ASSERT_TRUE(partly) << partly.error().message;
  EXPECT_EQ(tokens_of(*partly->session), Tokens{2}) << "what came back is not lost with the rest";
  expect_truth(*partly->session);
  ASSERT_EQ(partly->losses.size(), 1U);
  EXPECT_EQ(partly->losses[0].token, 1U);

  Adopted nothing = world.by_name("s", false, partly->session->describe());
  partly->session.reset();
  const auto lost = world.backend().adopt(nothing);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::io);
  EXPECT_FALSE(world.kernel().outgoing("s"));
}

// ---- what owners do by themselves with LUO's descriptor

TEST_F(Luo, OpensItsSessionForItsOwner) {
  auto session = session_with("s", {1});
  {
    const auto own = session->open_luo();
    ASSERT_TRUE(own) << own.error().message;
    ASSERT_EQ(world.kernel().preserve_fd(own->get(), 9, memfd("own").get()), 0);
  }
  EXPECT_EQ(world.kernel().outgoing("s"), (Tokens{1, 9}));
  EXPECT_EQ(session->preserve(9, memfd("other").get()).error().code, ErrorCode::token_taken);
  ASSERT_TRUE(session->preserve(2, memfd("2").get()));

  session = world.update_one(std::move(session));
  auto memory = session->retrieve(9);
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(contents(memory->fd.get()), "own");
  const auto again = session->open_luo();
  ASSERT_TRUE(again);
  const UniqueFd two(world.kernel().retrieve_fd(again->get(), 2));
  EXPECT_EQ(contents(two.get()), "2");
  EXPECT_TRUE(session->finish());
  EXPECT_EQ(session->open_luo().error().code, ErrorCode::busy);
}

/// Nobody could preserve again what its owner has put there.
TEST_F(Luo, NeverMakesASessionAnewThatItsOwnerHas) {
  auto session = session_with("s", {1, 2});
  auto own = session->open_luo();
  ASSERT_TRUE(own);
  ASSERT_EQ(world.kernel().preserve_fd(own->get(), 9, memfd("own").get()), 0);
  const auto expect_kept = [&] {
    EXPECT_EQ(session->unpreserve(1).error().code, ErrorCode::not_supported);
    const auto again = session->preserve_again([]() -> Result<void> {
      ADD_FAILURE() << "nothing was let go of";
      return {};
    });
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::not_supported);
    EXPECT_NE(again.error().message.find("OpenLUO"), std::string::npos) << again.error().message;
    EXPECT_EQ(world.kernel().outgoing("s"), (Tokens{1, 2, 9}));
    EXPECT_TRUE(session->whole());
  };
  expect_kept();

  Adopted adopted = kept_session(*session, false);
  adopted.luo_opened = true;
  session.reset();
  session = world.adopt(std::move(adopted)).value();
  expect_kept();

  // The fd store lost the session, and its owner still has it.
  Adopted without = kept_session(*session, false);
  without.luo_opened = true;
  without.parts.erase(without.parts.begin());
  session.reset();
  const auto lost = world.backend().adopt(without);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::io);
  EXPECT_EQ(world.kernel().outgoing("s"), (Tokens{1, 2, 9})) << "it is his";
}

TEST_F(Luo, WhatItsOwnerHasEndsWithHisDescriptor) {
  auto session = session_with("s", {1});
  auto own = session->open_luo();
  ASSERT_TRUE(own);
  ASSERT_TRUE(session->discard());
  EXPECT_EQ(world.kernel().outgoing("s"), Tokens{1});
  own->reset();
  EXPECT_FALSE(world.kernel().outgoing("s"));
}

/// A daemon may die while one of its sessions is degraded.
TEST_F(Luo, SeesWhatTheKernelLacksOfASessionThatItAdopts) {
  auto session = session_with("s", {1, 2, 3});
  world.kernel().refuse_preserve("s", 2, ENOMEM);
  EXPECT_FALSE(session->preserve_again(nullptr));
  EXPECT_EQ(world.kernel().outgoing("s"), (Tokens{1, 3}));
  auto complete = kept_session(*session, false);
  auto without_it = kept_session(*session, false);
  std::erase_if(without_it.parts, [](const auto& part) { return part.part == token_part(2); });
  session.reset();
  {
    const auto degraded = world.backend().adopt(complete);
    ASSERT_TRUE(degraded);
    EXPECT_FALSE(degraded->session->whole());
    EXPECT_EQ(tokens_of(*degraded->session), (Tokens{1, 2, 3}));
    world.kernel().refuse_preserve("s", 2, 0);
    ASSERT_TRUE(degraded->session->mend());
    expect_truth(*degraded->session);
  }
  const auto whole = world.backend().adopt(without_it);
  ASSERT_TRUE(whole) << "it is in the kernel now";
  EXPECT_TRUE(whole->losses.empty());
  expect_truth(*whole->session);
}

TEST_F(Luo, TellsWhatNeitherTheKernelNorTheFdStoreHas) {
  auto session = session_with("s", {1});
  auto adopted = kept_session(*session, false);
  adopted.tokens.push_back(Descriptor{2, Kind::memfd, 0, Keeper::luo});
  const auto adoption = world.backend().adopt(adopted);
  ASSERT_TRUE(adoption);
  ASSERT_EQ(adoption->losses.size(), 1U);
  EXPECT_EQ(adoption->losses[0].token, 2U);
  EXPECT_EQ(tokens_of(*adoption->session), Tokens{1});
}

TEST_F(Luo, OpensTheDeviceOnceForAllSessionsOfAStart) {
  Sessions sessions;
  for (int i = 0; i < 50; ++i) {
    const std::string name = "s" + std::to_string(i);
    sessions[name] = session_with(name, {1});
  }
  ASSERT_TRUE(world.manifest().replace("text"));
  world.kernel().reboot();
  world.restart_daemon();
  const int before = world.kernel().opened();
  const auto held = world.backend().hold();
  world.kernel().set_busy(true);  // other processes would have it, if they could
  EXPECT_EQ(world.manifest().unseal().value(), "text");
  for (auto& [name, session] : sessions) {
    auto retrieved = world.retrieve(name);
    ASSERT_TRUE(retrieved) << retrieved.error().message;
    session = std::move(*retrieved);
  }
  EXPECT_EQ(world.kernel().opened(), before + 1);
}

TEST_F(Luo, AdoptsWhatCannotBeMadeAnewNowAsDegraded) {
  Adopted adopted = kept_session(*session_with("s", {1, 2}), false);
  adopted.parts.erase(adopted.parts.begin());
  world.kernel().set_busy(true);
  auto session = world.adopt(std::move(adopted));
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_FALSE((*session)->whole());
  EXPECT_EQ(tokens_of(**session), (Tokens{1, 2}));
  world.kernel().set_busy(false);
  ASSERT_TRUE((*session)->mend());
  expect_truth(**session);
}

TEST_F(Luo, LeavesAllThereIfAnAdoptionFails) {
  for (const int sys_errno : {EBUSY, ENOMEM, EMFILE, EINTR}) {
    for (const bool by_descriptor : {true, false}) {
      for (int nth = 1; nth < 4; ++nth) {
        LuoWorld fresh;
        Sessions sessions;
        sessions["s"] = fresh.create("s");
        ASSERT_TRUE(sessions["s"]->preserve(1, memfd("kept").get()));
        auto adopted = fresh.by_name("s", true, sessions["s"]->describe());
        fresh.kernel().reboot();
        fresh.restart_daemon();
        if (by_descriptor) {
          adopted.parts.push_back({session_part, std::move(*fresh.kernel().retrieve_session("s"))});
        }
        fresh.kernel().faults().fail_call(nth, sys_errno);
        auto first = fresh.backend().adopt(adopted);
        const bool reached = fresh.kernel().faults().calls() >= nth;
        fresh.kernel().faults().none();
        EXPECT_EQ(fresh.kernel().incoming("s"), Tokens{1}) << "closing it would finish it";
        if (reached) {
          ASSERT_FALSE(first);
          EXPECT_EQ(first.error().nature, Nature::passing) << first.error().message;
          first = fresh.backend().adopt(adopted);
        }
        ASSERT_TRUE(first) << first.error().message;
        const auto memory = first->session->retrieve(1);
        ASSERT_TRUE(memory);
        EXPECT_EQ(contents(memory->fd.get()), "kept");
      }
    }
  }
}

/// Without it, each of these would take a minute.
TEST_F(PatientLuo, WaitsForNobodyWhenItAdoptsOrMends) {
  auto session = session_with("s", {1});
  auto incomplete = kept_session(*session, false);
  incomplete.parts.erase(incomplete.parts.begin());
  session.reset();
  world.kernel().set_busy(true);
  auto adopted = world.adopt(std::move(incomplete));
  ASSERT_TRUE(adopted);
  EXPECT_FALSE((*adopted)->mend());
  EXPECT_FALSE(world.retrieve("other"));
  EXPECT_FALSE(world.manifest().unseal());
}

TEST_F(Luo, BelievesTheKernelAboutWhereASessionComesFrom) {
  auto session = session_with("s", {1});
  world.kernel().reboot();
  session = world.retrieve("s").value();
  Adopted adopted = kept_session(*session, /*incoming=*/false);
  session = world.adopt(std::move(adopted)).value();
  EXPECT_TRUE(session->incoming());
  EXPECT_TRUE(session->retrieve(1));
}

TEST_F(Luo, AdoptsAnIncomingSessionWithWhatIsLeftInIt) {
  Sessions sessions;
  sessions["s"] = session_with("s", {1, 2});
  world.update(sessions);
  ASSERT_TRUE(sessions["s"]->retrieve(1));
  auto again = world.adopt(kept_session(*sessions["s"], true));
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE((*again)->retrieve(2));
  EXPECT_TRUE((*again)->finish());
  EXPECT_EQ(world.kernel().incoming("s"), Tokens{});
}

TEST_F(Luo, SaysWhenTheKernelCannotRestore) {
  Sessions sessions;
  sessions["s"] = session_with("s", {1, 2});
  world.update(sessions);
  world.kernel().break_token("s", 1);
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto lost = sessions["s"]->retrieve(1);
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::state_lost);
    EXPECT_EQ(lost.error().sys_errno, EIO);
  }
  EXPECT_TRUE(sessions["s"]->retrieve(2));
}

TEST_F(Luo, SaysWhenAnotherProcessRetrievedTheSession) {
  auto session = session_with("s", {1});
  world.kernel().reboot();
  const auto first = world.retrieve("s");
  ASSERT_TRUE(first);
  const auto second = world.retrieve("s");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::state_lost);
}

TEST_F(Luo, MapsTheKernelsRefusals) {
  auto session = world.create("s");
  struct Refusal {
    int sys_errno;
    ErrorCode code;
  };
  for (const Refusal refusal : {Refusal{EEXIST, ErrorCode::token_taken},
                                {EBUSY, ErrorCode::already_preserved},
                                {ENOENT, ErrorCode::unsupported},
                                {EOPNOTSUPP, ErrorCode::unsupported},
                                {EFBIG, ErrorCode::unsupported},
                                {ENOSPC, ErrorCode::limit_exceeded},
                                {ENOMEM, ErrorCode::io}}) {
    world.kernel().faults().fail_call(1, refusal.sys_errno);
    const auto refused = session->preserve(1, memfd().get());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, refusal.code) << refused.error().message;
    EXPECT_EQ(refused.error().sys_errno, refusal.sys_errno);
    EXPECT_EQ(refused.error().nature,
              refusal.sys_errno == ENOMEM ? Nature::passing : Nature::refused);
  }
  for (const Refusal refusal : {Refusal{EBUSY, ErrorCode::io}, {EIO, ErrorCode::state_lost}}) {
    world.kernel().faults().fail_call(1, refusal.sys_errno, 1000);
    const auto refused = world.try_create("t");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, refusal.code) << refused.error().message;
    world.kernel().faults().fail_call(1, refusal.sys_errno);
    const auto unretrieved = world.retrieve("t");
    ASSERT_FALSE(unretrieved);
    EXPECT_EQ(unretrieved.error().code, refusal.code) << unretrieved.error().message;
  }
}

TEST_F(Luo, GivesATokenAgainUntilTheSessionIsFinished) {
  auto session = world.update_one(session_with("s", {1}));
  const auto first = session->retrieve(1);
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->once) << "nobody has to keep it";
  const auto second = session->retrieve(1);
  ASSERT_TRUE(second);
  EXPECT_TRUE(same_file(first->fd.get(), second->fd.get()));
  EXPECT_EQ(world.kernel().restored(), std::vector<std::uint64_t>{1}) << "restored once";
}

TEST_F(Luo, AsksForATokenOnceMoreBeforeItCallsItLost) {
  for (const int sys_errno : {ENOMEM, EMFILE, ENFILE, EBUSY, EINTR, EAGAIN}) {
    auto session = world.update_one(session_with("s", {1}));
    world.kernel().faults().fail_call(1, sys_errno);
    const auto retrieved = session->retrieve(1);
    ASSERT_TRUE(retrieved) << retrieved.error().message;
    ASSERT_TRUE(session->finish());
  }
}

TEST_F(Luo, TellsWantOfADescriptorFromLoss) {
  auto session = world.update_one(session_with("s", {1}));
  world.kernel().faults().fail_call(1, EMFILE, 2);
  const auto full = session->retrieve(1);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().nature, Nature::passing);
  EXPECT_TRUE(session->retrieve(1));

  rlimit limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none = {3, limit.rlim_max};
  world.kernel().faults().none();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto no_room = session->retrieve(1);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_FALSE(no_room);
  EXPECT_EQ(no_room.error().nature, Nature::passing);
  EXPECT_EQ(world.kernel().faults().calls(), 0) << "a token that fails once fails for ever";
}

TEST_F(Luo, CallsLostWhatTheKernelFailedToRestore) {
  auto session = world.update_one(session_with("s", {1, 2}));
  world.kernel().break_token("s", 1, ENOMEM);
  const auto lost = session->retrieve(1);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::state_lost);
  EXPECT_EQ(lost.error().nature, Nature::damaged) << "the kernel remembers that it failed";
  EXPECT_TRUE(session->retrieve(2));
}

TEST_F(Luo, FinishesLaterWhatItCannotFinishNow) {
  for (const int sys_errno : {EBUSY, ENOMEM, EINTR}) {
    auto session = world.update_one(session_with("s", {1}));
    world.kernel().faults().fail_call(1, sys_errno);
    const auto refused = session->finish();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().nature, Nature::passing);
    EXPECT_EQ(world.kernel().incoming("s"), Tokens{1});
    EXPECT_TRUE(session->retrieve(1));
    EXPECT_TRUE(session->finish());
  }
}

}  // namespace
}  // namespace handover::backend::test
