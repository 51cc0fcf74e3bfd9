// SPDX-License-Identifier: LGPL-2.1-or-later
// A PCI device as /sys shows it, and its change of drivers.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace handover::iommu {

/// "0000:00:05.0": domain, bus, device and function in lower-case hexadecimal digits.
bool is_pci_address(std::string_view text);

class PciDevice {
 public:
  /// `sys` is /sys but in tests.
  explicit PciDevice(std::string address, std::string sys = "/sys");

  /// The driver that has the device; "" if none.
  [[nodiscard]] std::string driver() const;

  /// Can it be had? Refuses if it is not there, no IOMMU translates for it, or a driver uses it
  /// that is neither vfio-pci nor in `take_from`. Changes nothing.
  client::Result<void> check(const std::vector<std::string>& take_from) const;
  /// Gives the device to vfio-pci, after check(). If that fails, the driver that it had has it
  /// again.
  client::Result<void> bind_to_vfio();
  /// "vfio0": its file in /dev/vfio/devices.
  client::Result<std::string> vfio_name() const;

 private:
  client::Result<void> take_from(const std::string& before);
  /// "" if the driver that it had has it again; else why not.
  [[nodiscard]] std::string give_back_to(const std::string& before,
                                         const std::string& override_before) const;
  [[nodiscard]] std::string driver_override() const;
  client::Result<void> write(const std::string& path, const std::string& value) const;

  std::string address_;
  std::string sys_;
  std::string directory_;
};

}  // namespace handover::iommu
