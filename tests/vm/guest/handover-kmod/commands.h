// SPDX-License-Identifier: LGPL-2.1-or-later
// The larger sub-commands of handover-kmod.
#ifndef HANDOVER_KMOD_COMMANDS_H
#define HANDOVER_KMOD_COMMANDS_H

#include <stddef.h>

#include "item.h"

// verify.c: retrieves each item and compares it in the manner of @mode. Returns wrong items.
int verify_items(int session, const char* mode, struct item* items, size_t count);

// pin.c: registers the memory with io_uring (a long-term pin) while nothing of it is restored, and
// lets the kernel read and write it by that pin. Returns pages that were wrong.
uint64_t pin_and_compare(struct item* item);

// refusals.c: each wrong call gets its errno and changes nothing. Return how many did not.
int refusals_before(const char* session);
int refusals_after(const char* session);
int refusals_without_kho(void);

// inject.c: fails the n-th allocation in each ioctl, for n = 1, 2, … Returns the number of faults.
int inject(const char* what);

// fuzz.c
int fuzz(unsigned seconds, unsigned threads, uint64_t seed);

// bench.c
int bench_preserve(const char* with, const char* layout, uint64_t mib);
int bench_retrieve(const char* with, const char* layout, uint64_t mib);

#endif
