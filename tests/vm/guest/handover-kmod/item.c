// SPDX-License-Identifier: LGPL-2.1-or-later
#define _GNU_SOURCE
#include "item.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static const struct {
  const char* name;
  enum kind kind;
  uint64_t unit;
} kinds[] = {
    {"memfd", KIND_MEMFD, PAGE},
    {"tmpfs", KIND_TMPFS, PAGE},
    {"hugetlb2m", KIND_HUGETLB_2M, HUGE_PAGE},
    {"hugetlb1g", KIND_HUGETLB_1G, 1ul << 30},
    {"hugetlbfs", KIND_HUGETLBFS, HUGE_PAGE},
    {"anon", KIND_ANONYMOUS, PAGE},
    {"private", KIND_PRIVATE, PAGE},
    {"shared", KIND_SHARED, PAGE},
    {"hugerange", KIND_HUGE_RANGE, HUGE_PAGE},
    {"alloc", KIND_ALLOCATED, PAGE},
};

uint64_t next_random(uint64_t* state) {
  // xorshift64*
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(0x2545f4914f6cdd1d);
}

void shuffle(uint64_t* values, size_t count, uint64_t seed) {
  uint64_t state = seed * 2 + 1;
  for (size_t i = count; i > 1; i--) {
    size_t other = next_random(&state) % i;
    uint64_t value = values[i - 1];
    values[i - 1] = values[other];
    values[other] = value;
  }
}

static uint64_t parse_size(const char* text, const char** rest) {
  uint64_t total = 0;
  int sign = 1;
  for (;;) {
    char* end;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text) die("a size was expected at: %s", text);
    if (*end == 'K') value <<= 10, end++;
    if (*end == 'M') value <<= 20, end++;
    if (*end == 'G') value <<= 30, end++;
    total = sign > 0 ? total + value : total - value;
    if (*end != '+' && *end != '-') {
      *rest = end;
      return total;
    }
    sign = *end == '+' ? 1 : -1;
    text = end + 1;
  }
}

static void parse_option(struct item* item, const char* option) {
  if (strcmp(option, "ends") == 0) {
    item->holes = HOLES_ENDS;
  } else if (strcmp(option, "odd") == 0) {
    item->holes = HOLES_ODD;
  } else if (strcmp(option, "empty") == 0) {
    item->holes = HOLES_ALL;
  } else if (strcmp(option, "random") == 0) {
    item->random = true;
  } else if (strcmp(option, "huge") == 0) {
    item->huge = true;
  } else if (strcmp(option, "sealed") == 0) {
    item->sealed = true;
  } else if (strcmp(option, "reader") == 0) {
    item->reader = true;
  } else if (strcmp(option, "pageout") == 0) {
    item->pageout = true;
  } else if (strcmp(option, "touch") == 0) {
    item->touch = true;
  } else if (strcmp(option, "late") == 0) {
    item->late = true;
  } else if (strncmp(option, "node=", 5) == 0) {
    item->node = atoi(option + 5);
  } else {
    die("unknown option of an item: %s", option);
  }
}

struct item item_parse(const char* text) {
  struct item item = {.fd = -1, .node = -1};
  char* end;
  item.token = strtoull(text, &end, 0);
  if (*end != ':') die("not TOKEN:KIND:SIZE: %s", text);
  const char* kind = end + 1;
  size_t length = strcspn(kind, ":");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    if (strlen(kinds[i].name) != length || strncmp(kinds[i].name, kind, length) != 0) continue;
    item.kind = kinds[i].kind;
    item.unit = kinds[i].unit;
  }
  if (item.unit == 0 || kind[length] != ':') die("no such kind of memory: %s", text);
  const char* rest;
  item.size = parse_size(kind + length + 1, &rest);
  if (*rest == ':') {
    char options[256];
    snprintf(options, sizeof options, "%s", rest + 1);
    char* next = NULL;
    for (char* option = strtok_r(options, ",", &next); option; option = strtok_r(NULL, ",", &next))
      parse_option(&item, option);
  } else if (*rest) {
    die("not TOKEN:KIND:SIZE: %s", text);
  }
  return item;
}

bool item_is_range(const struct item* item) {
  return item->kind == KIND_ANONYMOUS || item->kind == KIND_PRIVATE || item->kind == KIND_SHARED ||
         item->kind == KIND_HUGE_RANGE;
}

uint64_t item_pages(const struct item* item) { return (item->size + PAGE - 1) / PAGE; }

size_t item_page_bytes(const struct item* item, uint64_t page) {
  uint64_t left = item->size - page * PAGE;
  return left < PAGE ? (size_t)left : PAGE;
}

static bool hole_at_first(const struct item* item, uint64_t page) {
  uint64_t unit = page * PAGE / item->unit;
  uint64_t units = (item->size + item->unit - 1) / item->unit;
  switch (item->holes) {
    case HOLES_NONE:
      return false;
    case HOLES_ENDS:
      return unit < units / 4 || unit >= units - units / 4;
    case HOLES_ODD:
      return unit & 1;
    case HOLES_ALL:
      return true;
  }
  return false;
}

