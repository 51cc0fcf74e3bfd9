// SPDX-License-Identifier: LGPL-2.1-or-later
// A device by its VFIO file: bound to an iommufd, attached to an IOAS, and its bus mastering.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>

#include "address_space.h"

namespace handover::iommu {

class VfioDevice {
 public:
  /// Opens /dev/vfio/devices/`name` and binds it to the space's iommufd.
  static client::Result<VfioDevice> open(const std::string& name, const AddressSpace& space);
  /// One that is open and bound already.
  static client::Result<VfioDevice> adopt(client::Fd device);

  [[nodiscard]] int fd() const { return fd_.get(); }

  /// From now on the device sees what the space maps.
  client::Result<void> attach(const AddressSpace& space);

  /// May the device make DMA?
  client::Result<bool> bus_master() const;
  /// Returns once the device has it.
  client::Result<void> set_bus_master(bool on);

 private:
  explicit VfioDevice(client::Fd fd) : fd_(std::move(fd)) {}
  client::Result<void> find_config();
  client::Result<std::uint16_t> command() const;

  client::Fd fd_;
  std::uint64_t config_offset_ = 0;
};

}  // namespace handover::iommu
