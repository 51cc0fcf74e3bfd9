// SPDX-License-Identifier: LGPL-2.1-or-later
// What was preserved comes back, byte by byte, to whom it belongs; and what nobody claims is freed,
// and said so.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "host.h"
#include "memory.h"

namespace handover::test {
namespace {

constexpr std::size_t bytes = 300'000;

/// Long enough for whoever means to claim, also under a sanitizer on a busy machine.
constexpr const char* short_claim = "10s";

TEST(Contents, SurviveThreeUpdatesInARow) {
  Host host;
  host.boot();
  for (const auto* name : {"a", "b", "c"}) {
    auto& client = host.add({.name = name});
    client.keep(std::string(name) + "-small", 1, 10 + static_cast<unsigned>(*name), 4097);
    client.keep(std::string(name) + "-large", UINT64_MAX, 20 + static_cast<unsigned>(*name), bytes);
    client.keep(std::string(name) + "-large", 0, 30 + static_cast<unsigned>(*name), 1);
  }
  ASSERT_TRUE(host.start_clients());
  const auto sessions = host.list_sessions();
  ASSERT_EQ(sessions.size(), 6U);
  for (std::uint64_t n = 1; n <= 3; ++n) {
    host.update_ends("done");
    EXPECT_EQ(host.generation(), n);
    for (const auto& client : host.clients()) {
      ASSERT_TRUE(client->started());
      for (const auto& memory : client->memory()) EXPECT_EQ(memory.retrieved, n);
    }
    EXPECT_EQ(host.list_sessions(), sessions);
    host.expect_calm();
  }
  EXPECT_TRUE(host.observer().all("StateLost").empty());
  const auto history = host.history();
  ASSERT_EQ(history.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(history[i]["outcome"], "done");
    EXPECT_EQ(history[i]["mode"], "emulated");
    EXPECT_EQ(history[i]["generation"], 3 - i);  // newest first
    EXPECT_GT(history[i]["blackout_usec"], 0);
    for (const auto* name : {"a", "b", "c"}) {
      EXPECT_TRUE(history[i]["timeline"]["clients"].contains(name));
    }
  }
  // On disk too.
  EXPECT_EQ(nlohmann::json::parse(text_of(host.directory().path("state/history.json"))).size(), 3U);
}

TEST(Contents, OfAnotherSizeAreRefusedBeforeAnybodyIsFrozen) {
  Host host;
  host.boot();
  auto& client = host.add({.name = "a"});
  client.keep("memory", 5, 1, bytes);
  ASSERT_TRUE(host.start_clients());
  const int fd = client.memory().front().fd.get();
  ASSERT_EQ(ftruncate(fd, 1), 0);
  const auto refused = host.update_ends("failed");
  EXPECT_NE(refused.reason.find("token 5 of session \"memory\" has 1 bytes and had 300000"),
            std::string::npos)
      << refused.reason;
  EXPECT_EQ(host.generation(), 0U);
  EXPECT_EQ(host.journal().count(Call::freeze), 0U);
  host.expect_calm();

  ASSERT_EQ(ftruncate(fd, bytes), 0);
  const UniqueFd right = memory_with(1, bytes);
  ASSERT_EQ(pwrite(fd, contents_of(right.get()).data(), bytes, 0), static_cast<ssize_t>(bytes));
  host.update_ends("done");
  EXPECT_EQ(client.memory().front().retrieved, 1U);
}

/// No client at all: what `handoverctl session` or busctl makes.
class Script : public testing::Test {
 protected:
  void boot(const nlohmann::json& config = {}) {
    host = std::make_unique<Host>(config);
    host->boot();
    const auto session = host->create_session("script");
    ASSERT_TRUE(session.ok()) << session.message;
    EXPECT_EQ(session.text(), session_path("script"));
    ASSERT_TRUE(host->preserve("script", 1, memory.get()).ok());
    const std::vector<std::uint8_t> blob = {0, 1, 2, 254, 255, 0};
    const auto preserved = host->admin().call(
        session_path("script"), session_interface, "PreserveBlob", [&](sd_bus_message* message) {
          must(sd_bus_message_append(message, "t", UINT64_C(2)), "token");
          return sd_bus_message_append_array(message, 'y', blob.data(), blob.size());
        });
    ASSERT_TRUE(preserved.ok()) << preserved.message;
  }

  void update() { host->update_ends("done"); }

