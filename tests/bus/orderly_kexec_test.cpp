// SPDX-License-Identifier: LGPL-2.1-or-later
// What the daemon hears of kexec.target's job, from a PID 1 that the test plays.
#include "bus/orderly_kexec.h"

#include <gtest/gtest.h>

#include "bus/pid_one_socket.h"
#include "daemon_side.h"
#include "pid_one.h"

namespace handover::test {
namespace {

constexpr std::uint64_t soon_usec = 100'000;

class OrderlyKexecTest : public testing::Test {
 protected:
  void start(const bus::OrderlyKexec::Limits& limits = {}) {
    kexec = std::make_unique<bus::OrderlyKexec>(
        side.loop(), daemon.get(), [this](const Error& error) { failures.push_back(error); },
        limits);
    kexec->start();
  }
  /// And PID 1 has taken the job, and the daemon has heard so.
  void start_well() {
    start();
    ASSERT_TRUE(side.run_until([&] { return pid_one.called(start_unit); }));
    settle();
    ASSERT_NE(pid_one.job_of("kexec.target"), 0U);
  }
  /// All that PID 1 has sent so far has come.
  void settle() {
    bool come = false;
    sd_bus_slot* slot = nullptr;
    const auto on_reply = [](sd_bus_message*, void* userdata, sd_bus_error*) {
      *static_cast<bool*>(userdata) = true;
      return 1;
    };
    must(sd_bus_call_method_async(daemon.get(), &slot, "org.freedesktop.systemd1", "/",
                                  "org.freedesktop.DBus.Peer", "Ping", on_reply, &come, nullptr),
         "Ping");
    const bus::SlotPtr owned(slot);
    ASSERT_TRUE(side.run_until([&] { return come; }));
  }
  [[nodiscard]] bool fails() {
    return side.run_until([&] { return !failures.empty(); });
  }
  /// What PID 1 has sent changes nothing: no failure, nothing asked or taken back.
  void expect_unmoved() {
    settle();
    // Once more: what the daemon asked when it heard.
    settle();
    EXPECT_TRUE(failures.empty());
    EXPECT_EQ(pid_one.calls(), (std::vector<std::string>{"Subscribe", start_unit}));
  }
  void expect_failure_with(const std::string& words) {
    ASSERT_TRUE(fails());
    settle();
    ASSERT_EQ(failures.size(), 1U);
    EXPECT_EQ(failures[0].code, ErrorCode::kexec_failed);
    EXPECT_NE(failures[0].message.find("kexec.target"), std::string::npos) << failures[0].message;
    EXPECT_NE(failures[0].message.find(words), std::string::npos) << failures[0].message;
  }
  /// Nothing will kexec; the other units' jobs are theirs.
  void expect_nothing_left() {
    EXPECT_EQ(pid_one.job_of("kexec.target"), 0U);
    EXPECT_EQ(pid_one.job_of("systemd-kexec.service"), 0U);
    EXPECT_NE(pid_one.job_of("other.service"), 0U);
    EXPECT_TRUE(pid_one.called("Unsubscribe"));
  }

