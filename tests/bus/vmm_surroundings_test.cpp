// SPDX-License-Identifier: LGPL-2.1-or-later
// What is round a guest's QEMU: what it waits for, its helpers, its agent, and who ends it.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <sstream>

#include "vmm_client.h"

namespace handover::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class VmmSurroundings : public VmmClient {
 protected:
  [[nodiscard]] std::string path(const std::string& below) const {
    return host.directory().path(below);
  }
};

TEST_F(VmmSurroundings, SnapshotsAreRefusedByCheck) {
  for (const char* name : {"snapshot-of-all", "snapshot-of-one"}) {
    EXPECT_EQ(check(configuration(name)), 2) << name;
    EXPECT_TRUE(says("put the disk back")) << text_of(log());
  }
}

TEST_F(VmmSurroundings, CheckSaysWhatMayCostTheGuest) {
  json config = {{"memory", "32M"}, {"qemu", qemu}, {"arguments", {"-machine", "pc-q35-7.2"}}};
  EXPECT_EQ(check(config), 0);
  EXPECT_EQ(text_of(log()), "");
  config["arguments"] = {"-M", "q35", "-cpu", "host"};
  EXPECT_EQ(check(config), 0);
  EXPECT_TRUE(says("The machine 'q35'")) << text_of(log());
  EXPECT_TRUE(says("The processor 'host'")) << text_of(log());
}

TEST_F(VmmSurroundings, InvariantTscWithoutFrequency) {
  start({"-cpu", "qemu64,+invtsc"});
  expect_refused("tsc-frequency");
}

TEST_F(VmmSurroundings, FirstStartWaits) {
  auto config = configuration("own-monitor");
  config["wait-for"] = {path("disk-is-there")};
  launch(config);
  ASSERT_TRUE(host.run_until([&] { return says("disk-is-there is not there"); })) << text_of(log());
  EXPECT_EQ(told()["state"], "waiting");
  host.directory().write("disk-is-there", "");
  ASSERT_TRUE(host.run_until([&] { return runs() && preserved(); })) << text_of(log());
}

/// The disk is not among what the operator named: the arguments do.
TEST_F(VmmSurroundings, RestoreWaitsForTheDisk) {
  below();
  auto config = configuration("own-monitor");
  config["needs"] = {"below"};
  run(config);
  expect_disk_good();
  hold_when_frozen();
  fs::rename(path("count.raw"), path("away"));
  below().let_go();
  ASSERT_TRUE(host.run_until([&] { return says("count.raw is not there"); })) << text_of(log());
  EXPECT_EQ(host.state(), "restoring");
  fs::rename(path("away"), path("count.raw"));
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(host.run_until([&] { return runs() && preserved(); })) << text_of(log());
  expect_disk_good();
}

TEST_F(VmmSurroundings, RestoreNamesWhatNeverCame) {
  below();
  auto config = configuration("own-monitor");
  config["needs"] = {"below"};
  config["limits"]["restore"] = 2;
  run(config);
  hold_when_frozen();
  fs::remove(path("count.raw"));
  below().let_go();
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); })) << text_of(log());
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 125) << *status;
  EXPECT_TRUE(says("did not come back")) << text_of(log());
  EXPECT_EQ(told()["state"], "ended");
}

TEST_F(VmmSurroundings, WhatIsGoneIsAVeto) {
  run(configuration("own-monitor"));
  fs::rename(path("count.raw"), path("away"));
  expect_refused("count.raw is not there");
  fs::rename(path("away"), path("count.raw"));
  expect_carried();
}

TEST_F(VmmSurroundings, QemuThatFailsAtItsFirstStart) {
  auto config = configuration("own-monitor");
  config["arguments"].push_back("-device");
  config["arguments"].push_back("no-such-device");
  launch(config);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 125) << *status;
  EXPECT_EQ(told()["state"], "ended");
  EXPECT_TRUE(host.list_sessions().empty());
}

TEST_F(VmmSurroundings, HelpersComeBeforeQemuAndEndWithIt) {
  auto config = configuration("own-monitor");
  config["helpers"] =
      json::array({{{"command", {"/bin/sh", "-c", "echo $$ >> helper.pids; exec sleep 1000"}}}});
  run(config);
  const auto pids = [&] {
    std::istringstream lines(text_of(path("helper.pids")));
    return std::vector<pid_t>(std::istream_iterator<pid_t>(lines), {});
  };
  ASSERT_TRUE(host.run_until([&] { return pids().size() == 1; }));
  EXPECT_TRUE(alive(pids().front()));
  expect_carried();
  ASSERT_TRUE(host.run_until([&] { return pids().size() == 2; }));
  EXPECT_FALSE(alive(pids().front()));
  EXPECT_TRUE(alive(pids().back()));
  kill(pids().back(), SIGKILL);
  ASSERT_TRUE(host.run_until([&] { return !alive(pids().back()); }));
  expect_refused("The helper '/bin/sh' has ended");
  expect_disk_good();
}

/// However handover-vmm ends, and whoever they run as.
TEST_F(VmmSurroundings, NobodyOutlivesHandoverVmm) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give QEMU another user";
  auto config = configuration("own-monitor");
  fs::permissions(host.directory().path(), fs::perms::all);
  config["arguments"].push_back("-runas");
  config["arguments"].push_back("nobody");
  config["helpers"] =
      json::array({{{"command", {"/bin/sh", "-c", "echo $$ > helper.pid; exec sleep 1000"}}}});
  run(config);
  ASSERT_TRUE(host.run_until([&] { return !text_of(path("helper.pid")).empty(); }));
  const pid_t guest = qemu_process();
  const pid_t helper = std::stoi(text_of(path("helper.pid")));
  EXPECT_TRUE(alive(guest) && alive(helper));
  vmm->signal(SIGKILL);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(host.run_until([&] { return !alive(guest) && !alive(helper); }));
}

/// Plays qemu-ga.
TEST_F(VmmSurroundings, ClockIsSetThroughTheAgent) {
  const UniqueFd agent(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path("agent").c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(bind(agent.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(agent.get(), 1), 0);

  auto config = configuration("own-monitor");
  config["guest-agent"] = path("agent");
  run(config);
  // At once: handover-vmm does not wait for it for ever.
  std::string heard(4096, '\0');
  UniqueFd caller;
  SourcePtr read;
  const auto accept = host.loop().readable(agent.get(), [&] {
    caller.reset(accept4(agent.get(), nullptr, nullptr, SOCK_CLOEXEC));
    read = host.loop().readable(caller.get(), [&] {
      heard.resize(static_cast<std::size_t>(
          std::max<ssize_t>(0, recv(caller.get(), heard.data(), heard.size(), 0))));
      const std::string answer = "{\"return\": {}}\n";
      EXPECT_EQ(send(caller.get(), answer.data(), answer.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(answer.size()));
      sd_event_source_set_enabled(read.get(), SD_EVENT_OFF);
    });
  });
  expect_carried();
  EXPECT_TRUE(host.run_until([&] { return says("clock was set by its agent"); })) << text_of(log());
  ASSERT_TRUE(caller);
  ASSERT_GT(heard.size(), 1U);
  EXPECT_EQ(heard.front(), '\xff');
  const auto command = json::parse(heard.substr(1));
  EXPECT_EQ(command["execute"], "guest-set-time");
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  const auto asked = command["arguments"]["time"].get<std::int64_t>() / 1'000'000'000;
  EXPECT_LE(asked, now.tv_sec);
  EXPECT_GE(asked, now.tv_sec - 60);
}

}  // namespace
}  // namespace handover::test
