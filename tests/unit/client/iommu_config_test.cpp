// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "iommu/config.h"

namespace handover::iommu {
namespace {

using nlohmann::json;

json good() {
  return json::parse(R"({
    "device": "0000:00:05.0",
    "memory": [{"name": "a", "size": "1M"}, {"name": "b", "inherited": true}],
    "mappings": [{"iova": "0x100000", "length": "64K", "memory": "a"},
                 {"iova": 4096, "length": 4096, "offset": "0x2000", "memory": "b",
                  "rights": "write"}]
  })");
}

/// The line of the refusal; "" if there was none.
std::string refusal(const json& document) {
  auto config = parse_config(document.dump(), "c.json");
  return config ? "" : config.error().message;
}

std::string with(const char* pointer, const json& value) {
  auto document = good();
  document[json::json_pointer(pointer)] = value;
  return refusal(document);
}

TEST(IommuConfig, AllOfIt) {
  auto document = good();
  document.update(json::parse(R"({
    "take-from": ["nvme"], "iova": {"first": "0x1000", "last": "0xfffffff"},
    "most-mappings": 5, "device-wait-seconds": 0.5, "command": ["driver", "x"],
    "needs": ["m"], "optional": true, "backend": "luo", "freeze": "signal:USR1",
    "user": "nobody", "group": "daemon", "notify": true, "on-failure": "discard",
    "wait-for": ["/srv", "link:br0"],
    "wait-seconds": 1, "prepare-seconds": 2, "freeze-seconds": 3, "restore-seconds": 4.25
  })"));
  auto config = parse_config(document.dump(), "c.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->device, "0000:00:05.0");
  EXPECT_EQ(config->take_from, std::vector<std::string>{"nvme"});
  EXPECT_EQ(config->memories, (std::vector<Memory>{{"a", 1U << 20, 16}, {"b", 0, 0}}));
  EXPECT_EQ(config->iova, (Range{0x1000, 0xfffffff}));
  EXPECT_EQ(config->mappings,
            (std::vector<Mapping>{{0x100000, 0x10000, 0, 0, right_read | right_write},
                                  {0x1000, 0x1000, 0x2000, 1, right_write}}));
  EXPECT_EQ(config->most_mappings, 5U);
  EXPECT_EQ(config->device_wait_usec, 500'000U);
  EXPECT_EQ(config->keeper.command, (std::vector<std::string>{"driver", "x"}));
  EXPECT_EQ(config->keeper.needs, std::vector<std::string>{"m"});
  EXPECT_TRUE(config->keeper.optional);
  EXPECT_EQ(config->keeper.backend, "luo");
  EXPECT_EQ(config->keeper.user, "nobody");
  EXPECT_EQ(config->keeper.group, "daemon");
  EXPECT_TRUE(config->keeper.notify);
  EXPECT_FALSE(config->keeper.keep_on_failure);
  EXPECT_EQ(config->keeper.wait_for,
            (std::vector<common::WaitFor>{{common::WaitFor::Kind::path, "/srv"},
                                          {common::WaitFor::Kind::link, "br0"}}));
  EXPECT_EQ(config->keeper.freeze.kind, common::FreezeMethod::Kind::signal);
  EXPECT_EQ(config->keeper.restore_timeout_usec, 4'250'000U);
}

TEST(IommuConfig, WhatIsWrongIsNamed) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {with("/device", "05.0"), "/device"},
      {with("/device", 5), "/device must be a string"},
      {with("/color", 1), "/color is unknown"},
      {with("/on-failure", "lose"), "/on-failure must be keep or discard"},
      {with("/wait-for", json::array({"srv"})), "/wait-for is wrong: Cannot wait for 'srv'"},
      {with("/wait-for", "/srv"), "/wait-for"},
      {with("/notify", "yes"), "/notify"},
      {with("/memory", json::array()), "/memory"},
      {with("/memory/0/size", "12"), "/memory/0/size"},
      {with("/memory/0/size", "1X"), "/memory/0/size"},
      {with("/memory/0/size", -1), "/memory/0/size"},
      {with("/memory/0/name", "device"), "/memory/0/name"},
      {with("/memory/0/name", "a:b"), "/memory/0/name"},
      {with("/memory/1/name", "a"), "/memory"},
      {with("/memory/1/size", "1M"), "/memory/1/size"},
      {with("/memory/0/inherited", 1), "/memory/0/inherited"},
      {with("/iova", json{{"first", 2}, {"last", 1}}), "/iova/last"},
      {with("/iova", json{{"last", 0x100fff}}), "/mappings/0"},
      {with("/mappings/0/memory", "c"), "/mappings/0/memory"},
      {with("/mappings/0/rights", "x"), "/mappings/0/rights"},
      {with("/mappings/0/iova", "0x100001"), "/mappings/0"},
      {with("/mappings/0/iova", "1M"), "/mappings/0/iova"},
      {with("/mappings/0/length", "2M"), "/mappings/0"},
      {with("/mappings/1/iova", "0x10f000"), "/mappings/1"},
      {with("/most-mappings", 1), "/mappings"},
      {with("/most-mappings", 0), "/most-mappings"},
      {with("/most-mappings", 1.5), "/most-mappings"},
      {with("/freeze", "ice"), "/freeze"},
      {with("/freeze-seconds", -1), "/freeze-seconds"},
      {with("/command", "x"), "/command"},
      {with("/needs", json::array({1})), "/needs"},
      {refusal(json::array()), "must be an object"},
  };
  for (const auto& [line, word] : cases) {
    EXPECT_NE(line.find(word), std::string::npos) << "'" << line << "' lacks '" << word << "'";
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(IommuConfig, EveryRequiredFieldIsMissed) {
  for (const char* pointer : {"/device", "/memory", "/memory/0/name", "/memory/0/size",
                              "/mappings/0/iova", "/mappings/0/length", "/mappings/0/memory"}) {
    const json::json_pointer at(pointer);
    auto document = good();
    document[at.parent_pointer()].erase(at.back());
    EXPECT_NE(refusal(document).find(pointer), std::string::npos) << pointer;
  }
}

TEST(IommuConfig, NoJsonIsRefusedByItsLine) {
  auto config = parse_config("{\n\"device\": \"0000:00:05.0\",\n,\n}", "c.json");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message.substr(0, 9), "c.json:3:") << config.error().message;
}

}  // namespace
}  // namespace handover::iommu
