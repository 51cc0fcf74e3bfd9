// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <functional>

#include "vmm/inventory.h"

namespace handover::vmm {
namespace {

using nlohmann::json;

/// As QEMU 7.2 and 10.0 answer, shortened: an IDE disk, a CD, one device of each kind.
Answers usual() {
  Answers answers;
  answers.nodes = json::parse(R"([
    {"node-name": "#block394", "drv": "raw", "file": "a.iso", "ro": true},
    {"node-name": "#block277", "drv": "file", "file": "a.iso", "ro": true},
    {"node-name": "#block186", "drv": "qcow2", "file": "d.qcow2", "ro": false,
     "backing_file": "base.qcow2"},
    {"node-name": "#block072", "drv": "file", "file": "d.qcow2", "ro": false},
    {"node-name": "#block073", "drv": "qcow2", "file": "base.qcow2", "ro": true},
    {"node-name": "named0", "drv": "raw", "file": "other.raw", "ro": false}])");
  answers.drives = json::parse(R"([
    {"device": "d0", "qdev": "/machine/unattached/device[19]",
     "inserted": {"file": "d.qcow2", "iops": 0, "bps": 0}},
    {"device": "cd0", "qdev": "cdx", "tray_open": false, "inserted": {"file": "a.iso"}},
    {"device": "", "qdev": "/machine/peripheral/v/virtio-backend",
     "inserted": {"file": "other.raw", "iops": 100}}])");
  answers.jobs = json::array();
  answers.exports = json::array();
  answers.peripheral = json::parse(R"([{"name": "type", "type": "string"},
    {"name": "cdx", "type": "child<ide-cd>"}, {"name": "v", "type": "child<virtio-blk-pci>"}])");
  answers.anonymous = json::parse(R"([{"name": "type", "type": "string"},
    {"name": "device[0]", "type": "child<virtio-rng-pci>"}])");
  answers.objects = json::parse(R"([{"name": "type", "type": "string"},
    {"name": "handover-ram", "type": "child<memory-backend-file>"}])");
  answers.cpus = json::parse(R"([{"qom-path": "/machine/unattached/device[0]", "cpu-index": 0,
    "props": {"core-id": 0, "thread-id": 0, "socket-id": 0}}])");
  answers.memory = json::array();
  return answers;
}

std::vector<std::string> changed(const std::function<void(Answers&)>& change) {
  auto now = usual();
  change(now);
  return obstacles(inventory_of(usual()), inventory_of(now));
}

/// The one sentence, which names what it should.
void expect_one(const std::function<void(Answers&)>& change, const std::string& part) {
  const auto found = changed(change);
  ASSERT_EQ(found.size(), 1U) << part << ": " << (found.empty() ? "" : found.back());
  EXPECT_NE(found.front().find(part), std::string::npos) << found.front();
  EXPECT_EQ(found.front().back(), '.') << found.front();
  EXPECT_EQ(found.front().find('\n'), std::string::npos);
}

TEST(VmmInventory, NothingChanged) {
  EXPECT_TRUE(changed([](Answers&) {}).empty());
  EXPECT_EQ(inventory_of(usual()), inventory_of(usual()));
  const auto inventory = inventory_of(usual());
  EXPECT_EQ(inventory.devices.size(), 3U);
  EXPECT_EQ(inventory.cpus.at("/machine/unattached/device[0]"), "socket 0, core 0, thread 0");
  EXPECT_EQ(inventory.drives.at("d0").file, "d.qcow2");
}

TEST(VmmInventory, Jobs) {
  expect_one(
      [](Answers& now) {
        now.jobs = {{{"id", "j0"}, {"type", "mirror"}, {"status", "running"}}};
      },
      "The job 'j0' (mirror)");
  for (const char* over : {"concluded", "null"}) {
    EXPECT_TRUE(changed([&](Answers& now) {
                  now.jobs = {{{"id", "j0"}, {"type", "mirror"}, {"status", over}}};
                }).empty());
  }
  // One that was there from the start is one, too.
  auto start = usual();
  start.jobs = {{{"id", "j0"}, {"type", "stream"}, {"status", "running"}}};
  EXPECT_EQ(obstacles(inventory_of(start), inventory_of(start)).size(), 1U);
}

TEST(VmmInventory, DriveOnAnotherFile) {
  expect_one([](Answers& now) { now.drives[0]["inserted"]["file"] = "snap.qcow2"; },
             "The drive 'd0' has 'snap.qcow2' now, and the next QEMU would go on with 'd.qcow2'");
  expect_one([](Answers& now) { now.drives[1].erase("inserted"); },
             "The drive 'cd0' has no medium now, and the next QEMU would go on with 'a.iso'");
  auto start = usual();
  start.drives[1].erase("inserted");
  const auto found = obstacles(inventory_of(start), inventory_of(usual()));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("would go on with no medium"), std::string::npos) << found[0];
}

TEST(VmmInventory, TheGuestMayOpenItsTray) {
  EXPECT_TRUE(changed([](Answers& now) { now.drives[1]["tray_open"] = true; }).empty());
}

TEST(VmmInventory, DrivesThatCameAndWent) {
  expect_one(
      [](Answers& now) {
        now.drives.push_back({{"device", "d9"}, {"inserted", {{"file", "x.raw"}}}});
      },
      "The drive 'd9' (x.raw) came after the start");
  expect_one([](Answers& now) { now.drives.erase(0); }, "The drive 'd0' (d.qcow2) is not there");
}

TEST(VmmInventory, Limits) {
  expect_one([](Answers& now) { now.drives[0]["inserted"]["iops"] = 5; },
             "The I/O limits of the drive 'd0'");
  expect_one([](Answers& now) { now.drives[2]["inserted"].erase("iops"); },
             "The I/O limits of the drive '/machine/peripheral/v/virtio-backend'");
}

