// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pci.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <regex>

#include "common/file.h"

namespace handover::iommu {
namespace {

constexpr const char* vfio_pci = "vfio-pci";

}  // namespace

bool is_pci_address(std::string_view text) {
  static const std::regex form("[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]");
  return std::regex_match(text.begin(), text.end(), form);
}

PciDevice::PciDevice(std::string address, std::string sys)
    : address_(std::move(address)),
      sys_(std::move(sys)),
      directory_(sys_ + "/bus/pci/devices/" + address_) {}

std::string PciDevice::driver() const {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(directory_ + "/driver", error);
  return error ? "" : target.filename().string();
}

client::Result<void> PciDevice::check(const std::vector<std::string>& take_from) const {
  const auto refuse = [&](const std::string& why, int code) {
    return client::Error{"", "The device " + address_ + " " + why, code};
  };
  std::error_code error;
  if (!std::filesystem::exists(directory_, error)) return refuse("is not there.", ENODEV);
  if (!std::filesystem::exists(directory_ + "/iommu_group", error)) {
    return refuse("has no IOMMU: boot with one switched on (intel_iommu=on, say).", ENODEV);
  }
  const std::string user = driver();
  if (user.empty() || user == vfio_pci) return {};
  if (std::find(take_from.begin(), take_from.end(), user) != take_from.end()) return {};
  return refuse(
      "is in use by the driver '" + user + "': unbind it, or name that driver in \"take-from\".",
      EBUSY);
}

client::Result<void> PciDevice::bind_to_vfio() {
  const std::string before = driver();
  if (before == vfio_pci) return {};
  const std::string override_before = driver_override();
  auto bound = take_from(before);
  if (bound) return {};
  auto error = bound.error();
  if (const auto why = give_back_to(before, override_before); !why.empty()) {
    error.message += " " + why;
  }
  return error;
}

client::Result<void> PciDevice::take_from(const std::string& before) {
  if (auto set = write(directory_ + "/driver_override", vfio_pci); !set) return set;
  if (!before.empty()) {
    if (auto left = write(directory_ + "/driver/unbind", address_); !left) return left;
  }
  if (auto probed = write(sys_ + "/bus/pci/drivers_probe", address_); !probed) return probed;
  if (driver() == vfio_pci) return {};
  return client::Error{"",
                       "The driver vfio-pci does not take the device " + address_ +
                           ": the kernel log says why (is the module vfio-pci loaded?).",
                       ENODEV};
}

std::string PciDevice::driver_override() const {
  std::ifstream file(directory_ + "/driver_override");
  std::string name;
  std::getline(file, name);
  // The kernel prints a null pointer where nobody has asked for a driver.
  return name == "(null)" ? "" : name;
}

std::string PciDevice::give_back_to(const std::string& before,
                                    const std::string& override_before) const {
  // An empty line is no driver: each may have the device that knows it.
  const auto override_file = directory_ + "/driver_override";
  if (auto cleared = write(override_file, "\n"); !cleared) {
    return "And it stays reserved for vfio-pci: " + cleared.error().message;
  }
  std::string why;
  if (!before.empty() && driver() != before) {
    auto bound = write(sys_ + "/bus/pci/drivers/" + before + "/bind", address_);
    if (!bound || driver() != before) {
      why = "And its driver '" + before + "' does not have it again" +
            (bound ? "." : ": " + bound.error().message);
    }
  }
  // Somebody else may be at the same device, with a wish of his own.
  if (!override_before.empty()) {
    if (auto put = write(override_file, override_before + "\n"); !put) {
      why += (why.empty() ? "And " : " And ") + put.error().message;
    }
  }
  return why;
}

client::Result<std::string> PciDevice::vfio_name() const {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ + "/vfio-dev", error)) {
    return entry.path().filename().string();
  }
  return client::Error{"",
                       "The device " + address_ +
                           " has no file in /dev/vfio/devices: the kernel was built without "
                           "CONFIG_VFIO_DEVICE_CDEV.",
                       ENODEV};
}

client::Result<void> PciDevice::write(const std::string& path, const std::string& value) const {
  const client::Fd file(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!file) return common::errno_error("Cannot open " + path);
  if (::write(file.get(), value.data(), value.size()) < 0) {
    return common::errno_error("Cannot write '" + value + "' to " + path);
  }
  return {};
}

}  // namespace handover::iommu
