// SPDX-License-Identifier: LGPL-2.1-or-later
// Guests whose QEMU runs as another user, and what that user may not have.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "core/unique_fd.h"
#include "vmm_client.h"

namespace handover::test {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr uid_t nobody = 65534;
constexpr gid_t nogroup = 65534;

class VmmUser : public VmmClient {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can give QEMU another user";
    VmmClient::SetUp();
  }

  /// A guest of user nobody's, who makes sockets in the host's directory; the image is not his yet.
  json guest() {
    auto config = configuration("own-monitor");
    config["qemu"] = qemu;
    fs::permissions(host.directory().path(), fs::perms::all);
    return config;
  }
  json guest_of_user() {
    auto config = guest();
    config["user"] = "nobody";
    return config;
  }
  json guest_with_runas() {
    auto config = guest();
    config["arguments"].push_back("-runas");
    config["arguments"].push_back("nobody");
    return config;
  }
  [[nodiscard]] std::string image() const { return host.directory().path("count.raw"); }
  void give_image(uid_t user) { ASSERT_EQ(chown(image().c_str(), user, 0), 0); }

  /// The four ids of a line of /proc/PID/status are all `id`.
  static void expect_ids(pid_t process, const std::string& line, unsigned id) {
    const auto status = text_of("/proc/" + std::to_string(process) + "/status");
    std::string wanted = "\n" + line + ":";
    for (int i = 0; i < 4; ++i) wanted += "\t" + std::to_string(id);
    EXPECT_NE(status.find(wanted + "\n"), std::string::npos) << status;
  }

  const std::string refusal = "cannot be written by user 'nobody', as whom QEMU runs";
};

TEST_F(VmmUser, GuestAndHelperRunAsTheUser) {
  auto config = guest_of_user();
  config["helpers"] =
      json::array({{{"command", {"/bin/sh", "-c", "echo $$ $HOME > helper; exec sleep 1000"}}}});
  give_image(nobody);
  EXPECT_EQ(check(config), 0) << text_of(log());
  run(config);
  expect_disk_good();
  for (int kernel = 0; kernel < 2; ++kernel) {
    expect_ids(qemu_process(), "Uid", nobody);
    expect_ids(qemu_process(), "Gid", nogroup);
    const auto helper = text_of(host.directory().path("helper"));
    expect_ids(std::stoi(helper), "Uid", nobody);
    EXPECT_NE(helper.find("/nonexistent"), std::string::npos) << "HOME is the user's: " << helper;
    if (kernel == 0) expect_carried();
    expect_disk_good();
  }
  const pid_t process = qemu_process();
  vmm->signal(SIGKILL);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(host.run_until([&] { return !alive(process); }));
}

/// handover-vmm of the new kernel finds a configuration that was changed meanwhile.
TEST_F(VmmUser, TheGuestKeepsTheUserItHad) {
  below();
  auto config = guest_of_user();
  config["needs"] = {"below"};
  give_image(nobody);
  run(config);
  expect_disk_good();
  hold_when_frozen();
  const auto away = host.directory().path("away");
  fs::rename(image(), away);
  below().let_go();
  ASSERT_TRUE(host.run_until([&] { return says("count.raw is not there"); })) << text_of(log());
  vmm->signal(SIGKILL);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  config.erase("user");
  launch(config);
  fs::rename(away, image());
  EXPECT_EQ(host.finished().outcome, "done");
  ASSERT_TRUE(host.run_until([&] { return runs() && preserved(); })) << text_of(log());
  expect_ids(qemu_process(), "Uid", nobody);
  expect_disk_good();
}

TEST_F(VmmUser, ImageOfSomebodyElseIsRefused) {
  const auto config = guest_of_user();
  EXPECT_EQ(check(config), 2);
  EXPECT_TRUE(says(image() + " " + refusal + ".")) << text_of(log());
  launch(config);
  ASSERT_TRUE(host.run_until([&] { return status.has_value(); }));
  EXPECT_TRUE(WIFEXITED(*status) && WEXITSTATUS(*status) == 125) << *status;
  EXPECT_TRUE(host.list_sessions().empty());
}

