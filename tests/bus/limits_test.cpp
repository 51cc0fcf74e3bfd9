// SPDX-License-Identifier: LGPL-2.1-or-later
// What one user, one client or one sentence may cost the host.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "host.h"
#include "memory.h"
#include "process.h"
#include "support/sanitized.h"

namespace handover::test {
namespace {

using Behaviour = ScriptedClient::Behaviour;

/// RegisterClient by hand: `needs` names that nobody has to have.
Answer enroll(Connection& by, const std::string& name, std::size_t needs = 0,
              const std::string& path = "/") {
  return by.call(manager_path, manager_interface, "RegisterClient", [&](sd_bus_message* message) {
    must(sd_bus_message_append(message, "so", name.c_str(), path.c_str()), "a name");
    must(sd_bus_message_open_container(message, 'a', "s"), "needs");
    for (std::size_t i = 0; i < needs; ++i) {
      must(sd_bus_message_append(message, "s", ("need-" + std::to_string(i)).c_str()), "a need");
    }
    must(sd_bus_message_close_container(message), "needs");
    return sd_bus_message_append(message, "a{sv}", 0);
  });
}

TEST(Limits, OfSessionsAndDescriptors) {
  Host host{{{"max_sessions_per_user", 2}, {"max_descriptors_per_user", 3}}};
  host.boot();
  ASSERT_TRUE(host.create_session("a").ok());
  ASSERT_TRUE(host.create_session("b").ok());
  const auto refused = host.create_session("c");
  EXPECT_EQ(refused.error, error_name("LimitExceeded"));
  EXPECT_NE(refused.message.find("max_sessions_per_user"), std::string::npos) << refused.message;
  std::vector<UniqueFd> memory;
  for (std::uint64_t i = 0; i < 4; ++i) memory.push_back(memory_with(i, 10));
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(host.preserve(i == 0 ? "a" : "b", i, memory[i].get()).ok());
  }
  EXPECT_EQ(host.preserve("a", 3, memory[3].get()).error, error_name("LimitExceeded"));
  EXPECT_TRUE(
      host.admin().call(session_path("b"), session_interface, "Unpreserve", with("t", 1UL)).ok());
  EXPECT_TRUE(host.preserve("a", 3, memory[3].get()).ok());
  EXPECT_TRUE(host.end_session("b", "Discard").ok());
  EXPECT_TRUE(host.create_session("c").ok());
}

/// Whatever is configured, one user's descriptors are not all that the daemon can open.
TEST(Limits, OfDescriptorsFollowTheHost) {
  constexpr rlim_t open_files = 400;
  Host host{{{"max_descriptors_per_user", 0}}};
  host.manager().before_exec([] {
    const rlimit limit{open_files, open_files};
    setrlimit(RLIMIT_NOFILE, &limit);
  });
  host.boot();
  ASSERT_TRUE(host.create_session("a").ok());
  std::uint64_t token = 0;
  Answer refused;
  while (token < open_files) {
    refused = host.preserve("a", token, memory_with(token, 10).get());
    if (!refused.ok()) break;
    ++token;
  }
  EXPECT_EQ(refused.error, error_name("LimitExceeded")) << refused.message;
  EXPECT_EQ(token, open_files / 2);
  Connection peer(host.loop(), host.private_address());
  EXPECT_TRUE(peer.get_property(manager_path, manager_interface, "State", "s").ok());
}

/// systemd drops what does not fit, and a crash would lose it.
TEST(Limits, OfSystemdsStore) {
  Host host;
  host.manager().limit_store(4);
  host.boot();
  ASSERT_TRUE(host.create_session("a").ok());
  const auto memory = memory_with(1, 10);
  std::uint64_t token = 0;
  while (host.preserve("a", token, memory_with(token, 10).get()).ok() && token < 9) ++token;
  EXPECT_LT(token, 5U);
  EXPECT_GT(token, 0U);
  const auto refused = host.preserve("a", token, memory.get());
  EXPECT_EQ(refused.error, error_name("LimitExceeded"));
  EXPECT_NE(refused.message.find("FileDescriptorStoreMax="), std::string::npos) << refused.message;
  EXPECT_EQ(host.create_session("b").error, error_name("LimitExceeded"));
  EXPECT_LE(host.manager().stored_names().size(), 4U);
  EXPECT_EQ(host.list_sessions()[0].descriptors, token);
  ASSERT_TRUE(host.end_session("a", "Discard").ok());
  EXPECT_TRUE(host.create_session("b").ok());
}

/// A limit is for what is new: a daemon that starts under a lower one gives up nothing it kept.
TEST(Limits, OfSystemdsStoreLoweredMeanwhile) {
  Host host;
  host.manager().limit_store(8);
  host.boot();
  ASSERT_TRUE(host.create_session("a").ok());
  std::vector<UniqueFd> memory;
  for (std::uint64_t i = 0; i < 3; ++i) {
    memory.push_back(memory_with(i, 10));
    ASSERT_TRUE(host.preserve("a", i, memory[i].get()).ok());
  }
  const auto stored = host.manager().stored_names();
  host.manager().limit_store(2);
  ASSERT_TRUE(host.kill_daemon());
  ASSERT_EQ(host.list_sessions().size(), 1U);
  EXPECT_EQ(host.list_sessions()[0].descriptors, 3U);
  EXPECT_EQ(host.manager().stored_names(), stored);
  EXPECT_EQ(host.create_session("b").error, error_name("LimitExceeded"));
  EXPECT_TRUE(host.end_session("a", "Discard").ok());
}

/// A host has more services than that, and root's are many users.
TEST(Limits, LetRootHaveHundredsOfSessions) {
  constexpr int wanted = 300;
  Host host;
  host.boot();
  for (int i = 0; i < wanted; ++i) {
    const auto made = host.create_session("session-" + std::to_string(i));
    ASSERT_TRUE(made.ok()) << i << ": " << made.message;
  }
}

TEST(Limits, OfClients) {
  Host host{{{"max_clients_per_user", 2}}};
  host.boot();
  Connection first(host.loop(), host.bus_address());
  std::optional<Connection> second(std::in_place, host.loop(), host.bus_address());
  ASSERT_TRUE(enroll(first, "one").ok());
  ASSERT_TRUE(enroll(*second, "two").ok());
  const auto refused = enroll(first, "three");
  EXPECT_EQ(refused.error, error_name("LimitExceeded"));
  EXPECT_NE(refused.message.find("max_clients_per_user"), std::string::npos) << refused.message;
  EXPECT_TRUE(enroll(first, "one").ok()) << "who is there already is no more than it was";
  // What is given back can be had again: by a call, and by leaving.
  ASSERT_TRUE(
      first.call(manager_path, manager_interface, "UnregisterClient", with("s", "one")).ok());
  EXPECT_TRUE(enroll(first, "three").ok());
  second.reset();
  ASSERT_TRUE(host.run_until([&] { return host.list_clients().size() == 1; }));
  EXPECT_TRUE(enroll(first, "four").ok());
  EXPECT_EQ(enroll(first, "five").error, error_name("LimitExceeded"));
}

TEST(Limits, OfNeeds) {
  Host host{{{"max_needs_per_client", 3}}};
  host.boot();
  const auto refused = enroll(host.admin(), "greedy", 4);
  EXPECT_EQ(refused.error, error_name("LimitExceeded"));
  EXPECT_NE(refused.message.find("max_needs_per_client"), std::string::npos) << refused.message;
  EXPECT_TRUE(host.list_clients().empty());
  EXPECT_TRUE(enroll(host.admin(), "modest", 3).ok());
}

/// They are kept, and go to everybody who lists the clients.
TEST(Limits, OfNeedsAndAPathThatNobodyConfigured) {
  constexpr std::size_t most_needs = 64;
  constexpr std::size_t long_path = 60'000;
  Host host;
  host.boot();
  EXPECT_FALSE(enroll(host.admin(), "greedy", most_needs + 1).ok());
  EXPECT_FALSE(enroll(host.admin(), "long", 0, "/" + std::string(long_path, 'x')).ok());
  EXPECT_TRUE(host.list_clients().empty());
  EXPECT_TRUE(enroll(host.admin(), "modest", most_needs).ok());
}

/// To sd-bus the greatest number is "for ever".
TEST(Limits, OfATimeThatAClientAsksFor) {
  Host host;
  host.boot();
  for (const auto* option :
       {"prepare-timeout-usec", "freeze-timeout-usec", "restore-timeout-usec"}) {
    const auto refused =
        host.admin().call(manager_path, manager_interface, "RegisterClient",
                          with("soasa{sv}", "endless", "/", 0, 1, option, "t", UINT64_MAX));
    EXPECT_EQ(refused.error, error_name("InvalidArgument")) << option;
    EXPECT_NE(refused.message.find(option), std::string::npos) << refused.message;
  }
  EXPECT_TRUE(host.list_clients().empty());
}

/// However long single clients may take.
TEST(Limits, OfTheWholeFreeze) {
  using Clock = std::chrono::steady_clock;
  Host host{{{"freeze_budget", "5s"}}};
  host.boot();
  auto& base = host.add({.name = "base"});
  auto& top = host.add({.name = "top", .needs = {"base"}});
  ASSERT_TRUE(host.start_clients());
  ASSERT_TRUE(host.update_held_by(base, Call::freeze));
  ASSERT_TRUE(top.frozen());
  const auto begin = Clock::now();
  const auto finished = host.finished();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(25));
  EXPECT_EQ(finished.outcome, "failed");
  EXPECT_NE(finished.reason.find("'base'"), std::string::npos) << finished.reason;
  EXPECT_NE(finished.reason.find("freeze_budget"), std::string::npos) << finished.reason;
  host.expect_calm();
}

