// SPDX-License-Identifier: LGPL-2.1-or-later
// The ioctls of /dev/handover as functions: 0 or a descriptor, or a negative errno.
#ifndef HANDOVER_KMOD_DEVICE_H
#define HANDOVER_KMOD_DEVICE_H

#include <linux/handover.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Ends the program with a line on standard error.
__attribute__((noreturn, format(printf, 1, 2))) void die(const char* format, ...);
void* allocate(size_t size);
uint64_t now_usec(void);
// "ENOENT" for 2 or -2.
const char* errno_name(int error);

// ioctl() that gives -errno.
int call(int fd, unsigned long request, void* argument);

// /dev/handover, opened once.
int device(void);
struct handover_info device_info(void);
int session_create(const char* name, uint64_t max_bytes, uint32_t max_entries);
int session_retrieve(const char* name);
// As above; ends the program if there is no such session.
int session_must(const char* name);
int seal(struct handover_seal* result);
int unseal(void);

int preserve_fd(int session, uint64_t token, int fd);
int preserve_range(int session, uint64_t token, const void* address, uint64_t length);
int allocate_memory(int session, uint64_t token, uint64_t length, int node);
int unpreserve(int session, uint64_t token);
int retrieve(int session, uint64_t token);
int describe(int session, uint64_t token, struct handover_describe* result);
int session_info(int session, struct handover_session_info* result);
int restore(int session, uint32_t threads);
int finish(int session, uint64_t* freed);
int discard(int session, uint64_t* freed);

#endif
