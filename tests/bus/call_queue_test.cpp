// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's calls to clients: how many at once, and whose time the time limit is.
#include "bus/call_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <memory>
#include <thread>

#include "daemon_side.h"

namespace handover::test {
namespace {

using bus::CallQueue;
using std::chrono::milliseconds;

constexpr const char* path = "/client";
constexpr std::uint64_t no_limit_usec = 600'000'000;

/// Keeps each call until the test answers.
class SilentClient {
 public:
  SilentClient(EventLoop& loop, const Address& address) : connection_(loop, address) {
    static const std::array<sd_bus_vtable, 4> vtable = {
        {SD_BUS_VTABLE_START(0),
         SD_BUS_METHOD("Freeze", "", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
         SD_BUS_METHOD("Thaw", "", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END}};
    sd_bus_slot* slot = nullptr;
    must(sd_bus_add_object_vtable(connection_.get(), &slot, path, client_interface, vtable.data(),
                                  this),
         "an object");
    slot_.reset(slot);
  }

  [[nodiscard]] std::string name() const { return connection_.unique_name(); }
  [[nodiscard]] Connection& connection() { return connection_; }
  /// How many calls it has not answered.
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  [[nodiscard]] std::size_t calls() const { return calls_; }
  [[nodiscard]] const std::string& last() const { return last_; }
  void answer() {
    must(sd_bus_reply_method_return(held_.front().get(), ""), "an answer");
    held_.erase(held_.begin());
  }
  void veto(const char* error, const std::string& sentence) {
    must(sd_bus_reply_method_errorf(held_.front().get(), error, "%s", sentence.c_str()), "a veto");
    held_.erase(held_.begin());
  }

 private:
  static int on_call(sd_bus_message* message, void* userdata, sd_bus_error*) {
    auto& self = *static_cast<SilentClient*>(userdata);
    self.held_.emplace_back(sd_bus_message_ref(message));
    ++self.calls_;
    self.last_ = sd_bus_message_get_member(message);
    return 1;
  }

  Connection connection_;
  SlotPtr slot_;
  std::vector<MessagePtr> held_;
  std::size_t calls_ = 0;
  std::string last_;
};

class Calls : public testing::Test {
 protected:
  explicit Calls(const CallQueue::Limits& limits = {}, const PrivateBus::Limits& of_bus = {})
      : side(of_bus), queue(std::make_unique<CallQueue>(side.loop(), daemon.get(), limits)) {}

  SilentClient& client() {
    clients.push_back(std::make_unique<SilentClient>(side.outer(), side.address()));
    return *clients.back();
  }
  /// Its answers come into answers[number]: "", "late", or the error's code, "late" in front.
  void call(const SilentClient& to, int number, std::uint64_t limit_usec = no_limit_usec,
            bool undoes = false, uid_t uid = 0) {
    sd_bus_message* made = nullptr;
    must(sd_bus_message_new_method_call(daemon.get(), &made, to.name().c_str(), path,
                                        client_interface, undoes ? "Thaw" : "Freeze"),
         "a call");
    queue->send({bus::MessagePtr(made), to.name(), uid, limit_usec, undoes,
                 [this, number](const CallQueue::Answer& answer) {
                   std::string text = answer.late ? "late " : "";
                   if (!answer.result) {
                     text += to_string(answer.result.error().code);
                     sentence = answer.result.error().message;
                   }
                   answers[number].push_back(text);
                 }});
  }
  [[nodiscard]] bool run_until(const std::function<bool()>& done) { return side.run_until(done); }
  void run_for(milliseconds time) {
    (void)side.run_until([] { return false; }, time);
  }
  /// The daemon's loop stands still meanwhile; the clients go on.
  void stall_for(milliseconds time) {
    (void)side.outer().run_until([] { return false; }, time);
  }

  using Answers = std::vector<std::string>;
  DaemonSide side;
  bus::BusPtr daemon = side.connect();
  std::unique_ptr<CallQueue> queue;
  std::vector<std::unique_ptr<SilentClient>> clients;
  std::map<int, Answers> answers;
  std::string sentence;
};

TEST_F(Calls, AreAnsweredOnce) {
  auto& one = client();
  call(one, 1);
  call(one, 2);
  ASSERT_TRUE(run_until([&] { return one.held() == 2; }));
  one.answer();
  one.veto("org.example.Error.No", "I do not want to");
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[1], Answers{""});
  EXPECT_EQ(answers[2], Answers{"Vetoed"});
  EXPECT_EQ(sentence, "I do not want to");
  EXPECT_EQ(queue->unanswered(), 0U);
}

/// What a client says goes into the manifest, the history and the journal, and to everybody.
TEST_F(Calls, KeepOneLineOfASentence) {
  auto& one = client();
  for (const auto& said : {std::string(1U << 20U, 'x'), std::string("a\nb\x1b[31m\xc2\x85z")}) {
    call(one, 1);
    ASSERT_TRUE(run_until([&] { return one.held() == 1; }));
    one.veto("org.example.Error.No", said);
    const auto before = answers[1].size();
    ASSERT_TRUE(run_until([&] { return answers[1].size() > before; }));
    EXPECT_LE(sentence.size(), 520U);
  }
  EXPECT_EQ(sentence, "a\\x0ab\\x1b[31m\\xc2\\x85z");
}

TEST_F(Calls, EndWithTheClient) {
  auto& one = client();
  call(one, 1);
  ASSERT_TRUE(run_until([&] { return one.held() == 1; }));
  call(one, 2);
  clients.clear();
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[1], Answers{"ClientGone"});
  EXPECT_EQ(answers[2], Answers{"ClientGone"});
}

TEST_F(Calls, EndWithTheQueue) {
  auto& one = client();
  for (int i = 0; i < 4; ++i) call(one, i);
  ASSERT_TRUE(run_until([&] { return one.held() == 2; }));
  queue.reset();
  ASSERT_TRUE(run_until([&] { return answers.size() == 4; }));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(answers[i], Answers{"ClientGone"});
}

TEST_F(Calls, ThatAreAnsweredTooLateAreToldTwice) {
  auto& one = client();
  call(one, 1, 100'000);
  call(one, 2, 100'000);
  ASSERT_TRUE(run_until([&] { return answers.size() == 2 && one.held() == 2; }));
  EXPECT_EQ(answers[1], Answers{"TimedOut"});
  one.answer();
  ASSERT_TRUE(run_until([&] { return answers[1].size() == 2; }));
  EXPECT_EQ(answers[1].back(), "late ");
  one.veto("org.example.Error.No", "never");
  ASSERT_TRUE(run_until([&] { return answers[2].size() == 2; }));
  EXPECT_EQ(answers[2].back(), "late Vetoed");
  EXPECT_EQ(queue->unanswered(), 0U);
}

/// That it leaves is no answer.
TEST_F(Calls, ThatTimedOutAndEndWithTheClientAreToldOnce) {
  auto& one = client();
  call(one, 1, 50'000);
  ASSERT_TRUE(run_until([&] { return answers.size() == 1; }));
  clients.clear();
  ASSERT_TRUE(run_until([&] { return queue->unanswered() == 0; }));
  EXPECT_EQ(answers[1], Answers{"TimedOut"});
}

/// A late loop is not the clients' fault: sd-bus looks at its time limits before it reads.
TEST_F(Calls, ALoopThatWasLateAccusesNobodyWhoAnswered) {
  auto& quick = client();
  auto& silent = client();
  call(quick, 1, 3'000'000);
  call(silent, 2, 3'000'000);
  ASSERT_TRUE(run_until([&] { return quick.held() == 1 && silent.held() == 1; }));
  quick.answer();
  stall_for(milliseconds(3500));
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[1], Answers{""});
  EXPECT_EQ(answers[2], Answers{"TimedOut"});
}

TEST_F(Calls, StandStillWhileTheDaemonWorksForTheClient) {
  auto& helped = client();
  auto& other = client();
  call(helped, 1, 200'000);
  call(other, 2, 200'000);
  queue->stop_clock(helped.name());
  queue->stop_clock(helped.name());
  ASSERT_TRUE(run_until([&] { return !answers[2].empty(); }));
  run_for(milliseconds(200));
  queue->start_clock(helped.name());
  run_for(milliseconds(100));
  EXPECT_TRUE(answers[1].empty());
  queue->start_clock(helped.name());
  ASSERT_TRUE(run_until([&] { return !answers[1].empty(); }));
  EXPECT_EQ(answers[1], Answers{"TimedOut"});
}

class FewCalls : public Calls {
 protected:
  FewCalls() : Calls({5, 4, 2, 2, {1, 2, 9}, {1, 1, 9}, 200'000}) {}
};

TEST_F(FewCalls, LeaveRoomForWhatUndoes) {
  auto& first = client();
  auto& second = client();
  auto& third = client();
  auto& fourth = client();
  call(first, 1);
  call(second, 2);
  call(third, 3);
  call(fourth, 4, no_limit_usec, true);
  ASSERT_TRUE(
      run_until([&] { return first.held() == 1 && second.held() == 1 && fourth.held() == 1; }));
  run_for(milliseconds(50));
  EXPECT_EQ(third.held(), 0U);
  EXPECT_EQ(queue->waiting(), 1U);
  fourth.answer();
  ASSERT_TRUE(run_until([&] { return answers[4].size() == 1; }));
  EXPECT_TRUE(answers[3].empty());
  first.answer();
  ASSERT_TRUE(run_until([&] { return third.held() == 1; }));
  EXPECT_EQ(queue->waiting(), 0U);
}

/// A Freeze behind its Thaw would be for ever.
TEST_F(FewCalls, ThatAreUndoneBeforeTheyAreSentAreNotSent) {
  auto& first = client();
  auto& second = client();
  auto& third = client();
  call(first, 1);
  call(second, 2);
  call(third, 3);
  call(third, 4, no_limit_usec, true);
  ASSERT_TRUE(run_until([&] { return first.held() == 1 && third.held() == 1; }));
  EXPECT_EQ(answers[3], Answers{"Busy"});
  third.answer();
  first.answer();
  ASSERT_TRUE(run_until([&] { return answers[1].size() + answers[4].size() == 2; }));
  run_for(milliseconds(50));
  EXPECT_EQ(third.calls(), 1U);
  EXPECT_EQ(third.last(), "Thaw");
  // Only what was undone: the next one is sent.
  call(third, 5);
  ASSERT_TRUE(run_until([&] { return third.held() == 1; }));
  EXPECT_EQ(third.last(), "Freeze");
}

/// A bus waits for the answer that a client owes, too, for as long as the client is there.
TEST_F(FewCalls, WhoOwesAnswersIsCalledNoMore) {
  auto& silent = client();
  call(silent, 1, 50'000);
  call(silent, 2, 50'000);
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  call(silent, 3, 50'000);
  ASSERT_TRUE(run_until([&] { return answers.size() == 3 && silent.calls() >= 2; }));
  EXPECT_EQ(answers[3], Answers{"TimedOut"});
  EXPECT_EQ(silent.calls(), 2U);
  call(silent, 4, 50'000, true);
  ASSERT_TRUE(run_until([&] { return silent.calls() == 3; }));

  call(silent, 5);
  silent.answer();
  silent.answer();
  ASSERT_TRUE(run_until([&] { return silent.calls() == 4; }));
}

/// What silence costs, it costs last those who always answered.
TEST_F(FewCalls, WhoOwesNothingIsUndoneFirst) {
  auto& silent = client();
  auto& second = client();
  call(silent, 1, 50'000);
  call(second, 2, 50'000);
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  // Five places, two taken: the debtors get two more, and the last one is another's.
  call(silent, 3, no_limit_usec, true);
  call(second, 4, no_limit_usec, true);
  call(silent, 5, no_limit_usec, true);
  auto& good = client();
  call(good, 6, no_limit_usec, true);
  ASSERT_TRUE(
      run_until([&] { return good.held() == 1 && silent.calls() >= 2 && second.calls() >= 2; }));
  EXPECT_EQ(silent.calls(), 2U);
  EXPECT_EQ(second.calls(), 2U);
  EXPECT_EQ(queue->waiting(), 1U);
}

TEST_F(FewCalls, OneUserHasNotAllPlaces) {
  constexpr uid_t user = 1000;
  auto& first = client();
  auto& second = client();
  auto& third = client();
  auto& of_root = client();
  call(first, 1, no_limit_usec, true, user);
  call(second, 2, no_limit_usec, true, user);
  call(third, 3, no_limit_usec, true, user);
  call(of_root, 4, no_limit_usec, true);
  ASSERT_TRUE(
      run_until([&] { return first.held() == 1 && second.held() == 1 && of_root.held() == 1; }));
  EXPECT_EQ(third.calls(), 0U);
  first.answer();
  ASSERT_TRUE(run_until([&] { return third.held() == 1; }));
}

/// They hold all places of their user, and of all users; who answers is thawed all the same.
TEST_F(FewCalls, TheSilenceOfOthersKeepsNobodyFrozen) {
  constexpr uid_t user = 1000;
  constexpr uid_t another = 1001;
  call(client(), 1, 50'000, false, user);
  call(client(), 2, 50'000, false, another);
  ASSERT_TRUE(run_until([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[2], Answers{"TimedOut"});
  for (const auto owner : {user, another, uid_t{1002}}) {
    auto& one = client();
    call(one, 3, no_limit_usec, true, owner);
    ASSERT_TRUE(run_until([&] { return one.held() == 1; })) << owner;
    one.answer();
  }
}

/// Nobody else is to blame, and it is no veto.
TEST_F(FewCalls, ThatFindNoRoomEnd) {
  call(client(), 1, 50'000);
  call(client(), 2, 50'000);
  auto& third = client();
  call(third, 3, 100'000);
  ASSERT_TRUE(run_until([&] { return answers.size() == 3; }));
  EXPECT_EQ(answers[3], Answers{"Busy"});
  EXPECT_EQ(third.calls(), 0U);
}

/// Somebody who never stops calling postpones nobody's time limit for ever.
TEST_F(FewCalls, AreJudgedInAFlood) {
  auto& silent = client();
  Connection flooder(side.outer(), side.address());
  const char* daemon_name = nullptr;
  must(sd_bus_get_unique_name(daemon.get(), &daemon_name), "the daemon's name");
  call(silent, 1, 100'000);
  const auto before = std::chrono::steady_clock::now();
  const auto flood = [&] {
    for (int i = 0; i < 20; ++i) {
      sd_bus_message* made = nullptr;
      must(sd_bus_message_new_signal(flooder.get(), &made, "/x", "org.example.X", "X"), "a signal");
      const MessagePtr signal(made);
      must(sd_bus_send_to(flooder.get(), made, daemon_name, nullptr), "sending");
    }
    return !answers.empty();
  };
  ASSERT_TRUE(side.run_until(flood));
  EXPECT_EQ(answers[1], Answers{"TimedOut"});
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(20));
}

class FullBus : public Calls {
 protected:
  FullBus() : Calls({}, {3}) {}
};

/// dbus-daemon ends what is too much with LimitsExceeded, in the place of the client.
TEST_F(FullBus, IsNoVeto) {
  for (int i = 0; i < 6; ++i) call(client(), i);
  ASSERT_TRUE(run_until([&] {
    return std::count_if(clients.begin(), clients.end(),
                         [](const auto& one) { return one->held() == 1; }) == 3;
  }));
  run_for(milliseconds(100));
  EXPECT_TRUE(answers.empty());
  ASSERT_TRUE(run_until([&] {
    for (auto& one : clients) {
      if (one->held() > 0) one->answer();
    }
    return answers.size() == 6;
  }));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(answers[i], Answers{""});
}

/// It would be sent again, and then behind what undoes it.
TEST_F(FullBus, TakesNothingBackThatIsUndone) {
  for (int i = 0; i < 3; ++i) call(client(), i);
  auto& late = client();
  call(late, 3);
  call(late, 4, no_limit_usec, true);
  ASSERT_TRUE(run_until([&] { return answers.contains(3); }));
  EXPECT_EQ(answers[3], Answers{"Busy"});
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(run_until([&] { return clients[static_cast<std::size_t>(i)]->held() == 1; }));
    clients[static_cast<std::size_t>(i)]->answer();
  }
  ASSERT_TRUE(run_until([&] { return late.held() == 1; }));
  late.answer();
  ASSERT_TRUE(run_until([&] { return answers.size() == 5; }));
  EXPECT_EQ(late.calls(), 1U);
  EXPECT_EQ(late.last(), "Thaw");
}

/// The same word from the client is its own.
TEST_F(FullBus, IsNotWhatAClientSays) {
  auto& one = client();
  call(one, 1);
  ASSERT_TRUE(run_until([&] { return one.held() == 1; }));
  one.veto(SD_BUS_ERROR_LIMITS_EXCEEDED, "I have no room");
  ASSERT_TRUE(run_until([&] { return answers.size() == 1; }));
  EXPECT_EQ(answers[1], Answers{"Vetoed"});
}

}  // namespace
}  // namespace handover::test
