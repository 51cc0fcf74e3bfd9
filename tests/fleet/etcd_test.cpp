// SPDX-License-Identifier: LGPL-2.1-or-later
// Slots in etcd: the messages and decisions as values; against the real etcd in etcd_race_test.cpp.
#include "fleet/etcd.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "fleet/host_id.h"
#include "fleet/lock.h"
#include "fleet/text.h"
#include "support/temporary_directory.h"

namespace handover::fleet {
namespace {

using nlohmann::json;

const SlotGroup group{"/p", "g", 2};
const Claim mine{"me", "host-a", 7, "2026-12-01T04:00:00Z"};
const Claim other{"you", "host-b", 1, "2026-12-01T03:00:00Z"};

json body_of(const Request& request) { return json::parse(request.body); }

Reply reply_of(const json& document, int status = 200) {
  Reply reply;
  reply.status = status;
  reply.body = document.dump();
  return reply;
}

json pair_of(const std::string& key, const std::string& value, int revision) {
  return {{"key", to_base64(key)},
          {"value", to_base64(value)},
          {"mod_revision", std::to_string(revision)}};
}

/// "target" of each comparison, as key=revision.
std::vector<std::string> compared(const Request& request) {
  std::vector<std::string> all;
  const auto body = body_of(request);
  for (const auto& one : body["compare"]) {
    EXPECT_EQ(one["target"], "MOD");
    EXPECT_EQ(one["result"], "EQUAL");
    all.push_back(*from_base64(one["key"].get<std::string>()) + "=" +
                  one["mod_revision"].get<std::string>());
  }
  return all;
}

TEST(Etcd, AClaimIsReadAsItWasWritten) {
  EXPECT_EQ(parse_claim(to_json(mine)), mine);
  EXPECT_EQ(parse_claim("by hand"), Claim{});
  EXPECT_EQ(parse_claim(R"({"id": 3, "generation": -1})"), Claim{});
}

TEST(Etcd, ReadsTheBoardInOneTransaction) {
  const auto body = body_of(board_request(group, "me"));
  EXPECT_TRUE(body["compare"].empty());
  ASSERT_EQ(body["success"].size(), 2U);
  const auto& slots = body["success"][0]["request_range"];
  EXPECT_EQ(from_base64(slots["key"].get<std::string>()), "/p/g/slots/");
  EXPECT_EQ(from_base64(slots["range_end"].get<std::string>()), "/p/g/slots0");

  const json kvs = {pair_of("/p/g/slots/1", to_json(other), 9), pair_of("/p/g/slots/0", "odd", 8)};
  const json hosts = {pair_of("/p/g/hosts/me", "{}", 5)};
  auto board = parse_board(
      group,
      reply_of({{"succeeded", true},
                {"responses",
                 {{{"response_range", {{"kvs", kvs}}}}, {{"response_range", {{"kvs", hosts}}}}}}}));
  ASSERT_TRUE(board) << board.error().message;
  EXPECT_EQ(board->host_revision, 5U);
  EXPECT_EQ(board->held, (std::vector<HeldSlot>{{0, Claim{}, 8}, {1, other, 9}}));
}

TEST(Etcd, AnEmptyBoard) {
  auto board = parse_board(
      group,
      reply_of({{"responses",
                 {{{"response_range", json::object()}}, {{"response_range", json::object()}}}}}));
  ASSERT_TRUE(board) << board.error().message;
  EXPECT_EQ(*board, Board{});
}

TEST(Etcd, WhatIsNoAnswerOfEtcds) {
  Reply gone;
  gone.failure = "cannot connect";
  const std::pair<Reply, const char*> cases[] = {
      {gone, "cannot connect"},
      {reply_of({{"error", "e"}, {"message", "etcdserver: no leader"}}, 503),
       "HTTP status 503: etcdserver: no leader"},
      {reply_of({{"error", "permission denied"}}, 403), "HTTP status 403: permission denied"},
      {reply_of("text"), "HTTP status 200: \"text\""},
      {reply_of(json::object()), "the answer is not one of etcd's"},
      {reply_of({{"responses", {1, 2}}}), "the answer is not one of etcd's"},
  };
  for (const auto& [reply, expected] : cases) {
    auto board = parse_board(group, reply);
    ASSERT_FALSE(board);
    EXPECT_EQ(board.error().message, expected);
  }
}

TEST(Etcd, TakesAFreeSlotIfNothingHasChanged) {
  Board board;
  board.host_revision = 5;
  board.held = {{0, other, 8}};
  for (std::uint64_t spread = 0; spread < 4; ++spread) {
    const auto step = take_step(group, board, mine, spread);
    ASSERT_TRUE(step.request);
    EXPECT_EQ(step.slot, 1);
    EXPECT_EQ(compared(*step.request),
              (std::vector<std::string>{"/p/g/slots/1=0", "/p/g/hosts/me=5"}));
    const auto puts = body_of(*step.request)["success"];
    ASSERT_EQ(puts.size(), 2U);
    EXPECT_EQ(from_base64(puts[0]["request_put"]["key"].get<std::string>()), "/p/g/slots/1");
    EXPECT_EQ(from_base64(puts[0]["request_put"]["value"].get<std::string>()), to_json(mine));
  }
  // Without others, each begins elsewhere.
  EXPECT_EQ(take_step(group, Board{}, mine, 0).slot, 0);
  EXPECT_EQ(take_step(group, Board{}, mine, 1).slot, 1);
}

TEST(Etcd, TakesItsOwnSlotAgain) {
  Board board;
  board.held = {{0, other, 8}, {1, {"me", "host-a", 3, "earlier"}, 9}};
  const auto step = take_step(group, board, mine, 0);
  ASSERT_TRUE(step.request);
  EXPECT_EQ(step.slot, 1);
  EXPECT_EQ(compared(*step.request).front(), "/p/g/slots/1=9");
}

TEST(Etcd, RefusesAnotherHostOfTheSameId) {
  Board board;
  board.held = {{1, {"me", "host-z", 3, "earlier"}, 9}};
  const auto step = take_step(group, board, mine, 0);
  EXPECT_FALSE(step.request);
  EXPECT_EQ(step.outcome.kind, LockOutcome::Kind::refused);
  EXPECT_NE(step.outcome.message.find("give each host an id of its own"), std::string::npos);
  // And does not give back what is the other's.
  const auto back = give_back_step(group, board, mine);
  EXPECT_EQ(compared(*back.request), std::vector<std::string>{"/p/g/hosts/me=0"});
}

TEST(Etcd, TellsApartTwoHostsOfOneImage) {
  auto ours = mine;
  ours.installation = "first";
  auto clones = mine;
  clones.installation = "second";
  EXPECT_EQ(parse_claim(to_json(ours)), ours);
  Board board;
  board.held = {{1, clones, 9}};
  const auto step = take_step(group, board, ours, 0);
  EXPECT_FALSE(step.request);
  EXPECT_EQ(step.outcome.kind, LockOutcome::Kind::refused);
  EXPECT_NE(step.outcome.message.find("by another installation"), std::string::npos);
  const auto back = give_back_step(group, board, ours);
  EXPECT_EQ(compared(*back.request), std::vector<std::string>{"/p/g/hosts/me=0"});
  // Its own, and one of a gate that did not say it.
  for (const auto& own : {ours, mine}) {
    board.held = {{1, own, 9}};
    EXPECT_TRUE(take_step(group, board, ours, 0).request);
    EXPECT_EQ(compared(*give_back_step(group, board, ours).request).size(), 2U);
  }
}

TEST(Etcd, AnInstallationIsDrawnOnce) {
  const test::TemporaryDirectory here;
  const test::TemporaryDirectory there;
  auto first = installation_id(here.path("state"));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->size(), 32U);
  EXPECT_EQ(*installation_id(here.path("state")), *first);
  EXPECT_NE(*installation_id(there.path("state")), *first);
  // A clone that was told: without the file, it draws another.
  ASSERT_EQ(std::remove(here.path("state/installation").c_str()), 0);
  EXPECT_NE(*installation_id(here.path("state")), *first);
  EXPECT_FALSE(installation_id(here.path("no/state")));
}

TEST(Etcd, RefusesWhenAllAreHeld) {
  Board board;
  board.held = {{0, other, 8}, {4, {"x", "host-x", 0, "t"}, 3}};  // there were more slots before
  const auto step = take_step(group, board, mine, 0);
  EXPECT_FALSE(step.request);
  EXPECT_EQ(step.outcome.message,
            "All 2 slots of group 'g' are held: 0 by host-b since 2026-12-01T03:00:00Z, 4 by "
            "host-x since t.");
}

/// Many hosts that read the same board at once: what all of them could take.
std::size_t most_held(std::uint64_t slots, const std::vector<std::uint64_t>& held) {
  Board board;
  for (const auto number : held) board.held.push_back({number, other, 1});
  std::set<std::uint64_t> all(held.begin(), held.end());
  const SlotGroup lowered{"/p", "g", slots};
  for (std::uint64_t spread = 0; spread < slots; ++spread) {
    const auto step = take_step(lowered, board, mine, spread);
    if (step.request) all.insert(static_cast<std::uint64_t>(step.slot));
  }
  return all.size();
}

TEST(Etcd, WhereThereWereMoreSlotsBeforeNoMoreThanThereAreAreTakenAtOnce) {
  EXPECT_EQ(most_held(2, {4}), 2U);
  EXPECT_EQ(most_held(3, {2, 4}), 3U);
  EXPECT_EQ(most_held(3, {0, 4}), 3U);
  EXPECT_EQ(most_held(3, {4, 5, 6}), 3U);
  EXPECT_EQ(most_held(2, {3, 4, 5}), 3U);  // already too many
  EXPECT_EQ(most_held(5, {}), 5U);
  // All boards of up to six numbers: never more, and never none where one is free.
  for (unsigned bits = 0; bits < 64; ++bits) {
    std::vector<std::uint64_t> held;
    for (std::uint64_t number = 0; number < 6; ++number) {
      if ((bits >> number & 1U) != 0) held.push_back(number);
    }
    for (std::uint64_t slots = 1; slots <= 6; ++slots) {
      EXPECT_EQ(most_held(slots, held), std::max<std::size_t>(slots, held.size())) << bits;
    }
  }
}

TEST(Etcd, GivesBackItsOwnAndFencesWhatIsOnItsWay) {
  Board board;
  board.host_revision = 5;
  board.held = {{0, other, 8}, {1, mine, 9}};
  const auto back = give_back_step(group, board, mine);
  EXPECT_EQ(compared(*back.request),
            (std::vector<std::string>{"/p/g/hosts/me=5", "/p/g/slots/1=9"}));
  const auto then = body_of(*back.request)["success"];
  EXPECT_EQ(from_base64(then[0]["request_put"]["key"].get<std::string>()), "/p/g/hosts/me");
  EXPECT_EQ(from_base64(then[1]["request_delete_range"]["key"].get<std::string>()), "/p/g/slots/1");
  // Also where it holds none: an earlier request may still be on its way.
  board.held.pop_back();
  EXPECT_TRUE(body_of(*give_back_step(group, board, mine).request)["success"].size() == 1);
}

TEST(Etcd, ATransactionIsDoneOrNot) {
  EXPECT_TRUE(*parse_done(reply_of({{"header", 1}, {"succeeded", true}})));
  EXPECT_FALSE(*parse_done(reply_of({{"header", 1}})));
  EXPECT_FALSE(parse_done(reply_of({{"header", 1}, {"succeeded", true}}, 500)));
  EXPECT_FALSE(parse_done(reply_of({{"hello", "who are you?"}})));
}

/// Answers one request after the other with what it was given.
class Scripted : public Server {
 public:
  explicit Scripted(std::vector<Reply> replies) : replies_(std::move(replies)) {}
  Reply exchange(const std::string&, const Request&) override { return replies_.at(next_++); }

