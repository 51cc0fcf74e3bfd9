// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "vmm/config.h"

namespace handover::vmm {
namespace {

using nlohmann::json;

std::string refused(const std::string& text) {
  auto config = parse_config(text, "g.json");
  return config ? "" : config.error().message;
}

TEST(VmmConfig, DefaultsAndAll) {
  auto least = parse_config(R"({"memory": "256M"} // the rest is as usual)", "g.json");
  ASSERT_TRUE(least) << least.error().message;
  EXPECT_EQ(least->memory, 256U << 20);
  EXPECT_EQ(least->qemu, "qemu-system-x86_64");
  EXPECT_EQ(least->state, 32U << 20);
  EXPECT_EQ(least->backend, "");
  EXPECT_FALSE(least->optional);

  auto all = parse_config(R"({
    "memory": "4G", "hugepages": "2M", "backend": "tracker", "qemu": "/opt/qemu",
    "arguments": ["-machine", "q35", ""], "needs": ["storage"], "state": "64M", "optional": true,
    "user": "qemu", "group": "kvm",
    "wait-for": ["/srv/db.img", "link:br0"], "guest-agent": "/run/agent",
    "helpers": [{"command": ["swtpm", "socket"]}, {"command": ["passt"]}],
    "limits": {"start": 1, "command": 0.5, "prepare": 2, "freeze": 3, "restore": 4, "shutdown": 5}
  })",
                          "g.json");
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(all->hugepages, 2U << 20);
  EXPECT_EQ(all->backend, "tracker");
  EXPECT_EQ(all->qemu, "/opt/qemu");
  EXPECT_EQ(all->arguments, (std::vector<std::string>{"-machine", "q35", ""}));
  EXPECT_EQ(all->needs, std::vector<std::string>{"storage"});
  EXPECT_TRUE(all->optional);
  EXPECT_EQ(all->wait_for,
            (std::vector<common::WaitFor>{{common::WaitFor::Kind::path, "/srv/db.img"},
                                          {common::WaitFor::Kind::link, "br0"}}));
  EXPECT_EQ(all->guest_agent, "/run/agent");
  EXPECT_EQ(all->user, "qemu");
  EXPECT_EQ(all->group, "kvm");
  EXPECT_EQ(all->helpers, (std::vector<std::vector<std::string>>{{"swtpm", "socket"}, {"passt"}}));
  EXPECT_EQ(all->limits.command, 500'000U);
  EXPECT_EQ(all->limits.shutdown, 5'000'000U);
}

TEST(VmmConfig, NoJsonNamesTheLine) {
  EXPECT_EQ(refused("{\n\"memory\": \"1M\",\n oops}").substr(0, 9), "g.json:3:");
  EXPECT_EQ(refused("").substr(0, 9), "g.json:1:");
}

TEST(VmmConfig, AWrongFieldIsNamedInOneLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "object"},
      {"{}", "/memory "},
      {R"({"memory": 256})", "/memory "},
      {R"({"memory": "256"})", "/memory "},
      {R"({"memory": "1500K"})", "/memory "},
      {R"({"memory": "0"})", "/memory "},
      {R"({"memory": "3M", "hugepages": "2M"})", "/memory "},
      {R"({"memory": "4M", "hugepages": "4M"})", "/hugepages "},
      {R"({"memory": "4M", "hugepages": true})", "/hugepages "},
      {R"({"memory": "4M", "hugepages": "2M", "backend": "luo"})", "/backend "},
      {R"({"memory": "4M", "backend": "emulated"})", "/backend "},
      {R"({"memory": "4M", "state": "100K"})", "/state "},
      {R"({"memory": "4M", "qemu": ""})", "/qemu "},
      {R"({"memory": "4M", "arguments": "-smp 2"})", "/arguments "},
      {R"({"memory": "4M", "arguments": ["-smp", 2]})", "/arguments "},
      {R"({"memory": "4M", "arguments": ["-m", "2G"]})", "'-m'"},
      {R"({"memory": "4M", "needs": ["a/b"]})", "/needs "},
      {R"({"memory": "4M", "optional": 1})", "/optional "},
      {R"({"memory": "4M", "arguments": ["-snapshot"]})", "'-snapshot'"},
      {R"({"memory": "4M", "wait-for": "/x"})", "/wait-for "},
      {R"({"memory": "4M", "wait-for": ["x"]})", "/wait-for "},
      {R"({"memory": "4M", "guest-agent": ""})", "/guest-agent "},
      {R"({"memory": "4M", "helpers": ["swtpm"]})", "/helpers/0"},
      {R"({"memory": "4M", "helpers": [{}]})", "/helpers/0/command "},
      {R"({"memory": "4M", "helpers": [{"command": []}]})", "/helpers/0/command "},
      {R"({"memory": "4M", "helpers": [{"command": [""]}]})", "/helpers/0/command "},
      {R"({"memory": "4M", "helpers": [{"command": ["x"], "y": 1}]})", "/helpers/0/y "},
      {R"({"memory": "4M", "limits": []})", "limits"},
      {R"({"memory": "4M", "limits": {"freeze": 0}})", "/limits/freeze "},
      {R"({"memory": "4M", "limits": {"freeze": "3"}})", "/limits/freeze "},
      {R"({"memory": "4M", "limits": {"thaw": 3}})", "/limits/thaw "},
      {R"({"memory": "4M", "memroy": "5M"})", "/memroy "},
  };
  for (const auto& [text, named] : cases) {
    const std::string message = refused(text);
    EXPECT_NE(message.find(named), std::string::npos) << text << ": " << message;
    EXPECT_EQ(message.substr(0, 6), "g.json") << text << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(VmmConfig, AnUnknownFieldTellsWhichThereAre) {
  EXPECT_NE(refused(R"({"memory": "4M", "ram": 1})").find("hugepages"), std::string::npos);
}

TEST(VmmConfig, AFileThatIsNotThere) {
  auto config = read_config("/no/such/file");
  ASSERT_FALSE(config);
  EXPECT_NE(config.error().message.find("/no/such/file"), std::string::npos);
}

}  // namespace
}  // namespace handover::vmm