TEST_F(VmmUser, ImageThatIsTakenAwayIsAVeto) {
  const auto config = guest_of_user();
  give_image(nobody);
  run(config);
  give_image(0);
  expect_refused(image() + " " + refusal);
  give_image(nobody);
  expect_carried();
  expect_disk_good();
}

/// QEMU opens the image as root, and is refused when the guest goes on as the user.
TEST_F(VmmUser, ImageOfRootWithRunas) {
  const auto config = guest_with_runas();
  EXPECT_EQ(check(config), 2);
  EXPECT_TRUE(says(image() + " " + refusal + " (-runas) when the guest goes on."))
      << text_of(log());
  run(config);
  expect_disk_good();
  expect_refused(image() + " " + refusal);
  give_image(nobody);
  EXPECT_EQ(check(config), 0);
  expect_carried();
  expect_disk_good();
}

TEST_F(VmmUser, WhatOnlyRootCanOpenIsNamed) {
  auto config = guest_of_user();
  give_image(nobody);
  const auto with = [&](const std::string& option, const std::string& value) {
    auto more = config;
    more["arguments"].push_back(option);
    more["arguments"].push_back(value);
    return more;
  };
  EXPECT_EQ(check(with("-netdev", "tap,id=n")), 2);
  EXPECT_TRUE(says("A tap of QEMU's own needs root")) << text_of(log());
  EXPECT_EQ(check(with("-netdev", "tap,id=n,ifname=lo,script=no")), 2);
  EXPECT_TRUE(says("The link lo is no tap: make one with")) << text_of(log());
  const auto device = host.directory().path("device");
  ASSERT_EQ(mknod(device.c_str(), S_IFCHR | 0600, 0x0103), 0);
  EXPECT_EQ(check(with("-blockdev", "driver=host_device,node-name=x,filename=" + device)), 2);
  EXPECT_TRUE(says(device + " cannot be written")) << text_of(log());
  fs::permissions(image(), fs::perms::owner_read);
  EXPECT_EQ(check(config), 2);
}

/// A tap is anybody's until it has an owner or a group.
TEST_F(VmmUser, TapOfSomebodyElseIsNamed) {
  const UniqueFd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ifreq request = {};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (tap.get() < 0 || ioctl(tap.get(), TUNSETIFF, &request) < 0) {
    GTEST_SKIP() << "no tap can be made here";
  }
  const std::string name = request.ifr_name;
  auto config = guest_of_user();
  give_image(nobody);
  config["arguments"].push_back("-netdev");
  config["arguments"].push_back("tap,id=n,script=no,ifname=" + name);
  // What it says of /dev/net/tun itself is the host's matter.
  check(config);
  EXPECT_FALSE(says("The tap " + name) || says("The link " + name)) << text_of(log());
  ASSERT_EQ(ioctl(tap.get(), TUNSETOWNER, nobody), 0);
  ASSERT_EQ(ioctl(tap.get(), TUNSETGROUP, nogroup), 0);
  check(config);
  EXPECT_FALSE(says("The tap " + name) || says("The link " + name)) << text_of(log());
  ASSERT_EQ(ioctl(tap.get(), TUNSETGROUP, 1), 0);
  EXPECT_EQ(check(config), 2);
  EXPECT_TRUE(says("The tap " + name + " is not one of user 'nobody'")) << text_of(log());
}

TEST_F(VmmUser, WrongUsers) {
  auto config = guest_of_user();
  config["user"] = "no-such-user";
  EXPECT_EQ(check(config), 2);
  EXPECT_TRUE(says("There is no user 'no-such-user'.")) << text_of(log());
  config = guest_with_runas();
  config["user"] = "nobody";
  EXPECT_EQ(check(config), 2);
  EXPECT_TRUE(says("may not hold '-runas' beside \"user\"")) << text_of(log());
  config = guest();
  config["group"] = "nogroup";
  EXPECT_EQ(check(config), 2);
  EXPECT_TRUE(says("/group is of no use without")) << text_of(log());
}

}  // namespace
}  // namespace handover::test
