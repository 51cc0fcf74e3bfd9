// SPDX-License-Identifier: LGPL-2.1-or-later
// The journal's events have the fields that docs/journal.md promises, and no others without a
// value.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "../system/log_capture.h"
#include "world_test.h"

namespace handover::engine::test {
namespace {

using handover::test::LogCapture;
using EventFields = std::map<std::string, std::string>;

struct Event {
  const log::EventInfo* info = nullptr;
  EventFields fields;
  std::string text;
};

EventFields fields_of(const log::Line& line) {
  EventFields fields;
  for (const auto& field : line.fields) {
    const auto sign = field.find('=');
    const bool first = fields.emplace(field.substr(0, sign), field.substr(sign + 1)).second;
    EXPECT_TRUE(first) << "twice: " << field;
  }
  return fields;
}

class EventsTest : public WorldTest {
 protected:
  explicit EventsTest(World::Options options = {}) : WorldTest(options) { log::set_level("debug"); }
  ~EventsTest() override { log::set_level("info"); }

  std::vector<Event> events() {
    std::vector<Event> all;
    for (const auto& line : capture.lines()) {
      auto fields = fields_of(line);
      const auto id = fields.find("MESSAGE_ID");
      if (id == fields.end()) continue;
      const auto* const info =
          std::find_if(log::events.begin(), log::events.end(),
                       [&](const log::EventInfo& one) { return one.message_id == id->second; });
      fields.erase(id);
      all.push_back({info, std::move(fields), line.text});
    }
    return all;
  }
  /// Of these kinds at least; each with the fields that it should have.
  void expect_events(const std::set<log::Id>& kinds) {
    std::set<log::Id> seen;
    bool in_update = false;
    for (const auto& event : events()) {
      SCOPED_TRACE(std::string(event.info->name) + ": " + event.text);
      seen.insert(event.info->id);
      for (std::size_t i = 0; i < log::field_names.size(); ++i) {
        const bool promised = event.info->fields.has(static_cast<log::Field>(i));
        const auto there = event.fields.find(std::string(log::field_names.at(i)));
        EXPECT_TRUE(!promised || there != event.fields.end()) << log::field_names.at(i);
        if (there == event.fields.end()) continue;
        EXPECT_NE(there->second, "") << there->first;
        EXPECT_NE(there->second, "unknown") << there->first;
      }
      if (event.info->id == log::Id::update_started) in_update = true;
      // What it does not tell yet is which update has led here.
      if (event.info->id == log::Id::manifest_unreachable) continue;
      EXPECT_TRUE(!in_update || event.fields.contains("UPDATE"));
      if (event.info->id == log::Id::update_finished) in_update = false;
      // Of all clients here it is known.
      if (const auto client = event.fields.find("CLIENT"); client != event.fields.end()) {
        const auto unit = event.fields.find("UNIT");
        ASSERT_NE(unit, event.fields.end());
        EXPECT_EQ(unit->second, client->second + ".service");
      }
    }
    for (const auto kind : kinds) {
      EXPECT_TRUE(seen.contains(kind)) << "there is no " << log::info_of(kind).name;
    }
  }
  std::vector<EventFields> of(log::Id id) {
    std::vector<EventFields> all;
    for (auto& event : events()) {
      if (event.info->id == id) all.push_back(std::move(event.fields));
    }
    return all;
  }

