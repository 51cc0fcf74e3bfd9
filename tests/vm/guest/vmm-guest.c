// SPDX-License-Identifier: LGPL-2.1-or-later
/* The init of the guest that handover-vmm is tested with, and all that runs in it.
 *
 * Fills as many MiB as "mib=" on the kernel command line says (64), then goes through them again
 * and again: it checks the sum, changes one page, and prints a line on the console: tick N
 * boot=UUID sum=good|BAD gap_ms=N gap_ms is the longest time between two looks at the clock within
 * the pass: how long the guest itself saw that it stood still.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { words_per_page = 4096 / sizeof(uint64_t) };

static uint64_t* words;
static size_t pages;

static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15ULL;
  return x ^ (x >> 29);
}

static uint64_t now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A page holds what follows from its number and from how often it was filled. */
static uint64_t fill(size_t page, uint64_t seed) {
  uint64_t sum = 0;

  for (size_t i = 0; i < words_per_page; i++) {
    uint64_t word = mix(seed + page * words_per_page + i);

    words[page * words_per_page + i] = word;
    sum += word;
  }
  return sum;
}

static uint64_t sum_of(size_t page) {
  uint64_t sum = 0;

  for (size_t i = 0; i < words_per_page; i++) sum += words[page * words_per_page + i];
  return sum;
}

static void read_boot_id(char* id, size_t size) {
  FILE* file = fopen("/proc/sys/kernel/random/boot_id", "r");

  if (!file || !fgets(id, (int)size, file)) strcpy(id, "unknown");
  id[strcspn(id, "\n")] = 0;
  if (file) fclose(file);
}

int main(void) {
  const char* mib = getenv("mib");
  uint64_t expected = 0;
  char boot_id[64];

  mkdir("/proc", 0555);
  mount("proc", "/proc", "proc", 0, NULL);
  read_boot_id(boot_id, sizeof(boot_id));
  pages = (size_t)(mib ? atoi(mib) : 64) * 256;
  words = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (words == MAP_FAILED) {
    puts("no memory");
    pause();
  }
  for (size_t page = 0; page < pages; page++) expected += fill(page, 0);
  for (uint64_t tick = 1;; tick++) {
    uint64_t sum = 0, before = now_ms(), longest = 0;
    size_t changed = tick % pages;

    for (size_t page = 0; page < pages; page++) {
      sum += sum_of(page);
      if (page % 64 == 0) {
        uint64_t now = now_ms();

        if (now - before > longest) longest = now - before;
        before = now;
      }
    }
    printf("tick %llu boot=%s sum=%s gap_ms=%llu\n", (unsigned long long)tick, boot_id,
           sum == expected ? "good" : "BAD", (unsigned long long)longest);
    fflush(stdout);
    expected -= sum_of(changed);
    expected += fill(changed, tick);
  }
}