  static constexpr const char* start_unit = "StartUnit kexec.target replace-irreversibly";
  DaemonSide side;
  PidOne pid_one{side.outer(), side.address()};
  bus::BusPtr daemon = side.connect();
  std::vector<Error> failures;
  std::unique_ptr<bus::OrderlyKexec> kexec;
};

TEST_F(OrderlyKexecTest, AJobThatIsDoneIsNoFailure) {
  start_well();
  pid_one.end("kexec.target", "done");
  expect_unmoved();
}

/// `systemctl cancel`, of kexec.target's job alone: what does the kexec would still be started.
TEST_F(OrderlyKexecTest, ACancelledJobIsAFailureAndNothingOfItGoesOn) {
  start_well();
  pid_one.end("kexec.target", "canceled");
  EXPECT_NE(pid_one.job_of("systemd-kexec.service"), 0U);
  expect_failure_with("'canceled'");
  expect_nothing_left();
}

TEST_F(OrderlyKexecTest, AFailedDependencyIsAFailure) {
  start_well();
  pid_one.end("systemd-kexec.service", "failed");
  expect_failure_with("'dependency'");
  expect_nothing_left();
}

TEST_F(OrderlyKexecTest, OtherUnitsJobsMeanNothing) {
  start_well();
  pid_one.end("other2.service", "failed");
  expect_unmoved();
}

TEST_F(OrderlyKexecTest, AJobThatEndsBeforeItIsKnownIsAFailure) {
  pid_one.set(PidOne::Behaviour::end_first);
  start();
  expect_failure_with("'dependency'");
  expect_nothing_left();
}

TEST_F(OrderlyKexecTest, ARefusalIsAFailure) {
  pid_one.set(PidOne::Behaviour::refuse);
  start();
  expect_failure_with("Transaction is destructive.");
  EXPECT_FALSE(pid_one.called("ListJobs"));
}

/// It was slow, not dead: by the time it reads of it, nobody waits any more.
TEST_F(OrderlyKexecTest, WhatWasStartedTooLateIsTakenBackFirst) {
  pid_one.set(PidOne::Behaviour::hang);
  start({soon_usec, {}});
  const auto later = side.outer().after(std::chrono::milliseconds(300), [&] { pid_one.wake(); });
  ASSERT_TRUE(fails());
  EXPECT_TRUE(pid_one.called(start_unit));
  EXPECT_EQ(pid_one.job_of("kexec.target"), 0U);
  expect_failure_with("timed out");
  expect_nothing_left();
}

TEST_F(OrderlyKexecTest, ASilentPidOneIsNotWaitedForButStillCorrected) {
  pid_one.set(PidOne::Behaviour::hang);
  start({soon_usec, {soon_usec, 5}});
  ASSERT_TRUE(fails());
  EXPECT_NE(failures[0].message.find("still"), std::string::npos) << failures[0].message;
  EXPECT_EQ(failures[0].sys_errno, ETIMEDOUT);  // nobody has to try again
  pid_one.wake();
  EXPECT_TRUE(side.run_until(
      [&] { return pid_one.called(start_unit) && pid_one.job_of("kexec.target") == 0; }));
  settle();
  EXPECT_EQ(failures.size(), 1U);
  expect_nothing_left();
}

TEST_F(OrderlyKexecTest, WithoutPidOneItFails) {
  DaemonSide empty;
  const auto elsewhere = empty.connect();
  bus::OrderlyKexec alone(empty.loop(), elsewhere.get(),
                          [this](const Error& error) { failures.push_back(error); });
  alone.start();
  EXPECT_TRUE(empty.run_until([&] { return !failures.empty(); }));
}

TEST_F(OrderlyKexecTest, ABusThatGoesBeforeTheAnswerIsAFailure) {
  pid_one.set(PidOne::Behaviour::hang);
  start();
  settle();
  side.bus().restart();
  EXPECT_TRUE(fails());
}

/// Anybody on the bus may send a signal to the daemon alone, whatever it matches.
TEST_F(OrderlyKexecTest, OnlyPidOneIsBelieved) {
  start_well();
  Connection stranger(side.outer(), side.address());
  const char* unique = nullptr;
  must(sd_bus_get_unique_name(daemon.get(), &unique), "the daemon's name");
  const auto id = pid_one.job_of("kexec.target");
  const auto job = "/org/freedesktop/systemd1/job/" + std::to_string(id);
  sd_bus_message* made = nullptr;
  must(sd_bus_message_new_signal(stranger.get(), &made, "/org/freedesktop/systemd1",
                                 "org.freedesktop.systemd1.Manager", "JobRemoved"),
       "a signal");
  const MessagePtr signal(made);
  must(sd_bus_message_append(made, "uoss", id, job.c_str(), "kexec.target", "canceled"), "a lie");
  must(sd_bus_send_to(stranger.get(), made, unique, nullptr), "sending");
  // The bus keeps one sender's order: the daemon has the signal when the stranger has this answer.
  EXPECT_TRUE(on_bus(stranger, unique));
  expect_unmoved();
  EXPECT_NE(pid_one.job_of("kexec.target"), 0U);
}

/// What a daemon that died has asked PID 1 for.
class KexecWithdrawalTest : public testing::Test {
 protected:
  void withdraw(const bus::KexecWithdrawal::Limits& limits = {}) {
    withdrawal = std::make_unique<bus::KexecWithdrawal>(side.loop(), daemon.get(), limits);
    withdrawal->start([this](const Result<void>& result) { results.push_back(result); });
  }
  [[nodiscard]] bool answered(std::size_t times = 1) {
    return side.run_until([&] { return results.size() == times; });
  }
  void start_as_another() {
    Connection earlier(side.outer(), side.address());
    bool started = false;
    sd_bus_slot* slot = nullptr;
    must(sd_bus_call_method_async(
             earlier.get(), &slot, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
             "org.freedesktop.systemd1.Manager", "StartUnit",
             [](sd_bus_message*, void* userdata, sd_bus_error*) {
               *static_cast<bool*>(userdata) = true;
               return 1;
             },
             &started, "ss", "kexec.target", "replace-irreversibly"),
         "StartUnit");
    const SlotPtr owned(slot);
    ASSERT_TRUE(side.run_until([&] { return started; }));
  }

