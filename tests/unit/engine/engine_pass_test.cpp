// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "engine/pass.h"

namespace handover::engine::test {
namespace {

using Strings = std::vector<std::string>;

ClientRecord client(bool required, std::string bus_name = ":1.7") {
  ClientRecord record;
  record.name = "guest";
  record.bus_name = std::move(bus_name);
  record.required = required;
  return record;
}

const Result<void> veto = fail(ErrorCode::vetoed, "Not now.");

// ---- whose turn it is

TEST(TurnOf, WhoIsHereIsCalledWhateverElse) {
  for (const auto call : all_values<ClientCall>()) {
    for (const bool required : {false, true}) {
      for (const bool over : {false, true}) {
        for (const auto* bus_name : {":1.7", ""}) {
          EXPECT_EQ(turn_of(client(required, bus_name), true, call, over), Turn::call);
        }
      }
    }
  }
}

TEST(TurnOf, WhoIsAbsentBeforeTheFreezeEndsTheUpdateIfRequired) {
  for (const auto call : {ClientCall::prepare, ClientCall::freeze}) {
    for (const bool over : {false, true}) {
      for (const auto* bus_name : {":1.7", ""}) {
        EXPECT_EQ(turn_of(client(true, bus_name), false, call, over), Turn::end_update);
        EXPECT_EQ(turn_of(client(false, bus_name), false, call, over), Turn::leave_out);
      }
    }
  }
}

TEST(TurnOf, ThawAndRestoreWaitForWhoIsAbsent) {
  for (const auto call : {ClientCall::thaw, ClientCall::restore}) {
    for (const bool required : {false, true}) {
      for (const auto* bus_name : {":1.7", ""}) {
        EXPECT_EQ(turn_of(client(required, bus_name), false, call, false), Turn::wait);
        EXPECT_EQ(turn_of(client(required, bus_name), false, call, true), Turn::pass_over);
      }
    }
  }
}

TEST(TurnOf, CancelWaitsOnlyForADirectClient) {
  for (const bool required : {false, true}) {
    EXPECT_EQ(turn_of(client(required), false, ClientCall::cancel, false), Turn::pass_over);
    EXPECT_EQ(turn_of(client(required), false, ClientCall::cancel, true), Turn::pass_over);
    EXPECT_EQ(turn_of(client(required, ""), false, ClientCall::cancel, false), Turn::wait);
    EXPECT_EQ(turn_of(client(required, ""), false, ClientCall::cancel, true), Turn::pass_over);
  }
}

// ---- what an answer means

TEST(MeaningOf, ASuccessIsDoneWhateverTheCall) {
  for (const auto call : all_values<ClientCall>()) {
    for (const bool required : {false, true}) {
      EXPECT_EQ(meaning_of(client(required), call, {}), Meaning::done);
    }
  }
}

TEST(MeaningOf, AFailureByCallAndClient) {
  const std::vector<std::tuple<ClientCall, bool, Meaning>> table = {
      {ClientCall::prepare, true, Meaning::end_update},
      {ClientCall::prepare, false, Meaning::leave_out},
      {ClientCall::freeze, true, Meaning::end_update},
      {ClientCall::freeze, false, Meaning::leave_out},
      {ClientCall::cancel, true, Meaning::again},
      {ClientCall::cancel, false, Meaning::again},
      {ClientCall::thaw, true, Meaning::again},
      {ClientCall::thaw, false, Meaning::again},
      {ClientCall::restore, true, Meaning::wait},
      {ClientCall::restore, false, Meaning::give_up},
  };
  ASSERT_EQ(table.size(), 2 * all_values<ClientCall>().size());
  for (const auto code : {ErrorCode::vetoed, ErrorCode::timed_out, ErrorCode::client_gone}) {
    for (const auto& [call, required, meaning] : table) {
      EXPECT_EQ(meaning_of(client(required), call, fail(code, "why")), meaning)
          << to_string(call) << (required ? ", required" : ", optional");
    }
  }
}

TEST(DirectionOf, OnlyAFreezeBeginsWithThoseThatNeedOthers) {
  for (const auto call : all_values<ClientCall>()) {
    EXPECT_EQ(direction_of(call), call == ClientCall::freeze ? Direction::dependants_first
                                                             : Direction::dependencies_first);
  }
}

// ---- a pass

class PassTest : public testing::Test {
 protected:
  Graph graph = *Graph::make({{"disk", {}}, {"guest", {"disk"}}, {"clock", {}}});
};

TEST_F(PassTest, CallsEachWhenThoseBeforeItAreDone) {
  Pass pass(graph, {}, ClientCall::freeze, Event::clients_frozen, 3);
  EXPECT_EQ(pass.number(), 3U);
  EXPECT_EQ(pass.then(), Event::clients_frozen);
  EXPECT_EQ(pass.take_ready(), (Strings{"clock", "guest"}));
  EXPECT_TRUE(pass.take_ready().empty());
  EXPECT_TRUE(pass.waits_for("guest"));
  EXPECT_FALSE(pass.waits_for("disk"));
  pass.called("guest");
  EXPECT_TRUE(pass.is_called("guest"));
  pass.done("guest");
  EXPECT_FALSE(pass.is_called("guest"));
  EXPECT_FALSE(pass.waits_for("guest"));
  EXPECT_EQ(pass.take_ready(), Strings{"disk"});
  pass.done("disk");
  EXPECT_FALSE(pass.finished());
  pass.done("clock");
  EXPECT_TRUE(pass.finished());
}

TEST_F(PassTest, AnAnswerThatIsNotTheLastWordKeepsItsPlace) {
  Pass pass(graph, {}, ClientCall::restore, Event::clients_restored, 1);
  (void)pass.take_ready();
  pass.called("disk");
  pass.answered("disk");  // it failed, and is waited for
  EXPECT_FALSE(pass.is_called("disk"));
  EXPECT_TRUE(pass.waits_for("disk"));
  EXPECT_TRUE(pass.take_ready().empty());
}

TEST_F(PassTest, OverSomeKeepsTheirOrder) {
  Pass pass(graph, {}, ClientCall::thaw, Event::clients_thawed, 1, {"guest", "disk"});
  EXPECT_EQ(pass.take_ready(), Strings{"disk"});
  pass.done("disk");
  EXPECT_EQ(pass.take_ready(), Strings{"guest"});
  pass.done("guest");
  EXPECT_TRUE(pass.finished());
}

TEST_F(PassTest, OverNobodyIsFinishedAtOnce) {
  const Pass pass(graph, {}, ClientCall::cancel, Event::clients_cancelled, 1, {});
  EXPECT_TRUE(pass.finished());
}

TEST_F(PassTest, AbsentTimeEndsOnce) {
  Pass pass(graph, {}, ClientCall::thaw, Event::clients_thawed, 1);
  EXPECT_FALSE(pass.absent_time_over());
  pass.end_absent_time();
  EXPECT_TRUE(pass.absent_time_over());
}

}  // namespace
}  // namespace handover::engine::test
