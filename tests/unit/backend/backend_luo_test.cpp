// SPDX-License-Identifier: LGPL-2.1-or-later
// The luo backend against a kernel that refuses, fails at the n-th call, or forgets.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "backend/luo.h"
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

  /// What the session says and what the kernel preserves must be the same, whatever failed.
  void expect_truth(const Session& session) {
    EXPECT_EQ(tokens_of(session), world.kernel().outgoing(session.name()).value_or(Tokens{}));
  }

  LuoWorld world;
};

/// Waits for longer than any holder in these tests needs, however busy the machine is.
class PatientLuo : public Luo {
 protected:
  PatientLuo() : Luo({std::chrono::minutes(1), std::chrono::minutes(1)}) {}
};

/// Runs `operation` on a new session of tokens 1, 2 and 3 with the n-th kernel call failing, for
/// every n until none fails any more; `check` sees the session after each.
template <typename Operation, typename Check>
void fail_every_call(const Operation& operation, const Check& check) {
  for (const int sys_errno : {ENOMEM, EINTR, EBUSY}) {
    for (int nth = 1;; ++nth) {
      ASSERT_LT(nth, 100) << "the operation never succeeds";
      LuoWorld world;
      auto session = world.create("s");
      for (const std::uint64_t token : {1, 2, 3}) {
        ASSERT_TRUE(session->preserve(token, memfd().get()));
      }
      world.kernel().fail_call(nth, sys_errno);
      const auto result = operation(*session);
      const bool failed_one = world.kernel().calls() >= nth;
      world.kernel().fail_call(0, 0);
      SCOPED_TRACE("call " + std::to_string(nth) + " fails with " + std::to_string(sys_errno));
      EXPECT_EQ(tokens_of(*session), world.kernel().outgoing("s").value_or(Tokens{}));
      check(*session, result);
      if (!failed_one) {
        EXPECT_TRUE(result);
        break;
      }
    }
  }
}

TEST_F(Luo, TellsTheTruthWhicheverCallOfUnpreserveFails) {
  fail_every_call(
      [](Session& session) { return session.unpreserve(2); },
      [](Session& session, const Result<void>& result) {
        if (result) {
          EXPECT_EQ(tokens_of(session), (Tokens{1, 3}));
        } else {
          EXPECT_EQ(result.error().code, ErrorCode::io);
          EXPECT_NE(result.error().message.find("no longer preserved"), std::string::npos)
              << result.error().message;
        }
        EXPECT_TRUE(session.preserve(9, memfd().get()))
            << "the session must be usable after a failure";
      });
}

TEST_F(Luo, TellsTheTruthWhicheverCallOfPreserveAgainFails) {
  fail_every_call(
      [](Session& session) { return session.preserve_again([]() -> Result<void> { return {}; }); },
      [](Session& session, const Result<void>& result) {
        if (result) {
          EXPECT_EQ(tokens_of(session), (Tokens{1, 2, 3}));
        }
        EXPECT_TRUE(session.preserve(9, memfd().get()));
      });
}

TEST_F(Luo, TellsTheTruthWhicheverCallOfPreserveFails) {
  fail_every_call(
      [](Session& session) { return session.preserve(4, memfd().get()).map([](auto) {}); },
      [](Session& session, const Result<void>& result) {
        EXPECT_EQ(tokens_of(session), result ? (Tokens{1, 2, 3, 4}) : (Tokens{1, 2, 3}));
      });
}

TEST_F(Luo, PreservesOnceMoreWhatOneFailureRefused) {
  auto session = session_with("s", {1, 2, 3});
  world.kernel().fail_call(3, ENOMEM);  // create, preserve 1, preserve 2
  EXPECT_TRUE(session->preserve_again(nullptr));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2, 3}));
  expect_truth(*session);
}

TEST_F(Luo, NamesEveryTokenLostWhenTheSessionCannotBeMadeAnew) {
  auto session = session_with("s", {1, 2});
  world.kernel().refuse_create("s", ENOSPC);
  const auto again = session->preserve_again(
      []() -> Result<void> { return fail(ErrorCode::cancelled, "and on top of it, cancelled"); });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::io);
  for (const char* said : {"token 1", "token 2", "cancelled"}) {
    EXPECT_NE(again.error().message.find(said), std::string::npos) << again.error().message;
  }
  EXPECT_TRUE(session->describe().empty());
  EXPECT_TRUE(session->stored_fds().empty());
  expect_truth(*session);

  world.kernel().refuse_create("s", 0);
  EXPECT_TRUE(session->preserve(1, memfd().get())) << "the next preserve makes the session anew";
  expect_truth(*session);
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

TEST_F(Luo, GivesUpOnAHolderThatNeverLetsGo) {
  auto session = session_with("s", {1, 2});
  const auto in_the_fd_store = kept({session->stored_fds().front()});
  const auto done = session->unpreserve(1);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::io);
  EXPECT_TRUE(session->describe().empty());
}

