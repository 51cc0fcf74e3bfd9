// SPDX-License-Identifier: LGPL-2.1-or-later
// Our declarations of the kernel's ABI against its own headers, where those are installed.
#include <gtest/gtest.h>

#include <cstddef>

#include "iommu/abi.h"

#if __has_include(<linux/iommufd.h>)
#include <linux/iommufd.h>
#define HAVE_IOMMUFD 1
#endif
#include <linux/vfio.h>

namespace handover::iommu {
namespace {

TEST(IommuAbi, NumbersAreThoseOfTheDocumentation) {
  // _IO(';', 0x80 + n), uapi/linux/iommufd.h, and _IO(';', 100 + n), uapi/linux/vfio.h.
  EXPECT_EQ(abi::ioas_alloc, (static_cast<unsigned>(';') << 8) + 0x81);
  EXPECT_EQ(abi::ioas_map_file, (static_cast<unsigned>(';') << 8) + 0x8f);
  EXPECT_EQ(abi::device_bind_iommufd, (static_cast<unsigned>(';') << 8) + 118);
  EXPECT_EQ(abi::device_attach_iommufd_pt, (static_cast<unsigned>(';') << 8) + 119);
}

TEST(IommuAbi, AgreesWithTheKernelsIommufdHeader) {
#if defined(HAVE_IOMMUFD) && defined(IOMMU_IOAS_MAP_FILE)
  EXPECT_EQ(abi::ioas_alloc, IOMMU_IOAS_ALLOC);
  EXPECT_EQ(abi::ioas_iova_ranges, IOMMU_IOAS_IOVA_RANGES);
  EXPECT_EQ(abi::ioas_map, IOMMU_IOAS_MAP);
  EXPECT_EQ(abi::ioas_unmap, IOMMU_IOAS_UNMAP);
  EXPECT_EQ(abi::ioas_map_file, IOMMU_IOAS_MAP_FILE);
  EXPECT_EQ(abi::map_fixed_iova, unsigned{IOMMU_IOAS_MAP_FIXED_IOVA});
  EXPECT_EQ(abi::map_writeable, unsigned{IOMMU_IOAS_MAP_WRITEABLE});
  EXPECT_EQ(abi::map_readable, unsigned{IOMMU_IOAS_MAP_READABLE});
  EXPECT_EQ(sizeof(abi::IoasAlloc), sizeof(iommu_ioas_alloc));
  EXPECT_EQ(sizeof(abi::IovaRange), sizeof(iommu_iova_range));
  EXPECT_EQ(sizeof(abi::IoasIovaRanges), sizeof(iommu_ioas_iova_ranges));
  EXPECT_EQ(sizeof(abi::IoasMap), sizeof(iommu_ioas_map));
  EXPECT_EQ(sizeof(abi::IoasMapFile), sizeof(iommu_ioas_map_file));
  EXPECT_EQ(sizeof(abi::IoasUnmap), sizeof(iommu_ioas_unmap));
  EXPECT_EQ(offsetof(abi::IoasIovaRanges, out_iova_alignment),
            offsetof(iommu_ioas_iova_ranges, out_iova_alignment));
  EXPECT_EQ(offsetof(abi::IoasMap, iova), offsetof(iommu_ioas_map, iova));
  EXPECT_EQ(offsetof(abi::IoasMapFile, fd), offsetof(iommu_ioas_map_file, fd));
  EXPECT_EQ(offsetof(abi::IoasMapFile, start), offsetof(iommu_ioas_map_file, start));
  EXPECT_EQ(offsetof(abi::IoasUnmap, iova), offsetof(iommu_ioas_unmap, iova));
#else
  GTEST_SKIP() << "no linux/iommufd.h with IOMMU_IOAS_MAP_FILE here: configure with "
                  "-DHANDOVER_KERNEL_HEADERS=DIR, where DIR/linux/iommufd.h is of Linux 6.14 on";
#endif
}

TEST(IommuAbi, AgreesWithTheKernelsVfioHeader) {
  EXPECT_EQ(abi::device_get_region_info, VFIO_DEVICE_GET_REGION_INFO);
  EXPECT_EQ(abi::pci_config_region, unsigned{VFIO_PCI_CONFIG_REGION_INDEX});
  EXPECT_EQ(sizeof(abi::RegionInfo), sizeof(vfio_region_info));
  EXPECT_EQ(offsetof(abi::RegionInfo, offset), offsetof(vfio_region_info, offset));
#ifdef VFIO_DEVICE_BIND_IOMMUFD
  EXPECT_EQ(abi::device_bind_iommufd, VFIO_DEVICE_BIND_IOMMUFD);
  EXPECT_EQ(abi::device_attach_iommufd_pt, VFIO_DEVICE_ATTACH_IOMMUFD_PT);
  // Later kernels have more behind these; argsz says how much of it we know.
  EXPECT_LE(sizeof(abi::BindIommufd), sizeof(vfio_device_bind_iommufd));
  EXPECT_EQ(offsetof(abi::BindIommufd, out_devid), offsetof(vfio_device_bind_iommufd, out_devid));
  EXPECT_LE(sizeof(abi::AttachIommufdPt), sizeof(vfio_device_attach_iommufd_pt));
  EXPECT_EQ(offsetof(abi::AttachIommufdPt, pt_id), offsetof(vfio_device_attach_iommufd_pt, pt_id));
#endif
}

}  // namespace
}  // namespace handover::iommu