// One unit in eight, the very first among them.
static bool written_late(const struct item* item, uint64_t page) {
  return item->late && hole_at_first(item, page) && page * PAGE / item->unit / 2 % 4 == 0;
}

bool item_hole(const struct item* item, uint64_t page) {
  return hole_at_first(item, page) && !written_late(item, page);
}

uint64_t item_bytes(const struct item* item) {
  uint64_t bytes = 0;
  uint64_t pages_of_unit = item->unit / PAGE;
  for (uint64_t page = 0; page < item_pages(item); page += pages_of_unit)
    if (!item_hole(item, page)) bytes += item->unit;
  return bytes;
}

static uint64_t first_word(uint64_t seed, uint64_t page) {
  uint64_t value =
      (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (page + 1) * UINT64_C(0xff51afd7ed558ccd);
  value ^= value >> 33;
  value *= UINT64_C(0xc4ceb9fe1a85ec53);
  return value ^ value >> 29;
}

// Plain addition from word to word: contents must cost little under software emulation.
#define STEP UINT64_C(0x0101010101010101)

void fill_page(unsigned char* memory, uint64_t seed, uint64_t page, size_t bytes) {
  uint64_t word = first_word(seed, page);
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8, word += STEP) memcpy(memory + at, &word, 8);
  if (at < bytes) memcpy(memory + at, &word, bytes - at);
}

bool page_is(const unsigned char* memory, uint64_t seed, uint64_t page, size_t bytes) {
  uint64_t word = first_word(seed, page);
  uint64_t differences = 0;
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8, word += STEP) {
    uint64_t there;
    memcpy(&there, memory + at, 8);
    differences |= there ^ word;
  }
  return differences == 0 && (at == bytes || memcmp(memory + at, &word, bytes - at) == 0);
}

bool page_is_zero(const unsigned char* memory, size_t bytes) {
  return bytes == 0 || (memory[0] == 0 && memcmp(memory, memory + 1, bytes - 1) == 0);
}

bool item_page_right(const struct item* item, uint64_t page, const unsigned char* memory) {
  size_t bytes = item_page_bytes(item, page);
  return item_hole(item, page) ? page_is_zero(memory, bytes)
                               : page_is(memory, item->token, page, bytes);
}

static uint64_t mapped_size(const struct item* item) {
  return (item->size + item->unit - 1) / item->unit * item->unit;
}

