// SPDX-License-Identifier: LGPL-2.1-or-later
#include "vfio_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "abi.h"
#include "common/file.h"

namespace handover::iommu {
namespace {

using common::errno_error;

// PCI Local Bus Specification 3.0, 6.2.2: the command register and its bit 2.
constexpr off_t command_register = 4;
constexpr std::uint16_t bus_master_bit = 1U << 2;
constexpr std::uint16_t nobody_answers = 0xffff;

}  // namespace

client::Result<VfioDevice> VfioDevice::open(const std::string& name, const AddressSpace& space) {
  const std::string path = "/dev/vfio/devices/" + name;
  client::Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return errno_error("Cannot open " + path);
  abi::BindIommufd bind = {sizeof(bind), 0, space.iommufd(), 0};
  if (ioctl(fd.get(), abi::device_bind_iommufd, &bind) < 0) {
    return errno_error("Cannot have " + path + " (does another program use it?)");
  }
  return adopt(std::move(fd));
}

client::Result<VfioDevice> VfioDevice::adopt(client::Fd fd) {
  VfioDevice device(std::move(fd));
  if (auto found = device.find_config(); !found) return found.error();
  return device;
}

client::Result<void> VfioDevice::find_config() {
  abi::RegionInfo info = {};
  info.argsz = sizeof(info);
  info.index = abi::pci_config_region;
  if (ioctl(fd_.get(), abi::device_get_region_info, &info) < 0) {
    return errno_error("Cannot find the device's PCI configuration");
  }
  config_offset_ = info.offset;
  return {};
}

client::Result<void> VfioDevice::attach(const AddressSpace& space) {
  abi::AttachIommufdPt attach = {sizeof(attach), 0, space.id()};
  if (ioctl(fd_.get(), abi::device_attach_iommufd_pt, &attach) < 0) {
    return errno_error("Cannot attach the device to its IOAS");
  }
  return {};
}

client::Result<std::uint16_t> VfioDevice::command() const {
  std::uint16_t value = 0;
  if (pread(fd_.get(), &value, sizeof(value),
            static_cast<off_t>(config_offset_) + command_register) != sizeof(value)) {
    return errno_error("Cannot read the device's command register");
  }
  if (value == nobody_answers) return client::Error{"", "The device does not answer.", EIO};
  return value;
}

client::Result<bool> VfioDevice::bus_master() const {
  auto value = command();
  if (!value) return value.error();
  return (*value & bus_master_bit) != 0;
}

client::Result<void> VfioDevice::set_bus_master(bool on) {
  auto value = command();
  if (!value) return value.error();
  const auto wanted = static_cast<std::uint16_t>(on ? *value | bus_master_bit
                                                    : *value & ~std::uint16_t{bus_master_bit});
  if (pwrite(fd_.get(), &wanted, sizeof(wanted),
             static_cast<off_t>(config_offset_) + command_register) != sizeof(wanted)) {
    return errno_error("Cannot write the device's command register");
  }
  // Reading back also waits until what the device wrote before has arrived.
  auto now = bus_master();
  if (!now) return now.error();
  if (*now != on) return client::Error{"", "The device keeps its bus mastering as it was.", EIO};
  return {};
}

}  // namespace handover::iommu
