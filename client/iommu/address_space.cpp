// SPDX-License-Identifier: LGPL-2.1-or-later
#include "address_space.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>

#include "abi.h"
#include "common/file.h"

namespace handover::iommu {
namespace {

using common::errno_error;

constexpr const char* device_file = "/dev/iommu";

client::Error map_error(const Mapping& mapping) {
  return errno_error("The kernel does not map IOVA " + describe(mapping));
}

/// Errors that say that it is the file that cannot be mapped so, not this part of it: no such call
/// (before Linux 6.14), or no memfd (memfd_pin_folios() knows only those).
bool file_is_unsuitable(int error) { return error == ENOTTY || error == EINVAL || error == EBADF; }

}  // namespace

client::Result<AddressSpace> AddressSpace::open() {
  client::Fd iommufd(::open(device_file, O_RDWR | O_CLOEXEC));
  if (!iommufd && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
    return client::Error{"",
                         "There is no /dev/iommu: this kernel has no iommufd "
                         "(CONFIG_IOMMUFD), or its module is not loaded.",
                         ENODEV};
  }
  if (!iommufd) return errno_error("Cannot open /dev/iommu");
  abi::IoasAlloc alloc = {sizeof(alloc), 0, 0};
  if (ioctl(iommufd.get(), abi::ioas_alloc, &alloc) < 0) return errno_error("Cannot make an IOAS");
  return AddressSpace(std::move(iommufd), alloc.out_ioas_id);
}

client::Result<AddressSpace> AddressSpace::adopt(client::Fd iommufd, std::uint32_t id) {
  AddressSpace space(std::move(iommufd), id);
  if (auto there = space.limits(); !there) return there.error();
  return space;
}

AddressSpace::~AddressSpace() {
  for (const auto& [memory, view] : views_) munmap(view.address, view.bytes);
}

client::Result<Limits> AddressSpace::limits() const {
  abi::IoasIovaRanges call = {sizeof(call), id_, 0, 0, 0, 0};
  // Without room for them it says how many there are.
  if (ioctl(iommufd_.get(), abi::ioas_iova_ranges, &call) < 0 && errno != EMSGSIZE) {
    return errno_error("Cannot ask for the IOAS's limits");
  }
  std::vector<abi::IovaRange> ranges(call.num_iovas);
  call.allowed_iovas = reinterpret_cast<std::uintptr_t>(ranges.data());
  if (ioctl(iommufd_.get(), abi::ioas_iova_ranges, &call) < 0) {
    return errno_error("Cannot ask for the IOAS's limits");
  }
  Limits limits;
  limits.usable.clear();
  limits.alignment = call.out_iova_alignment;
  for (const auto& range : ranges) limits.usable.push_back({range.start, range.last});
  return limits;
}

client::Result<void> AddressSpace::map(const Mapping& mapping, int memory,
                                       std::uint64_t memory_bytes) {
  const std::uint32_t flags = abi::map_fixed_iova |
                              ((mapping.rights & right_read) != 0 ? abi::map_readable : 0U) |
                              ((mapping.rights & right_write) != 0 ? abi::map_writeable : 0U);
  // Once a memory was found not to be mappable by file, the others of it need not be tried.
  if (!views_.contains(mapping.memory)) {
    abi::IoasMapFile call = {sizeof(call),   flags,          id_,         memory,
                             mapping.offset, mapping.length, mapping.iova};
    if (ioctl(iommufd_.get(), abi::ioas_map_file, &call) == 0) {
      ++by_file_;
      return {};
    }
    if (!file_is_unsuitable(errno)) return map_error(mapping);
  }
  return map_by_address(mapping, memory, memory_bytes, flags);
}

client::Result<void> AddressSpace::map_by_address(const Mapping& mapping, int memory,
                                                  std::uint64_t memory_bytes, std::uint32_t flags) {
  auto view = views_.find(mapping.memory);
  if (view == views_.end()) {
    void* address = mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (address == MAP_FAILED) return errno_error("Cannot map the memory");
    view = views_.emplace(mapping.memory, View{address, memory_bytes}).first;
  }
  abi::IoasMap call = {sizeof(call),
                       flags,
                       id_,
                       0,
                       reinterpret_cast<std::uintptr_t>(view->second.address) + mapping.offset,
                       mapping.length,
                       mapping.iova};
  if (ioctl(iommufd_.get(), abi::ioas_map, &call) < 0) return map_error(mapping);
  ++by_address_;
  return {};
}

client::Result<void> AddressSpace::unmap(const Mapping& mapping) {
  abi::IoasUnmap call = {sizeof(call), id_, mapping.iova, mapping.length};
  if (ioctl(iommufd_.get(), abi::ioas_unmap, &call) < 0) {
    return errno_error("The kernel does not unmap IOVA " + describe(mapping));
  }
  return {};
}

}  // namespace handover::iommu