static void map(struct item* item, int protection, int flags) {
  if (item->size == 0) return;
  void* hint = NULL;
  if (item->huge) {
    // Aligned to a huge page: a reservation that is twice mapped over.
    char* reserved = mmap(NULL, mapped_size(item) + HUGE_PAGE, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    hint = (void*)(((uintptr_t)reserved + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
    flags |= MAP_FIXED;
  }
  item->memory = mmap(hint, mapped_size(item), protection, flags, item->fd, 0);
  if (item->memory == MAP_FAILED) die("mmap of item %lu: %s", item->token, strerror(errno));
  if (item->huge) madvise(item->memory, mapped_size(item), MADV_HUGEPAGE);
  if (item->node >= 0) {
    unsigned long mask = 1ul << item->node;
    // 2: MPOL_BIND
    if (syscall(SYS_mbind, item->memory, mapped_size(item), 2, &mask, 64ul, 0) != 0)
      die("mbind to node %d: %s", item->node, strerror(errno));
  }
}

static int make(struct item* item, int session) {
  char name[64];
  snprintf(name, sizeof name, "item-%lu", item->token);
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  switch (item->kind) {
    case KIND_ANONYMOUS:
      map(item, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
      return 0;
    case KIND_HUGE_RANGE:
      map(item, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << 26);
      return 0;
    case KIND_ALLOCATED: {
      uint64_t begin = now_usec();
      int fd = allocate_memory(session, item->token, item->size, item->node);
      if (fd < 0) return fd;
      printf("{\"what\": \"allocate\", \"token\": %lu, \"usec\": %lu}\n", item->token,
             now_usec() - begin);
      item->fd = fd;
      item->node = -1;
      map(item, PROT_READ | PROT_WRITE, MAP_SHARED);
      return 0;
    }
    case KIND_TMPFS:
    case KIND_HUGETLBFS: {
      char path[128];
      snprintf(path, sizeof path, "%s/%s", item->kind == KIND_TMPFS ? "/dev/shm" : "/dev/hugepages",
               name);
      item->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      break;
    }
    case KIND_HUGETLB_2M:
      item->fd = memfd_create(name, flags | MFD_HUGETLB | 21u << 26);
      break;
    case KIND_HUGETLB_1G:
      item->fd = memfd_create(name, flags | MFD_HUGETLB | 30u << 26);
      break;
    default:
      item->fd = memfd_create(name, flags);
  }
  if (item->fd < 0) die("making item %lu: %s", item->token, strerror(errno));
  if (ftruncate(item->fd, (off_t)item->size) != 0)
    die("size of item %lu: %s", item->token, strerror(errno));
  map(item, PROT_READ | PROT_WRITE, item->kind == KIND_PRIVATE ? MAP_PRIVATE : MAP_SHARED);
  return 0;
}

static void fill(struct item* item, uint64_t page) {
  size_t bytes = item_page_bytes(item, page);
  unsigned char contents[PAGE];
  if (item->kind == KIND_PRIVATE) {
    // Even pages are the process's own, odd ones still the file's, which nobody wrote to by
    // mapping.
    fill_page(contents, item->token, page, bytes);
    if (pwrite(item->fd, contents, bytes, (off_t)(page * PAGE)) != (ssize_t)bytes)
      die("writing item %lu: %s", item->token, strerror(errno));
    if (page & 1) return;
  }
  fill_page(item->memory + page * PAGE, item->token, page, bytes);
}

int items_make(struct item* items, size_t count, int session, bool interleave) {
  uint64_t** orders = allocate(count * sizeof *orders);
  uint64_t most = 0;
  for (size_t i = 0; i < count; i++) {
    int error = make(&items[i], session);
    if (error) return error;
    uint64_t pages = item_pages(&items[i]);
    if (pages > most) most = pages;
    orders[i] = allocate(pages * sizeof **orders);
    for (uint64_t page = 0; page < pages; page++) orders[i][page] = page;
    if (items[i].random) shuffle(orders[i], pages, items[i].token);
  }
  for (size_t first = 0; first < count; first += interleave ? count : 1) {
    for (uint64_t at = 0; at < most; at++) {
      for (size_t i = first; i < (interleave ? count : first + 1); i++) {
        if (at < item_pages(&items[i]) && !hole_at_first(&items[i], orders[i][at]))
          fill(&items[i], orders[i][at]);
      }
    }
  }
  for (size_t i = 0; i < count; i++) {
    struct item* item = &items[i];
    free(orders[i]);
    if (item->huge && madvise(item->memory, mapped_size(item), MADV_COLLAPSE) != 0)
      fprintf(stderr, "handover-kmod: item %lu: no huge pages: %s\n", item->token, strerror(errno));
    if (item->pageout && madvise(item->memory, mapped_size(item), MADV_PAGEOUT) != 0)
      die("paging out item %lu: %s", item->token, strerror(errno));
    if (item->sealed) {
      munmap(item->memory, mapped_size(item));
      item->memory = NULL;
      if (fcntl(item->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0)
        die("sealing item %lu: %s", item->token, strerror(errno));
      map(item, PROT_READ, MAP_SHARED);
    }
  }
  free(orders);
  return 0;
}

int item_preserve(struct item* item, int session) {
  if (item->kind == KIND_ALLOCATED) return 0;
  if (item_is_range(item))
    return preserve_range(session, item->token, item->memory, mapped_size(item));
  if (!item->reader) return preserve_fd(session, item->token, item->fd);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", item->fd);
  int reader = open(path, O_RDONLY | O_CLOEXEC);
  if (reader < 0) die("%s: %s", path, strerror(errno));
  int error = preserve_fd(session, item->token, reader);
  close(reader);
  return error;
}

uint64_t item_frames_in(const struct item* item, uint64_t first, uint64_t end) {
  int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  uint64_t entries[512];
  uint64_t there = 0;
  for (uint64_t page = 0; page < item_pages(item);) {
    size_t count = item_pages(item) - page < 512 ? item_pages(item) - page : 512;
    ssize_t size =
        pread(pagemap, entries, count * 8, (off_t)(((uintptr_t)item->memory / PAGE + page) * 8));
    if (size <= 0) die("/proc/self/pagemap: %s", strerror(errno));
    for (ssize_t i = 0; i < size / 8; i++) {
      // Bit 63: present; 55 bits of frame number (Documentation/admin-guide/mm/pagemap.rst).
      uint64_t frame = entries[i] & ((1ul << 55) - 1);
      there += entries[i] >> 63 && frame >= first && frame < end;
    }
    page += (uint64_t)size / 8;
  }
  close(pagemap);
  return there;
}

void item_write_late(struct item* item) {
  for (uint64_t page = 0; page < item_pages(item); page++)
    if (written_late(item, page))
      fill_page(item->memory + page * PAGE, item->token, page, item_page_bytes(item, page));
}

void item_map(struct item* item, int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) die("fstat of item %lu: %s", item->token, strerror(errno));
  uint64_t expected =
      item_is_range(item) || item->kind == KIND_ALLOCATED ? mapped_size(item) : item->size;
  if ((uint64_t)status.st_size != expected)
    die("item %lu came back with %ld bytes, not %lu", item->token, (long)status.st_size, expected);
  item->fd = fd;
  item->node = -1;
  item->huge = false;
  map(item, item->sealed || item->reader ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED);
}

void item_unmap(struct item* item) {
  if (item->memory) munmap(item->memory, mapped_size(item));
  if (item->fd >= 0) close(item->fd);
  item->memory = NULL;
  item->fd = -1;
}
