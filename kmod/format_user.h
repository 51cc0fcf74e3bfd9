/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What format.h and format.c need of the kernel, in user space: for the tests.
 */
#ifndef HANDOVER_FORMAT_USER_H
#define HANDOVER_FORMAT_USER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

/* As the kernel's, nothing inverted: in tests/unit/kmod/crc32c.c. */
u32 crc32c(u32 crc, const void *data, size_t length);

#endif /* HANDOVER_FORMAT_USER_H */