// ---- sentences

/// 512 bytes of the client's words, and what the daemon says around them.
constexpr std::size_t most_of_a_reason = 700;

bool is_printable(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x20 || byte == 0x7f) return false;
    // U+0080 to U+009F, which a terminal may obey as well.
    if (byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      return false;
    }
  }
  return true;
}

/// One client's words, and where they end up.
class Sentence : public testing::TestWithParam<Call> {
 protected:
  void SetUp() override {
    host.boot();
    client = &host.add({.name = "client"});
    ASSERT_TRUE(host.start_clients());
    client->on(GetParam(), Behaviour::veto);
  }

  void expect_tame() {
    const auto finished = host.update_ends("failed");
    EXPECT_LE(finished.reason.size(), most_of_a_reason);
    EXPECT_NE(finished.reason.find("No:"), std::string::npos) << finished.reason.substr(0, 99);
    EXPECT_TRUE(is_printable(finished.reason)) << finished.reason.substr(0, 999);
    const auto history = host.history();
    EXPECT_EQ(history.at(0)["reason"], finished.reason);
    constexpr std::size_t small = 10'000;
    EXPECT_LT(history.dump().size(), small);
    EXPECT_LT(text_of(host.directory().path("state/history.json")).size(), small);
    EXPECT_LT(text_of(host.directory().path("run/manifest.json")).size(), small);
    EXPECT_LT(host.manager().log().size(), 10 * small);
    const auto removed = host.observer().next("JobRemoved");
    ASSERT_TRUE(removed);
    EXPECT_EQ(removed->arguments.at(3), finished.reason);
  }

  Host host;
  ScriptedClient* client = nullptr;
};

TEST_P(Sentence, IsCut) {
  constexpr std::size_t huge = 20'000'000;
  const auto before = resident_bytes(host.manager().pid());
  client->set_veto_sentence("No:" + std::string(huge, 'x'));
  expect_tame();
  if (!sanitized) {
    EXPECT_LT(resident_bytes(host.manager().pid()), before + huge);
  }
}

TEST_P(Sentence, IsCutBetweenLetters) {
  std::string sentence = "No:";
  for (int i = 0; i < 1000; ++i) sentence += "ä€𝄞";  // of two, three and four bytes
  client->set_veto_sentence(sentence);
  expect_tame();  // the bus would not carry half a letter
}

TEST_P(Sentence, IsCleaned) {
  client->set_veto_sentence(
      "No:\x1b[2J\x07\r\n\x7f\xc2\x85\xc2\x9b"
      "31m, never");
  expect_tame();
}

INSTANTIATE_TEST_SUITE_P(Calls, Sentence, testing::Values(Call::prepare, Call::freeze),
                         [](const auto& call) { return to_string(call.param); });

}  // namespace
}  // namespace handover::test