  DaemonSide side;
  PidOne pid_one{side.outer(), side.address()};
  bus::BusPtr daemon = side.connect();
  std::unique_ptr<bus::KexecWithdrawal> withdrawal;
  std::vector<Result<void>> results;
};

TEST_F(KexecWithdrawalTest, TakesBackWhatAnotherStarted) {
  start_as_another();
  ASSERT_NE(pid_one.job_of("kexec.target"), 0U);
  withdraw();
  ASSERT_TRUE(answered());
  EXPECT_TRUE(results[0]);
  EXPECT_EQ(pid_one.job_of("kexec.target"), 0U);
  EXPECT_EQ(pid_one.job_of("systemd-kexec.service"), 0U);
  EXPECT_NE(pid_one.job_of("other.service"), 0U);
}

TEST_F(KexecWithdrawalTest, HasNothingToTakeBack) {
  withdraw();
  withdrawal->tell_also([this](const Result<void>& result) { results.push_back(result); });
  ASSERT_TRUE(answered(2));
  EXPECT_TRUE(results[0] && results[1]);
  EXPECT_EQ(pid_one.calls(), std::vector<std::string>{"ListJobs"});
}

TEST_F(KexecWithdrawalTest, SaysThatItFailed) {
  start_as_another();
  pid_one.set(PidOne::Behaviour::hang);
  withdraw({soon_usec, 5});
  ASSERT_TRUE(answered());
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().code, ErrorCode::kexec_failed);
  EXPECT_EQ(results[0].error().nature, Nature::passing);
  // It goes on all the same.
  pid_one.wake();
  EXPECT_TRUE(side.run_until([&] { return pid_one.job_of("kexec.target") == 0; }));
  EXPECT_EQ(results.size(), 1U);
}

/// As systemctl does: PID 1 is there as long as the machine is.
TEST_F(KexecWithdrawalTest, NeedsNoBus) {
  TemporaryDirectory run;
  pid_one.listen(side.outer(), run.path("private"));
  start_as_another();
  side.bus().stop();
  auto direct = bus::connect_to_pid_one(side.loop(), run.path("private"));
  ASSERT_TRUE(direct) << direct.error().message;
  daemon = std::move(*direct);
  withdraw();
  ASSERT_TRUE(answered());
  EXPECT_TRUE(results[0]);
  EXPECT_EQ(pid_one.job_of("kexec.target"), 0U);
  EXPECT_EQ(pid_one.job_of("systemd-kexec.service"), 0U);
  EXPECT_NE(pid_one.job_of("other.service"), 0U);
  side.bus().go_on();
}

TEST_F(KexecWithdrawalTest, SaysThatPidOneHasNoSocket) {
  TemporaryDirectory run;
  const auto none = bus::connect_to_pid_one(side.loop(), run.path("private"));
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find(run.path("private")), std::string::npos)
      << none.error().message;
}

/// It may be there again in a moment, and PID 1 goes on meanwhile.
TEST_F(KexecWithdrawalTest, ABusThatGoesIsAPassingFailure) {
  start_as_another();
  pid_one.set(PidOne::Behaviour::hang);
  withdraw();
  side.bus().restart();
  ASSERT_TRUE(answered());
  ASSERT_FALSE(results[0]);
  EXPECT_EQ(results[0].error().nature, Nature::passing);
}

TEST_F(KexecWithdrawalTest, SaysThatNobodyIsThere) {
  DaemonSide empty;
  const auto elsewhere = empty.connect();
  bus::KexecWithdrawal alone(empty.loop(), elsewhere.get(), {});
  alone.start([this](const Result<void>& result) { results.push_back(result); });
  ASSERT_TRUE(empty.run_until([&] { return !results.empty(); }));
  ASSERT_FALSE(results[0]);
  // Not worth to wait for: there is a bus, and no PID 1 that would kexec.
  EXPECT_EQ(results[0].error().nature, Nature::refused);
}

TEST_F(OrderlyKexecTest, NobodyHearsOfItOnceTheWatchIsGone) {
  start_well();
  kexec.reset();
  pid_one.end("kexec.target", "canceled");
  expect_unmoved();
}

}  // namespace
}  // namespace handover::test