TEST_F(Luo, LeavesASessionAloneWhoseDescriptorsAreInTheKernelOnly) {
  Adopted adopted = kept_session(*session_with("s", {1, 2}), false);
  adopted.parts.resize(1);  // the session, without its tokens
  auto session = world.backend().adopt(std::move(adopted)).value();
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
  auto session = world.backend().adopt(std::move(adopted)).value();
  const auto other = session->unpreserve(1);
  ASSERT_FALSE(other) << "token 2 cannot be preserved again";
  EXPECT_TRUE(session->unpreserve(2));
  EXPECT_EQ(tokens_of(*session), Tokens{1});
  expect_truth(*session);
}

TEST_F(Luo, MakesASessionAnewThatACrashTookWithItsDescriptorsLeft) {
  Adopted adopted = kept_session(*session_with("s", {1, 2}), false);
  adopted.parts.erase(adopted.parts.begin());  // "s": the daemon died while making it anew
  auto session = world.backend().adopt(std::move(adopted));
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(tokens_of(**session), (Tokens{1, 2}));
  expect_truth(**session);

  Adopted incomplete = kept_session(**session, false);
  session->reset();
  incomplete.parts.erase(incomplete.parts.begin(), incomplete.parts.begin() + 2);  // "s" and "t1"
  const auto lost = world.backend().adopt(std::move(incomplete));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::io);
  EXPECT_FALSE(world.kernel().outgoing("s"));
}

TEST_F(Luo, BelievesTheKernelAboutWhereASessionComesFrom) {
  auto session = session_with("s", {1});
  world.kernel().reboot();
  session = world.backend().retrieve("s").value();
  Adopted adopted = kept_session(*session, /*incoming=*/false);
  session = world.backend().adopt(std::move(adopted)).value();
  EXPECT_TRUE(session->incoming());
  EXPECT_TRUE(session->retrieve(1));
}

TEST_F(Luo, AdoptsAnIncomingSessionWithWhatIsLeftInIt) {
  Sessions sessions;
  sessions["s"] = session_with("s", {1, 2});
  world.update(sessions);
  ASSERT_TRUE(sessions["s"]->retrieve(1));
  auto again = world.backend().adopt(kept_session(*sessions["s"], true));
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
  const auto first = world.backend().retrieve("s");
  ASSERT_TRUE(first);
  const auto second = world.backend().retrieve("s");
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
    world.kernel().fail_call(1, refusal.sys_errno);
    const auto refused = session->preserve(1, memfd().get());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, refusal.code) << refused.error().message;
    EXPECT_EQ(refused.error().sys_errno, refusal.sys_errno);
  }
  for (const Refusal refusal : {Refusal{EBUSY, ErrorCode::io}, {EIO, ErrorCode::state_lost}}) {
    world.kernel().fail_call(1, refusal.sys_errno);
    const auto refused = world.backend().create("t");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, refusal.code) << refused.error().message;
    world.kernel().fail_call(1, refusal.sys_errno);
    const auto unretrieved = world.backend().retrieve("t");
    ASSERT_FALSE(unretrieved);
    EXPECT_EQ(unretrieved.error().code, refusal.code) << unretrieved.error().message;
  }
}

TEST_F(Luo, KeepsAManifestWhicheverCallOfSealFails) {
  const std::string large(200'000, 'm');
  for (int nth = 1;; ++nth) {
    ASSERT_LT(nth, 100);
    LuoWorld fresh;
    ASSERT_TRUE(fresh.backend().seal("first"));
    fresh.kernel().fail_call(nth, ENOMEM);
    const auto sealed = fresh.backend().seal(large);
    const bool failed_one = fresh.kernel().calls() >= nth;
    fresh.kernel().fail_call(0, 0);
    if (!sealed) {
      EXPECT_EQ(sealed.error().code, ErrorCode::io);
    }
    Sessions none;
    fresh.update(none);
    const auto text = fresh.backend().unseal();
    ASSERT_TRUE(text) << text.error().message;
    ASSERT_TRUE(*text);
    EXPECT_EQ(**text, sealed ? large : "first");
    if (!failed_one) break;
  }
}

TEST_F(Luo, SealsAfterAFailure) {
  world.kernel().fail_call(1, ENOMEM);
  ASSERT_FALSE(world.backend().seal("one"));
  world.kernel().fail_call(2, ENOMEM);
  ASSERT_FALSE(world.backend().seal("two"));
  ASSERT_TRUE(world.backend().seal("three"));
  Sessions none;
  world.update(none);
  EXPECT_EQ(world.backend().unseal().value(), "three");
}

TEST_F(Luo, GoesOnSealingAfterACrash) {
  ASSERT_TRUE(world.backend().seal("before the crash"));
  auto parts = kept(world.backend().stored_fds());
  ASSERT_EQ(parts.size(), 1U);
  world.restart_daemon();
  ASSERT_TRUE(world.backend().adopt_manifest(std::move(parts)));
  EXPECT_FALSE(world.backend().unseal().value()) << "it is this kernel's own";
  ASSERT_TRUE(world.backend().seal("after the crash"));
  EXPECT_EQ(world.kernel().outgoing("handoverd"), (Tokens{0, 1}));
  ASSERT_TRUE(world.backend().seal("and in place"));
  EXPECT_EQ(world.kernel().outgoing("handoverd"), (Tokens{0, 1}));
  Sessions none;
  world.update(none);
  EXPECT_EQ(world.backend().unseal().value(), "and in place");
  EXPECT_FALSE(world.kernel().incoming("handoverd")) << "the kernel's copy must be released";
}

TEST_F(Luo, ReadsTheManifestThatTheServiceManagerGaveBack) {
  ASSERT_TRUE(world.backend().seal("text"));
  world.kernel().reboot();
  std::vector<Adopted::Part> parts;
  parts.push_back(Adopted::Part{"s", world.kernel().retrieve_session("handoverd").value()});
  world.restart_daemon();
  ASSERT_TRUE(world.backend().adopt_manifest(std::move(parts)));
  EXPECT_EQ(world.backend().unseal().value(), "text");
  EXPECT_FALSE(world.kernel().incoming("handoverd"));
  EXPECT_TRUE(world.backend().stored_fds().empty());
}

TEST_F(Luo, SaysWhenTheManifestIsLost) {
  ASSERT_TRUE(world.backend().seal("text"));
  Sessions none;
  world.update(none);
  world.kernel().break_token("handoverd", 0);
  const auto broken = world.backend().unseal();
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, ErrorCode::state_lost);

  ASSERT_TRUE(world.backend().seal("text"));
  world.update(none);
  const UniqueFd another_process = world.kernel().retrieve_session("handoverd").value();
  const auto taken = world.backend().unseal();
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::state_lost);
}

