// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory of a known kind with known contents: made in one kernel, compared in the next.
//
// An item is written TOKEN:KIND:SIZE[:OPTION,OPTION…]. Its contents follow from its token and the
// page's number alone, so that the same words on both sides of a kexec are all that a test needs.
//
//   KIND    memfd tmpfs hugetlb2m hugetlb1g hugetlbfs   files
//           anon private shared hugerange               ranges of the caller's memory
//           alloc                                       memory that the module makes
//   SIZE    bytes, or with K, M, G; a second term may follow: 2M+4K, 2M-4K
//   OPTION  ends, odd, empty   holes: first and last quarter; each second page; everything
//           random             pages are made in random order
//           huge               as 2 MiB pages
//           sealed             F_SEAL_WRITE; comes back read-only
//           reader             preserved by a descriptor that can only read; so does it
//           pageout            paged out before it is preserved
//           late               some pages of the holes are written after preserving
//           touch              its first half is looked at by "again"
//           node=N             on that NUMA node
#ifndef HANDOVER_KMOD_ITEM_H
#define HANDOVER_KMOD_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096ul
#define HUGE_PAGE (2ul << 20)

enum kind {
  KIND_MEMFD,
  KIND_TMPFS,
  KIND_HUGETLB_2M,
  KIND_HUGETLB_1G,
  KIND_HUGETLBFS,
  KIND_ANONYMOUS,
  KIND_PRIVATE,
  KIND_SHARED,
  KIND_HUGE_RANGE,
  KIND_ALLOCATED,
};

struct item {
  uint64_t token;
  enum kind kind;
  uint64_t size;
  uint64_t unit;  // bytes of a page of this kind
  enum { HOLES_NONE, HOLES_ENDS, HOLES_ODD, HOLES_ALL } holes;
  bool random, huge, sealed, reader, pageout, late, touch;
  int node;  // -1: any

  int fd;                 // -1: none
  unsigned char* memory;  // mapped, NULL if the size is 0
};

struct item item_parse(const char* text);
bool item_is_range(const struct item* item);
uint64_t item_pages(const struct item* item);
// Bytes of page @page that are in the file.
size_t item_page_bytes(const struct item* item, uint64_t page);
// Whether nothing was ever written to that page.
bool item_hole(const struct item* item, uint64_t page);
// What is there in memory: whole units, without holes.
uint64_t item_bytes(const struct item* item);

// Makes the memory and fills it; for KIND_ALLOCATED in @session, which preserves it too.
// With @interleave the items' pages are made in turn.
int items_make(struct item* items, size_t count, int session, bool interleave);
int item_preserve(struct item* item, int session);
// How many of the mapped pages lie in frames [first, end).
uint64_t item_frames_in(const struct item* item, uint64_t first, uint64_t end);
// Writes the pages of holes that come late.
void item_write_late(struct item* item);
// Maps the file that came back, and checks its size.
void item_map(struct item* item, int fd);
void item_unmap(struct item* item);

void fill_page(unsigned char* memory, uint64_t seed, uint64_t page, size_t bytes);
bool page_is(const unsigned char* memory, uint64_t seed, uint64_t page, size_t bytes);
bool page_is_zero(const unsigned char* memory, size_t bytes);
// Whether @memory holds what page @page of the item must.
bool item_page_right(const struct item* item, uint64_t page, const unsigned char* memory);

// A small generator of its own per thread.
uint64_t next_random(uint64_t* state);
void shuffle(uint64_t* values, size_t count, uint64_t seed);

#endif
