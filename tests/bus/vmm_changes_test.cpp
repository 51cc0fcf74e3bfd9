// SPDX-License-Identifier: LGPL-2.1-or-later
// Guests that were changed over a monitor of the operator's own: what the next QEMU would not have
// is a veto that names it, and once it is undone the update goes.
#include <gtest/gtest.h>

#include <filesystem>

#include "shared_folder.h"
#include "vmm_client.h"

namespace handover::test {
namespace {

using nlohmann::json;

class VmmChanges : public VmmClient {};

/// A backup tool's snapshot: with the old image under it, the guest would find its disk gone back.
TEST_F(VmmChanges, DiskOnASnapshot) {
  run(configuration("own-monitor"));
  expect_disk_good();
  EXPECT_EQ(own("blockdev-snapshot-sync",
                {{"device", "d0"}, {"snapshot-file", host.directory().path("snap.qcow2")}}),
            json::object());
  expect_refused("snap.qcow2' now, and the next QEMU would go on with 'count.raw'");
  expect_disk_good();
}

/// QEMU says so itself, and says no more once the guest has unmounted it.
TEST_F(VmmChanges, ShareThatTheGuestHasMounted) {
  auto config = configuration("own-monitor");
  std::filesystem::create_directory(host.directory().path("share"));
  for (const char* argument :
       {"-virtfs", "local,path=share,mount_tag=photos,security_model=none,id=share0", "-qtest",
        "unix:qtest,server=on,wait=off", "-qtest-log", "/dev/null"}) {
    config["arguments"].push_back(argument);
  }
  run(config);
  expect_disk_good();  // the firmware has done its part
  SharedFolder share(host.directory().path("qtest"));
  share.mount();
  expect_refused("mount_tag 'photos'");
  expect_disk_good();
  share.unmount();
  expect_carried();
  expect_disk_good();
}

/// The tool puts all back into the image, which is as before.
TEST_F(VmmChanges, DiskOffItsSnapshotAgain) {
  run(configuration("own-monitor"));
  own("blockdev-snapshot-sync",
      {{"device", "d0"}, {"snapshot-file", host.directory().path("snap.qcow2")}});
  EXPECT_EQ(own("block-commit", {{"device", "d0"}, {"job-id", "commit0"}}), json::object());
  ASSERT_TRUE(host.run_until([&] {
    const auto jobs = own("query-jobs");
    return !jobs.empty() && jobs[0]["status"] == "ready";
  }));
  expect_refused("The job 'commit0' (commit)");
  EXPECT_EQ(own("block-job-complete", {{"device", "commit0"}}), json::object());
  ASSERT_TRUE(host.run_until([&] { return own("query-jobs").empty(); }));
  expect_disk_good();
  expect_carried();
  expect_disk_good();
}

TEST_F(VmmChanges, JobThatRuns) {
  run(configuration("own-monitor"));
  EXPECT_EQ(own("drive-mirror", {{"device", "d0"},
                                 {"job-id", "backup0"},
                                 {"target", host.directory().path("copy.raw")},
                                 {"format", "raw"},
                                 {"mode", "existing"},
                                 {"sync", "full"},
                                 {"speed", 65536}}),
            json::object());
  expect_refused("The job 'backup0' (mirror)");
  EXPECT_EQ(own("query-jobs").size(), 1U) << "the veto has cost the job";
  EXPECT_EQ(own("block-job-cancel", {{"device", "backup0"}, {"force", true}}), json::object());
  ASSERT_TRUE(host.run_until([&] { return own("query-jobs").empty(); }));
  expect_carried();
  expect_disk_good();
}

TEST_F(VmmChanges, OtherMedium) {
  run(configuration("cdrom"));
  const auto change_to = [&](const char* file) {
    EXPECT_EQ(own("blockdev-change-medium",
                  {{"device", "cd0"}, {"filename", file}, {"format", "raw"}, {"force", true}}),
              json::object());
  };
  change_to("b.iso");
  expect_refused("The drive 'cd0' has 'b.iso' now, and the next QEMU would go on with 'a.iso'");
  EXPECT_EQ(own("eject", {{"device", "cd0"}, {"force", true}}), json::object());
  expect_refused("The drive 'cd0' has no medium now");
  change_to("a.iso");
  expect_carried();
}

TEST_F(VmmChanges, DevicePluggedIn) {
  run(configuration("hotplug-device"));
  EXPECT_EQ(own("device_add", {{"driver", "virtio-rng-pci"}, {"bus", "rp0"}, {"id", "rng7"}}),
            json::object());
  expect_refused("The device 'rng7' (virtio-rng-pci) came after the start");
}

TEST_F(VmmChanges, ProcessorPluggedIn) {
  run(configuration("hotplug-cpu"));
  EXPECT_EQ(own("device_add", {{"driver", "qemu64-x86_64-cpu"},
                               {"id", "cpu7"},
                               {"socket-id", 1},
                               {"core-id", 0},
                               {"thread-id", 0}}),
            json::object());
  expect_refused("The processor 'cpu7' (socket 1, core 0, thread 0) came after the start");
}

TEST_F(VmmChanges, LimitsAndBitmapsAndObjects) {
  run(configuration("own-monitor"));
  const auto limit = [&](int iops) {
    const json arguments = {{"device", "d0"}, {"bps", 0},     {"bps_rd", 0}, {"bps_wr", 0},
                            {"iops", iops},   {"iops_rd", 0}, {"iops_wr", 0}};
    EXPECT_EQ(own("block_set_io_throttle", arguments), json::object());
  };
  limit(1000);
  expect_refused("The I/O limits of the drive 'd0'");
  limit(0);
  EXPECT_EQ(own("block-dirty-bitmap-add", {{"node", "d0"}, {"name", "monday"}}), json::object());
  expect_refused("The dirty bitmap 'monday'");
  EXPECT_EQ(own("block-dirty-bitmap-remove", {{"node", "d0"}, {"name", "monday"}}), json::object());
  EXPECT_EQ(own("object-add", {{"qom-type", "secret"}, {"id", "key7"}, {"data", "x"}}),
            json::object());
  expect_refused("The object 'key7' (secret)");
  EXPECT_EQ(own("object-del", {{"id", "key7"}}), json::object());
  EXPECT_EQ(own("blockdev-add", {{"driver", "raw"},
                                 {"node-name", "target"},
                                 {"file", {{"driver", "file"}, {"filename", "copy.raw"}}}}),
            json::object());
  expect_refused("copy.raw");
  EXPECT_EQ(own("blockdev-del", {{"node-name", "target"}}), json::object());
  expect_carried();
  expect_disk_good();
}

/// Between Prepare and Freeze.
TEST_F(VmmChanges, AreNoticedInTheFreeze) {
  run(configuration("hotplug-device"));
  ASSERT_TRUE(host.prepare().ok());
  ASSERT_TRUE(host.run_until([&] { return host.state() == "prepared"; }));
  own("device_add", {{"driver", "virtio-rng-pci"}, {"bus", "rp0"}, {"id", "rng7"}});
  expect_refused("The device 'rng7' (virtio-rng-pci)");
  EXPECT_EQ(run_state(), "running");
}

}  // namespace
}  // namespace handover::test