 private:
  std::vector<Reply> replies_;
  std::size_t next_ = 0;
};

TEST(Etcd, AnAnswerOfSomebodyElseToAChangeLeavesItOpen) {
  const auto empty =
      reply_of({{"header", 1},
                {"responses",
                 {{{"response_range", json::object()}}, {{"response_range", json::object()}}}}});
  Reply page;
  page.status = 200;
  page.body = "<html>";
  Lock lock;
  lock.kind = LockKind::etcd;
  lock.urls = {"http://e"};
  const std::atomic<bool> never = false;
  const auto takes = [&](std::vector<Reply> replies) {
    Scripted server(std::move(replies));
    return LockClient(lock, server, never).take(mine).kind;
  };
  for (const auto& odd :
       {page, reply_of({{"error", "timeout"}}, 408), reply_of({}, 429), reply_of({{"hello", 1}})}) {
    EXPECT_EQ(takes({empty, odd}), LockOutcome::Kind::uncertain) << odd.status << odd.body;
    // Whoever only looked has changed nothing.
    EXPECT_EQ(takes({odd}), LockOutcome::Kind::untouched) << odd.status << odd.body;
  }
  EXPECT_EQ(takes({empty, reply_of({{"header", 1}, {"succeeded", true}})}),
            LockOutcome::Kind::held);
}

}  // namespace
}  // namespace handover::fleet
