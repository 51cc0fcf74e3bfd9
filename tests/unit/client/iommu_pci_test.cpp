// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "iommu/pci.h"
#include "support/temporary_directory.h"

namespace handover::iommu {
namespace {

namespace fs = std::filesystem;
using test::TemporaryDirectory;

constexpr const char* address = "0000:00:05.0";

/// A /sys with one device.
class Pci : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(device / "iommu_group");
    fs::create_directories(sys / "bus/pci/drivers/nvme");
    fs::create_directories(sys / "bus/pci/drivers/vfio-pci");
  }
  void bind(const char* driver) {
    fs::remove(device / "driver");
    fs::create_symlink(sys / "bus/pci/drivers" / driver, device / "driver");
  }
  /// "" if it can be had.
  std::string refusal(const std::vector<std::string>& take_from = {}) {
    auto free = pci().check(take_from);
    return free ? "" : free.error().message;
  }
  PciDevice pci() { return PciDevice(address, sys.string()); }

  TemporaryDirectory directory;
  fs::path sys = directory.path("sys");
  fs::path device = sys / "bus/pci/devices" / address;
};

TEST_F(Pci, Addresses) {
  for (const char* good : {"0000:00:05.0", "0000:ff:1f.7", "10000:00:00.0"}) {
    EXPECT_TRUE(is_pci_address(good)) << good;
  }
  for (const char* bad : {"", "00:05.0", "0000:00:05.8", "0000:00:25.0", "0000:00:05",
                          "0000:00:05.0 ", "../0000:00:05.0", "0000:0A:05.0"}) {
    EXPECT_FALSE(is_pci_address(bad)) << bad;
  }
}

TEST_F(Pci, AFreeOneCanBeHad) {
  EXPECT_EQ(refusal(), "");
  bind("vfio-pci");
  EXPECT_EQ(refusal(), "");
  EXPECT_TRUE(pci().bind_to_vfio());  // it is already
}

TEST_F(Pci, AnotherDriverIsNamedUnlessItMayBeTakenFrom) {
  bind("nvme");
  EXPECT_EQ(pci().driver(), "nvme");
  EXPECT_NE(refusal().find("'nvme'"), std::string::npos);
  EXPECT_NE(refusal({"virtio-pci"}).find("'nvme'"), std::string::npos);
  EXPECT_EQ(refusal({"nvme"}), "");
}

TEST_F(Pci, OneThatIsGoneOrWithoutIommu) {
  fs::remove(device / "iommu_group");
  EXPECT_NE(refusal().find("no IOMMU"), std::string::npos);
  fs::remove_all(device);
  EXPECT_NE(refusal().find("not there"), std::string::npos);
}

TEST_F(Pci, FindsItsVfioFile) {
  EXPECT_FALSE(pci().vfio_name());
  fs::create_directories(device / "vfio-dev/vfio3");
  EXPECT_EQ(*pci().vfio_name(), "vfio3");
}

}  // namespace
}  // namespace handover::iommu
