// SPDX-License-Identifier: LGPL-2.1-or-later
// An IOAS: iommufd's address space of a device, and the calls on it.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <map>
#include <vector>

#include "mapping.h"

namespace handover::iommu {

class AddressSpace {
 public:
  /// Opens /dev/iommu and makes an IOAS.
  static client::Result<AddressSpace> open();
  /// One that is there already: `id` in `iommufd`. Refuses if it is not.
  static client::Result<AddressSpace> adopt(client::Fd iommufd, std::uint32_t id);
  AddressSpace(AddressSpace&& other) noexcept = default;
  ~AddressSpace();

  [[nodiscard]] int iommufd() const { return iommufd_.get(); }
  [[nodiscard]] std::uint32_t id() const { return id_; }

  /// What the kernel allows, which depends on the devices attached.
  client::Result<Limits> limits() const;

  /// By the file where the kernel takes it, else by our own mapping of all of it.
  client::Result<void> map(const Mapping& mapping, int memory, std::uint64_t memory_bytes);
  client::Result<void> unmap(const Mapping& mapping);

  /// How many were mapped by file, and how many by address.
  [[nodiscard]] std::uint64_t mapped_by_file() const { return by_file_; }
  [[nodiscard]] std::uint64_t mapped_by_address() const { return by_address_; }

 private:
  AddressSpace(client::Fd iommufd, std::uint32_t id) : iommufd_(std::move(iommufd)), id_(id) {}
  client::Result<void> map_by_address(const Mapping& mapping, int memory,
                                      std::uint64_t memory_bytes, std::uint32_t flags);

  struct View {
    void* address;
    std::uint64_t bytes;
  };
  client::Fd iommufd_;
  std::uint32_t id_;
  std::map<std::uint32_t, View> views_;  ///< our own mappings of memories, where they were needed
  std::uint64_t by_file_ = 0;
  std::uint64_t by_address_ = 0;
};

}  // namespace handover::iommu
