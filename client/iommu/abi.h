// SPDX-License-Identifier: LGPL-2.1-or-later
// The few calls of <linux/iommufd.h> and <linux/vfio.h> (Linux 7.2) that are used here.
//
// Declared by ourselves, since the C library's kernel headers may be years older than the running
// kernel (Debian 12: 6.1, without iommufd). A unit test compares them with the kernel's own.
#pragma once

#include <cstdint>

namespace handover::iommu::abi {

// All of them are _IO(';', n) of <linux/ioctl.h>.
inline constexpr unsigned ioas_alloc = 0x3B81;
inline constexpr unsigned ioas_iova_ranges = 0x3B84;
inline constexpr unsigned ioas_map = 0x3B85;
inline constexpr unsigned ioas_unmap = 0x3B86;
inline constexpr unsigned ioas_map_file = 0x3B8F;

inline constexpr std::uint32_t map_fixed_iova = 1U << 0;
inline constexpr std::uint32_t map_writeable = 1U << 1;
inline constexpr std::uint32_t map_readable = 1U << 2;

struct IoasAlloc {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t out_ioas_id;
};

struct IovaRange {
  std::uint64_t start;
  std::uint64_t last;
};

struct IoasIovaRanges {
  std::uint32_t size;
  std::uint32_t ioas_id;
  std::uint32_t num_iovas;
  std::uint32_t reserved;
  std::uint64_t allowed_iovas;
  std::uint64_t out_iova_alignment;
};

struct IoasMap {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t ioas_id;
  std::uint32_t reserved;
  std::uint64_t user_va;
  std::uint64_t length;
  std::uint64_t iova;
};

struct IoasMapFile {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t ioas_id;
  std::int32_t fd;
  std::uint64_t start;
  std::uint64_t length;
  std::uint64_t iova;
};

struct IoasUnmap {
  std::uint32_t size;
  std::uint32_t ioas_id;
  std::uint64_t iova;
  std::uint64_t length;
};

inline constexpr unsigned device_get_region_info = 0x3B6C;
inline constexpr unsigned device_bind_iommufd = 0x3B76;
inline constexpr unsigned device_attach_iommufd_pt = 0x3B77;

inline constexpr std::uint32_t pci_config_region = 7;  // VFIO_PCI_CONFIG_REGION_INDEX

struct RegionInfo {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t index;
  std::uint32_t cap_offset;
  std::uint64_t size;
  std::uint64_t offset;
};

/// Without token_uuid_ptr, which later kernels have behind it: argsz says so.
struct BindIommufd {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::int32_t iommufd;
  std::uint32_t out_devid;
};

/// Without pasid, likewise.
struct AttachIommufdPt {
  std::uint32_t argsz;
  std::uint32_t flags;
  std::uint32_t pt_id;
};

}  // namespace handover::iommu::abi
