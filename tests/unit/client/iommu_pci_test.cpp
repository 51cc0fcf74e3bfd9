// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

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

  /// The kernel's part when a driver is asked to let the device go: its link is gone before anybody
  /// can ask for another driver.
  class Unbinding {
   public:
    Unbinding(const Pci& of, const char* driver)
        : unbind_(of.sys / "bus/pci/drivers" / driver / "unbind"),
          probe_(of.sys / "bus/pci/drivers_probe"),
          link_(of.device / "driver") {
      // Who opens one for writing waits for us to read.
      EXPECT_EQ(mkfifo(unbind_.c_str(), 0600), 0);
      EXPECT_EQ(mkfifo(probe_.c_str(), 0600), 0);
      kernel_ = std::thread([this] {
        std::string name;
        std::getline(std::ifstream(unbind_), name);
        fs::remove(link_);
        std::getline(std::ifstream(probe_), name);
      });
    }
    ~Unbinding() {
      // Whom nobody asked does not wait for ever: a line for each, and an end that stays open.
      std::fstream unbind(unbind_);
      std::fstream probe(probe_);
      unbind << "\n" << std::flush;
      probe << "\n" << std::flush;
      kernel_.join();
    }
    Unbinding(const Unbinding&) = delete;
    Unbinding& operator=(const Unbinding&) = delete;

   private:
    fs::path unbind_;
    fs::path probe_;
    fs::path link_;
    std::thread kernel_;
  };
};

/// Which of some files were written to, in this order. Two of one file behind each other are one
/// (inotify(7)).
class Writes {
 public:
  explicit Writes(const std::vector<fs::path>& files) {
    for (const auto& file : files) {
      names_[inotify_add_watch(inotify_.get(), file.c_str(), IN_CLOSE_WRITE)] = file;
    }
  }
  [[nodiscard]] std::vector<fs::path> so_far() const {
    std::vector<fs::path> written;
    inotify_event event{};  // a file's events have no name behind them
    while (read(inotify_.get(), &event, sizeof event) == sizeof event) {
      written.push_back(names_.at(event.wd));
    }
    return written;
  }

 private:
  client::Fd inotify_{inotify_init1(IN_CLOEXEC | IN_NONBLOCK)};
  std::map<int, fs::path> names_;
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

/// B44: the fake's driver stays, as a kernel's does that has no vfio-pci to ask.
TEST_F(Pci, ItsDriverHasItAgainWhenVfioDoesNotTakeIt) {
  const auto written = [&](const fs::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  bind("nvme");
  std::ofstream(device / "driver_override");
  std::ofstream(sys / "bus/pci/drivers/nvme/unbind");
  std::ofstream(sys / "bus/pci/drivers/nvme/bind");
  std::ofstream(sys / "bus/pci/drivers_probe");
  auto bound = pci().bind_to_vfio();
  ASSERT_FALSE(bound);
  EXPECT_NE(bound.error().message.find("does not take the device"), std::string::npos)
      << bound.error().message;
  EXPECT_EQ(written(sys / "bus/pci/drivers/nvme/unbind"), address);
  EXPECT_EQ(written(sys / "bus/pci/drivers_probe"), address);
  EXPECT_EQ(written(device / "driver_override"), "\n");
}

/// An operator who has just asked for a driver must not lose his wish to us.
TEST_F(Pci, WhatSomebodyElseWishedForStays) {
  std::ofstream(device / "driver_override") << "vfio-pci\n";
  std::ofstream(sys / "bus/pci/drivers_probe");
  ASSERT_FALSE(pci().bind_to_vfio());
  std::string wish;
  std::getline(std::ifstream(device / "driver_override"), wish);
  EXPECT_EQ(wish, "vfio-pci");
  std::ofstream(device / "driver_override") << "(null)\n";
  ASSERT_FALSE(pci().bind_to_vfio());
  std::getline(std::ifstream(device / "driver_override"), wish);
  EXPECT_EQ(wish, "");
}

/// The kernel lets no driver have a device that is reserved for another one.
TEST_F(Pci, ItsDriverIsAskedBeforeTheWishIsPutBack) {
  bind("nvme");
  const auto wish = device / "driver_override";
  const auto bind_again = sys / "bus/pci/drivers/nvme/bind";
  std::ofstream(wish) << "vfio-pci\n";
  const std::ofstream there(bind_again);
  const Unbinding kernel(*this, "nvme");
  const auto probe = sys / "bus/pci/drivers_probe";
  const Writes writes({wish, probe, bind_again});
  EXPECT_FALSE(pci().bind_to_vfio());
  EXPECT_EQ(writes.so_far(), (std::vector<fs::path>{wish, probe, wish, bind_again, wish}));
  std::string reserved_for;
  std::getline(std::ifstream(wish), reserved_for);
  EXPECT_EQ(reserved_for, "vfio-pci");
}

/// It was let go, and its driver is asked to take it again.
TEST_F(Pci, ItsDriverIsAskedForAndItsRefusalIsTold) {
  bind("nvme");
  std::ofstream(device / "driver_override");
  std::ofstream(sys / "bus/pci/drivers/nvme/bind");
  const Unbinding kernel(*this, "nvme");
  auto bound = pci().bind_to_vfio();
  ASSERT_FALSE(bound);
  EXPECT_NE(bound.error().message.find("its driver 'nvme' does not have it again"),
            std::string::npos)
      << bound.error().message;
}

TEST_F(Pci, FindsItsVfioFile) {
  EXPECT_FALSE(pci().vfio_name());
  fs::create_directories(device / "vfio-dev/vfio3");
  EXPECT_EQ(*pci().vfio_name(), "vfio3");
}

}  // namespace
}  // namespace handover::iommu