  UniqueFd memory = memory_with(7, bytes);
  std::unique_ptr<Host> host;
};

TEST_F(Script, GetsItsMemoryBack) {
  boot();
  // Written after it was preserved, as a running workload does.
  ASSERT_EQ(pwrite(memory.get(), "changed", 7, 100), 7);
  const auto checksum = checksum_of(memory.get());
  update();
  const auto sessions = host->list_sessions();
  ASSERT_EQ(sessions.size(), 1U);
  EXPECT_EQ(sessions[0].name, "script");
  EXPECT_EQ(sessions[0].client, "");
  EXPECT_TRUE(sessions[0].incoming);
  EXPECT_EQ(sessions[0].descriptors, 2U);
  EXPECT_EQ(sessions[0].bytes, bytes + 6);

  const auto back = descriptor_of(host->retrieve("script", 1));
  ASSERT_TRUE(back);
  EXPECT_EQ(checksum_of(back.get()), checksum);
  const auto blob = descriptor_of(host->retrieve("script", 2));
  ASSERT_TRUE(blob);
  EXPECT_EQ(contents_of(blob.get()), std::string("\0\1\2\xfe\xff\0", 6));
  // Whoever died over it gets the same once more.
  const auto once_more = descriptor_of(host->retrieve("script", 1));
  ASSERT_TRUE(once_more);
  struct stat first = {};
  struct stat second = {};
  ASSERT_EQ(fstat(back.get(), &first), 0);
  ASSERT_EQ(fstat(once_more.get(), &second), 0);
  EXPECT_EQ(first.st_ino, second.st_ino);

  // What holds state of the earlier kernel takes nothing new, and no update loses it.
  EXPECT_EQ(host->retrieve("script", 3).error, error_name("NoSuchToken"));
  EXPECT_EQ(host->preserve("script", 3, memory.get()).error, error_name("Incoming"));
  EXPECT_EQ(host->end_session("script", "Discard").error, error_name("Incoming"));
  EXPECT_EQ(host->create_session("script").error, error_name("NameTaken"));
  EXPECT_EQ(host->update().error, error_name("Incoming"));
  EXPECT_EQ(host->state(), "normal");

  ASSERT_TRUE(host->end_session("script", "Finish").ok());
  EXPECT_TRUE(host->list_sessions().empty());
  EXPECT_TRUE(host->manager().stored_names().empty());
  // And once more, from the beginning.
  ASSERT_TRUE(host->create_session("script").ok());
  ASSERT_TRUE(host->preserve("script", 1, back.get()).ok());
  update();
  const auto again = descriptor_of(host->retrieve("script", 1));
  ASSERT_TRUE(again);
  EXPECT_EQ(checksum_of(again.get()), checksum);
  EXPECT_TRUE(host->observer().all("StateLost").empty());
}

TEST_F(Script, IsToldWhereEachTokenIs) {
  boot();
  const auto other = memory_with(8, bytes);
  const auto asked =
      host->admin().call(session_path("script"), session_interface, "Preserve",
                         with("tha{sv}", 3UL, other.get(), 1, "backend", "s", "emulated"));
  ASSERT_TRUE(asked.ok()) << asked.message;
  const auto expect_backends = [&](std::size_t tokens) {
    auto answer =
        host->admin().get_property(session_path("script"), session_interface, "Tokens", "a(tstbs)");
    ASSERT_TRUE(answer.ok()) << answer.message;
    auto* reply = answer.reply.get();
    must(sd_bus_message_enter_container(reply, 'a', "(tstbs)"), "tokens");
    std::size_t count = 0;
    const char* backend = nullptr;
    while (sd_bus_message_read(reply, "(tstbs)", nullptr, nullptr, nullptr, nullptr, &backend) >
           0) {
      EXPECT_STREQ(backend, "emulated");
      ++count;
    }
    EXPECT_EQ(count, tokens);
  };
  expect_backends(3);
  update();
  expect_backends(3);
  EXPECT_EQ(host->list_sessions().at(0).backend, "emulated");
  // No module has anything to do with an update that boots no kernel.
  const auto module = host->admin().get_property(manager_path, manager_interface, "Module", "b");
  ASSERT_TRUE(module.ok()) << module.message;
  int there = 1;
  must(sd_bus_message_read(module.reply.get(), "b", &there), "Module");
  EXPECT_EQ(there, 0);
}

TEST_F(Script, WhatItUnpreservedIsNotThere) {
  boot();
  ASSERT_TRUE(host->admin()
                  .call(session_path("script"), session_interface, "Unpreserve", with("t", 1UL))
                  .ok());
  // The same file may go elsewhere now, under any token.
  ASSERT_TRUE(host->preserve("script", 9, memory.get()).ok());
  update();
  EXPECT_EQ(host->retrieve("script", 1).error, error_name("NoSuchToken"));
  EXPECT_TRUE(descriptor_of(host->retrieve("script", 9)));
}

TEST_F(Script, DiscardedIsGone) {
  boot();
  ASSERT_TRUE(host->end_session("script", "Discard").ok());
  EXPECT_TRUE(host->list_sessions().empty());
  EXPECT_TRUE(host->manager().stored_names().empty());
  update();
  EXPECT_TRUE(host->list_sessions().empty());
}

TEST_F(Script, UnclaimedIsFreedAndReported) {
  boot({{"claim_timeout", short_claim}});
  update();
  ASSERT_TRUE(descriptor_of(host->retrieve("script", 2)));
  const auto lost = host->observer().next("StateLost");
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->arguments.at(0), "script");
  EXPECT_NE(lost->arguments.at(2).find("token 1"), std::string::npos) << lost->arguments.at(2);
  ASSERT_TRUE(host->run_until([&] { return host->list_sessions().empty(); }));
  EXPECT_TRUE(host->manager().stored_names().empty());
  EXPECT_EQ(host->observer().all("StateLost").size(), 1U);  // token 2 was claimed
  const auto history = host->history();
  EXPECT_EQ(history[0]["outcome"], "done-with-losses");
  EXPECT_EQ(history[0]["losses"].size(), 1U);
  update();
}

/// The claim time goes on in the daemon's successor.
TEST_F(Script, UnclaimedIsFreedAlsoAfterACrash) {
  boot({{"claim_timeout", short_claim}});
  update();
  ASSERT_TRUE(host->kill_daemon());
  EXPECT_EQ(host->state(), "normal");
  EXPECT_TRUE(host->observer().next("StateLost"));
  ASSERT_TRUE(host->run_until([&] { return host->list_sessions().empty(); }));
  EXPECT_TRUE(host->manager().stored_names().empty());
}

TEST_F(Script, RetrievesAfterACrash) {
  boot();
  update();
  const auto first = descriptor_of(host->retrieve("script", 1));
  ASSERT_TRUE(first);
  // The reply is there before it is written down: wait for what is.
  ASSERT_TRUE(host->run_until([&] {
    return text_of(host->directory().path("run/manifest.json")).find("\"retrieved\":true") !=
           std::string::npos;
  }));
  ASSERT_TRUE(host->kill_daemon());
  EXPECT_TRUE(descriptor_of(host->retrieve("script", 1))) << "its owner may have died with us";
  EXPECT_TRUE(descriptor_of(host->retrieve("script", 2)));
  ASSERT_TRUE(host->end_session("script", "Finish").ok());
  EXPECT_TRUE(host->manager().stored_names().empty());
  EXPECT_TRUE(host->observer().all("StateLost").empty());
}

class Late : public testing::Test {
 protected:
  void boot(const nlohmann::json& config = {}) {
    host = std::make_unique<Host>(config);
    host->boot();
    base = &host->add({.name = "base"});
    top = &host->add({.name = "top", .needs = {"base"}});
    other = &host->add({.name = "other"});
    for (auto& client : host->clients()) client->keep(client->name(), 1, 5, bytes);
    ASSERT_TRUE(host->start_clients());
  }