  LogCapture capture;
};

TEST_F(EventsTest, OfAnUpdate) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  expect_events({log::Id::state_changed, log::Id::update_started, log::Id::kexec_called,
                 log::Id::generation_restored, log::Id::token_retrieved, log::Id::session_finished,
                 log::Id::update_finished});
  EXPECT_EQ(of(log::Id::generation_restored).front().at("COUNT"), "2");
  const auto retrieved = of(log::Id::token_retrieved);
  ASSERT_EQ(retrieved.size(), 3U);
  EXPECT_EQ(retrieved.front().at("CLIENT"), "disk");
  EXPECT_TRUE(of(log::Id::update_finished).front().contains("USEC"));
}

TEST_F(EventsTest, OutsideAnUpdateNameNone) {
  boot_two();
  EXPECT_EQ(world.update(), "done");
  guest().leave();
  world.settle();
  const auto left = of(log::Id::client_left);
  ASSERT_FALSE(left.empty());
  EXPECT_FALSE(left.back().contains("UPDATE"));
}

TEST_F(EventsTest, OfAVeto) {
  boot_two();
  guest().does(ClientCall::prepare, Does::veto);
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  expect_events({log::Id::client_vetoed, log::Id::update_finished});
  // Nobody stood still.
  EXPECT_FALSE(of(log::Id::update_finished).front().contains("USEC"));
}

TEST_F(EventsTest, OfThoseWhoDoNotAnswer) {
  boot_two();
  disk().does(ClientCall::freeze, Does::nothing);
  guest().does(ClientCall::thaw, Does::nothing, 3);
  ASSERT_TRUE(world.request(JobType::update));
  EXPECT_EQ(world.outcome(), "failed");
  expect_all_is_well(world);
  expect_events({log::Id::client_timed_out, log::Id::thaw_repeated});
  EXPECT_EQ(of(log::Id::thaw_repeated).front().at("COUNT"), "3");
}

TEST_F(EventsTest, OfOneThatIsGoneAndCannotBeThawed) {
  world.client("disk").direct().preserves("disk", {1});
  world.client("guest").preserves("guest", {1});
  world.boot();
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  disk().leave();
  world.settle();
  world.let_go();
  EXPECT_EQ(world.outcome(), "failed");
  expect_events({log::Id::client_left, log::Id::thaw_failed});
}

TEST_F(EventsTest, OfOneThatIsLeftOut) {
  world.client("disk").preserves("disk", {1});
  world.client("cache").optional().preserves("cache", {1}).does(ClientCall::freeze, Does::veto);
  world.boot();
  EXPECT_EQ(world.update(), "done-with-losses");
  expect_events({log::Id::client_left_out, log::Id::session_lost});
  const auto left_out = of(log::Id::client_left_out);
  ASSERT_EQ(left_out.size(), 1U);
  EXPECT_EQ(left_out.front().at("PHASE"), "Freeze");
}

TEST_F(EventsTest, OfSessionsThatDoNotCome) {
  world.config.claim_timeout_usec = 10 * World::second;
  boot_two();
  world.make_session("script", 1);
  disk().never_retrieves("disk", 2);
  ASSERT_TRUE(world.request(JobType::update));
  world.refused_sessions["guest"] = EBUSY;
  EXPECT_EQ(world.outcome(), "done-with-losses");
  world.refused_sessions.clear();
  world.run_for(30 * World::second);
  expect_events({log::Id::session_unreached, log::Id::session_lost, log::Id::token_lost,
                 log::Id::session_unclaimed});
}

TEST_F(EventsTest, OfADegradedSession) {
  boot_two();
  world.kernel->refuse_create("disk", ENOMEM);
  world.call([&](Engine& engine) {
    engine.unpreserve("disk", 2, disk().caller(), [](const Result<void>&) {});
  });
  world.settle();
  (void)world.update();
  world.kernel->refuse_create("disk", 0);
  expect_all_is_well(world);
  expect_events({log::Id::session_degraded, log::Id::session_whole, log::Id::preflight_finding});
}

/// Without the companion module none of them need be missed.
TEST_F(EventsTest, OfATargetWithoutModules) {
  boot_two();
  world.machine.modules_missing = true;
  EXPECT_EQ(world.update(), "done");
  expect_events({log::Id::preflight_finding});
}

TEST_F(EventsTest, OfADaemonThatIsBack) {
  boot_two();
  ASSERT_TRUE(world.update_until(State::freezing));
  world.kill_daemon();
  EXPECT_EQ(world.outcome(), "failed");
  expect_events({log::Id::daemon_restarted});
}

TEST_F(EventsTest, OfAKexecThatFails) {
  boot_two();
  world.machine.sync_takes_usec = World::hour;
  world.machine.kexec_error = Error{ErrorCode::kexec_failed, "reboot: Device busy.", EBUSY};
  EXPECT_EQ(world.update(), "failed");
  world.machine.sync_takes_usec = 0;
  ASSERT_NO_FATAL_FAILURE(begin_orderly_kexec());
  world.pid_one.kexec_failed(Error{ErrorCode::kexec_failed, "kexec.target was cancelled.", 0});
  EXPECT_EQ(world.outcome(), "failed");
  expect_events({log::Id::kexec_failed, log::Id::sync_unfinished});
  EXPECT_EQ(of(log::Id::kexec_failed).size(), 2U);
}

TEST_F(EventsTest, OfWhatABootHasLost) {
  boot_two();
  world.config_problem = Error{ErrorCode::io, "It is empty.", 0};
  world.refused_sessions["handoverd"] = EBUSY;
  ASSERT_TRUE(world.request(JobType::update));
  ASSERT_TRUE(world.run_until([&] { return world.kernels == 2; }));
  world.run_for(5 * World::second);
  world.refused_sessions.clear();
  EXPECT_EQ(world.outcome(), "done");
  expect_events({log::Id::configuration_unusable, log::Id::manifest_unreachable});
}

TEST_F(EventsTest, OfAPowerCut) {
  boot_two();
  world.keep_frozen();
  ASSERT_TRUE(world.update_until(State::frozen));
  world.power_cut();
  ASSERT_TRUE(world.run_until([&] { return world.lost_anything(); }));
  world.run_for(5 * World::second);
  const auto lost = of(log::Id::session_lost);
  ASSERT_EQ(lost.size(), 2U);
  EXPECT_EQ(lost.front().at("SESSION"), "disk");
  EXPECT_EQ(lost.front().at("UPDATE"), of(log::Id::update_finished).front().at("UPDATE"));
}

}  // namespace
}  // namespace handover::engine::test
