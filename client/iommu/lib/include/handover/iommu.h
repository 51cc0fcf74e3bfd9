/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhandover-iommu: a user-space driver's side of handover-iommu(1).
 *
 * The driver finds its device, its IOAS and its memory among the descriptors that it was started
 * with, and adds and removes DMA mappings through handover-iommu, which does them and records them:
 * what is recorded is what the next kernel will have. Mappings made on the iommufd in any other way
 * are lost in an update.
 *
 * As a CMake package, find_package(handover-iommu) gives handover::iommu. The handle is opaque; a
 * mapping is as large as it is for good, and what more one might say would be a function of its
 * own.
 *
 * Units: bytes. Errors: 0 or a number that a comment explains, and a negative errno otherwise;
 * handover_iommu_message() then has a sentence. -EINVAL: an argument is NULL that may not be.
 * Functions that only read a handle return -EINVAL, 0 or "" for NULL. Threads: one handle is used
 * by one at a time. fork(): the handle, its socket and its device are the process's that opened it;
 * a child may close it, and must not use it.
 */
#ifndef HANDOVER_IOMMU_H
#define HANDOVER_IOMMU_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define HANDOVER_IOMMU_API __attribute__((visibility("default")))
#else
#define HANDOVER_IOMMU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct handover_iommu handover_iommu;

enum {
  HANDOVER_IOMMU_READ = 1 << 0,  /* the device may read */
  HANDOVER_IOMMU_WRITE = 1 << 1, /* the device may write */
};

struct handover_iommu_mapping {
  uint64_t iova;
  uint64_t length;
  uint64_t offset; /* in the memory */
  uint32_t memory; /* a number of handover_iommu_memory() */
  uint32_t rights;
};

/* Takes over what handover-iommu gave this process. -ENOENT: it was not started by it. */
HANDOVER_IOMMU_API int handover_iommu_open(handover_iommu** ret);
/* Frees the handle, and closes its descriptors. Mappings stay. Returns NULL. */
HANDOVER_IOMMU_API handover_iommu* handover_iommu_close(handover_iommu* handle);

/* 1 if memory and mappings are those of the earlier kernel, 0 if they are new. */
HANDOVER_IOMMU_API int handover_iommu_is_restored(const handover_iommu* handle);
/* Borrowed: the device's VFIO descriptor, bound and attached; the iommufd; the IOAS's number. */
HANDOVER_IOMMU_API int handover_iommu_device(const handover_iommu* handle);
HANDOVER_IOMMU_API int handover_iommu_iommufd(const handover_iommu* handle);
HANDOVER_IOMMU_API uint32_t handover_iommu_ioas(const handover_iommu* handle);

/* The number of the memory of that name, for mappings; -ENOENT if there is none. `ret_fd` (may be
 * NULL) is borrowed. */
HANDOVER_IOMMU_API int handover_iommu_memory(const handover_iommu* handle, const char* name,
                                             int* ret_fd);

/* Adds mappings: all of them, or none. -EINVAL, -ERANGE (outside what the device can use), -EEXIST
 * (overlaps another), -ENOSPC (more than the configuration allows), or what the kernel said. Any
 * number may be given; up to 1024 are one request, and more are several. */
HANDOVER_IOMMU_API int handover_iommu_map(handover_iommu* handle,
                                          const struct handover_iommu_mapping* mappings,
                                          size_t count);
/* Removes mappings, each named by its iova and its whole length. */
HANDOVER_IOMMU_API int handover_iommu_unmap(handover_iommu* handle,
                                            const struct handover_iommu_mapping* mappings,
                                            size_t count);
/* Why the last call on `handle` failed: one line. Borrowed until the next call. */
HANDOVER_IOMMU_API const char* handover_iommu_message(const handover_iommu* handle);

#ifdef __cplusplus
}
#endif

#endif