  std::unique_ptr<Host> host;
  ScriptedClient* base = nullptr;
  ScriptedClient* top = nullptr;
  ScriptedClient* other = nullptr;
};

TEST_F(Late, ClientIsRestoredLate) {
  boot();
  base->stay_away();
  ASSERT_TRUE(host->update().ok());
  // Who does not need it is not kept waiting.
  ASSERT_TRUE(host->run_until([&] { return other->memory()[0].retrieved == 1; }));
  EXPECT_EQ(host->state(), "restoring");
  EXPECT_EQ(host->journal().count("top", Call::restore), 0U);
  EXPECT_EQ(host->phase_of("base"), "restoring");
  EXPECT_EQ(host->phase_of("top"), "restoring");
  EXPECT_EQ(host->phase_of("other"), "restored");
  base->come_back();
  EXPECT_EQ(host->finished().outcome, "done");
  EXPECT_EQ(base->states().back(), "restoring");
  EXPECT_EQ(base->memory()[0].retrieved, 1U);
  EXPECT_EQ(top->memory()[0].retrieved, 1U);
  host->expect_calm();
}

TEST_F(Late, ClientThatNeverComesIsGivenUp) {
  boot({{"claim_timeout", short_claim}});
  base->stay_away();
  const auto finished = host->update_ends("done-with-losses");
  EXPECT_EQ(finished.generation, "1");
  EXPECT_NE(finished.reason.find("'base'"), std::string::npos) << finished.reason;
  EXPECT_EQ(top->memory()[0].retrieved, 1U);
  EXPECT_EQ(other->memory()[0].retrieved, 1U);
  ASSERT_TRUE(top->started());
  ASSERT_TRUE(other->started());
  const auto lost = host->observer().all("StateLost");
  ASSERT_EQ(lost.size(), 2U);
  EXPECT_EQ(lost[0].arguments.at(1), "base");
  EXPECT_EQ(lost[1].arguments.at(0), "base");  // its session
  EXPECT_EQ(host->history()[0]["losses"].size(), 2U);
  // It has nothing left and is not here: nobody waits for it any more.
  EXPECT_FALSE(host->phase_of("base").has_value());
  EXPECT_EQ(host->list_sessions().size(), 2U);
  // "top" cannot do without it.
  EXPECT_EQ(host->update().error, error_name("UnknownDependency"));
  base->come_back();
  ASSERT_TRUE(host->run_until([&] { return base->states().size() == 2; }));
  EXPECT_EQ(base->states().back(), "new");
  ASSERT_TRUE(base->started());
  host->update_ends("done");
}

/// The record of what was lost outlives the daemon that found out.
TEST_F(Late, LossesAreKeptOverACrash) {
  boot();
  // Its token is lost: it answers Restore, and has not retrieved it.
  auto& careless = host->add({.name = "careless"});
  careless.start();
  ASSERT_TRUE(careless.started());
  ASSERT_TRUE(host->admin()
                  .call(manager_path, manager_interface, "CreateSession",
                        with("sa{sv}", "careless", 1, "client", "s", "careless"))
                  .ok());
  const auto memory = memory_with(1, 1000);
  ASSERT_TRUE(host->preserve("careless", 1, memory.get()).ok());
  base->on(Call::restore, ScriptedClient::Behaviour::hold);
  ASSERT_TRUE(host->update().ok());
  ASSERT_TRUE(host->run_until(
      [&] { return host->observer().all("StateLost").size() == 1 && base->holds(); }));
  base->on(Call::restore, ScriptedClient::Behaviour::answer);
  ASSERT_TRUE(host->kill_daemon());
  const auto finished = host->finished();
  EXPECT_EQ(finished.outcome, "done-with-losses");
  EXPECT_NE(finished.reason.find("careless"), std::string::npos) << finished.reason;
  EXPECT_EQ(host->history()[0]["losses"].size(), 1U);
}

TEST_F(Late, SessionOfAnUnregisteredClientIsFreed) {
  boot({{"claim_timeout", short_claim}});
  other->stay_away();
  ASSERT_TRUE(host->admin()
                  .call(manager_path, manager_interface, "UnregisterClient", with("s", "other"))
                  .ok());
  EXPECT_EQ(host->list_sessions().size(), 3U);  // its session stays
  host->update_ends("done");
  const auto lost = host->observer().next("StateLost");
  ASSERT_TRUE(lost);
  EXPECT_EQ(lost->arguments.at(0), "other");
  ASSERT_TRUE(host->run_until([&] { return host->list_sessions().size() == 2; }));
}

TEST_F(Late, ClientsRestartedAnytimeKeepTheirSessions) {
  boot();
  const auto before = host->list_sessions();
  base->die();
  // Its state is still preserved, so it is missed.
  ASSERT_TRUE(host->run_until([&] { return host->update().error == error_name("ClientGone"); }));
  EXPECT_EQ(host->list_sessions(), before);
  EXPECT_EQ(host->state(), "normal");
  base->come_back();
  ASSERT_TRUE(base->started());
  EXPECT_EQ(host->list_sessions(), before);
  host->update_ends("done");
  EXPECT_EQ(base->memory()[0].retrieved, 1U);
  host->expect_calm();
}

}  // namespace
}  // namespace handover::test