TEST(VmmInventory, Nodes) {
  expect_one(
      [](Answers& now) {
        now.nodes.push_back({{"node-name", "target"}, {"drv", "raw"}, {"file", "t.raw"}});
      },
      "The block node 'target' (t.raw) came after the start");
  expect_one(
      [](Answers& now) {
        now.nodes.push_back({{"node-name", "#block9"}, {"drv", "qcow2"}, {"file", "snap.qcow2"}});
      },
      "The image 'snap.qcow2' (qcow2) came after the start");
  expect_one([](Answers& now) { now.nodes.erase(5); },
             "The block node 'named0' (other.raw) is not there any more");
}

/// A medium that was changed, and changed back: QEMU's names for it are new.
TEST(VmmInventory, NamesThatNobodyGaveDoNotCount) {
  EXPECT_TRUE(changed([](Answers& now) {
                now.nodes[0]["node-name"] = "#block800";
                now.nodes[1]["node-name"] = "#block801";
              }).empty());
}

/// block-stream and block-commit: the image that is left says by itself what is below it.
TEST(VmmInventory, ABackingFileThatWasMergedAway) {
  EXPECT_TRUE(changed([](Answers& now) {
                now.nodes.erase(4);
                now.nodes[2].erase("backing_file");
              }).empty());
}

TEST(VmmInventory, WhatWouldBeGone) {
  const auto bitmap = [](const char* name, bool persistent) {
    return [=](Answers& now) {
      now.nodes[2]["dirty-bitmaps"] = {{{"name", name}, {"persistent", persistent}}};
    };
  };
  expect_one(bitmap("b0", false), "The dirty bitmap 'b0' of 'd.qcow2'");
  EXPECT_TRUE(changed(bitmap("b0", true)).empty());
  EXPECT_TRUE(changed(bitmap("", false)).empty()) << "QEMU's own";

  auto start = usual();
  start.nodes.push_back(
      {{"node-name", "f"}, {"drv", "vvfat"}, {"file", "fat:rw:x"}, {"ro", false}});
  EXPECT_EQ(obstacles(inventory_of(start), inventory_of(start)).size(), 1U);
  start.nodes.back()["ro"] = true;
  EXPECT_TRUE(obstacles(inventory_of(start), inventory_of(start)).empty());
}

TEST(VmmInventory, Devices) {
  expect_one(
      [](Answers& now) {
        now.peripheral.push_back({{"name", "rng0"}, {"type", "child<virtio-rng-pci>"}});
      },
      "The device 'rng0' (virtio-rng-pci) came after the start");
  expect_one(
      [](Answers& now) {
        now.anonymous.push_back({{"name", "device[1]"}, {"type", "child<e1000>"}});
      },
      "The device '/machine/peripheral-anon/device[1]' (e1000) came after the start");
  expect_one([](Answers& now) { now.peripheral.erase(1); },
             "The device 'cdx' (ide-cd) is not there any more");
  const auto other = changed([](Answers& now) { now.peripheral[1]["type"] = "child<ide-hd>"; });
  ASSERT_FALSE(other.empty());
  EXPECT_NE(other[0].find("'cdx' (ide-hd) came"), std::string::npos) << other[0];
}

TEST(VmmInventory, Processors) {
  const auto plug = [](Answers& now) {
    now.peripheral.push_back({{"name", "cpu1"}, {"type", "child<qemu64-x86_64-cpu>"}});
    now.cpus.push_back({{"qom-path", "/machine/peripheral/cpu1"},
                        {"props", {{"socket-id", 1}, {"core-id", 0}, {"thread-id", 0}}}});
  };
  expect_one(plug, "The processor 'cpu1' (socket 1, core 0, thread 0) came after the start");
  auto start = usual();
  plug(start);
  const auto found = obstacles(inventory_of(start), inventory_of(usual()));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("The processor 'cpu1'"), std::string::npos) << found[0];
}

TEST(VmmInventory, MemoryObjectsExports) {
  expect_one(
      [](Answers& now) {
        now.memory = {{{"type", "dimm"}, {"data", {{"id", "dimm0"}}}}};
      },
      "The memory 'dimm0' (dimm) came after the start");
  expect_one(
      [](Answers& now) {
        now.objects.push_back({{"name", "key"}, {"type", "child<secret>"}});
      },
      "The object 'key' (secret) came after the start");
  expect_one(
      [](Answers& now) {
        now.exports = {{{"id", "e0"}, {"type", "nbd"}, {"node-name", "d0"}}};
      },
      "The export 'e0' (nbd of d0) came after the start");
}

TEST(VmmInventory, TheJobComesFirst) {
  const auto found = changed([](Answers& now) {
    now.nodes.push_back({{"node-name", "target"}, {"drv", "raw"}, {"file", "t.raw"}});
    now.jobs = {{{"id", "j0"}, {"type", "backup"}, {"status", "running"}}};
  });
  ASSERT_EQ(found.size(), 2U);
  EXPECT_NE(found[0].find("'j0'"), std::string::npos);
}

/// Whatever QEMU says is taken as far as it goes.
TEST(VmmInventory, StrangeAnswers) {
  for (const auto& strange :
       {json(), json(7), json("x"), json::array({7, nullptr, "x"}), json::array({json::object()}),
        json{{"device", 1}}, json::parse(R"([{"device": [], "inserted": 7, "type": "child<",
                                              "dirty-bitmaps": 3, "props": [], "data": 1}])")}) {
    const Answers answers{strange, strange, strange, strange, strange,
                          strange, strange, strange, strange};
    const auto inventory = inventory_of(answers);
    EXPECT_EQ(inventory, inventory_of(answers)) << strange;
  }
}

}  // namespace
}  // namespace handover::vmm