TEST_F(Luo, ReportsEveryFailureOfUnseal) {
  for (int nth = 1;; ++nth) {
    ASSERT_LT(nth, 100);
    LuoWorld fresh;
    ASSERT_TRUE(fresh.backend().seal("text"));
    Sessions none;
    fresh.update(none);
    fresh.kernel().fail_call(nth, EIO);
    const auto text = fresh.backend().unseal();
    const bool failed_one = fresh.kernel().calls() >= nth;
    if (text) {
      EXPECT_EQ(text->value_or("none"), "text") << "never silently no manifest, call " << nth;
    } else {
      EXPECT_EQ(text.error().code, ErrorCode::state_lost);
    }
    if (!failed_one) break;
  }
}

TEST(LuoDeviceTest, RetriesOnlyWhatPassesAndNotForEver) {
  using std::chrono::milliseconds;
  int calls = 0;
  auto third = retry_while(EBUSY, std::chrono::minutes(1), [&]() -> KernelResult<UniqueFd> {
    if (++calls < 3) return tl::unexpected<int>(EBUSY);
    return memfd();
  });
  EXPECT_TRUE(third);
  EXPECT_EQ(calls, 3);

  calls = 0;
  auto other = retry_while(EBUSY, std::chrono::minutes(1), [&]() -> KernelResult<UniqueFd> {
    ++calls;
    return tl::unexpected<int>(EIO);
  });
  EXPECT_EQ(other.error(), EIO);
  EXPECT_EQ(calls, 1);

  calls = 0;
  auto never = retry_while(EBUSY, milliseconds(200), [&]() -> KernelResult<UniqueFd> {
    ++calls;
    return tl::unexpected<int>(EBUSY);
  });
  EXPECT_EQ(never.error(), EBUSY);
  EXPECT_GT(calls, 1);
}

TEST(LuoDeviceTest, SaysWhatIsMissingForIt) {
  const auto missing = make_luo(Paths{"/nonexistent/liveupdate"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::no_such_backend);
  EXPECT_NE(missing.error().message.find("liveupdate=on"), std::string::npos);
  const auto no_device = make_luo(Paths{"/proc/self/exe"});
  ASSERT_FALSE(no_device);
  EXPECT_EQ(no_device.error().code, ErrorCode::no_such_backend);
}

TEST(LuoDeviceTest, PassesOnWhatADeviceThatIsNoneAnswers) {
  const auto device = open_luo_device("/dev/null");
  EXPECT_EQ(device->create_session("s").error(), ENOTTY);
  EXPECT_EQ(device->retrieve_session("s").error(), ENOTTY);
  EXPECT_EQ(device->create_session(std::string(64, 'x')).error(), ENAMETOOLONG);
  const UniqueFd memory = memfd();
  EXPECT_EQ(device->session_name(memory.get()).error(), ENOTTY);
  EXPECT_EQ(device->preserve_fd(memory.get(), 1, memory.get()).error(), ENOTTY);
  EXPECT_EQ(device->retrieve_fd(memory.get(), 1).error(), ENOTTY);
  EXPECT_EQ(device->finish(memory.get()).error(), ENOTTY);
  EXPECT_EQ(open_luo_device("/nonexistent")->create_session("s").error(), ENOENT);
}

}  // namespace
}  // namespace handover::backend::test
