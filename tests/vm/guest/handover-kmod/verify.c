// SPDX-License-Identifier: LGPL-2.1-or-later
// Compares what came back, in every manner in which memory is used.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

#define THREADS 8

static uint64_t wrong_by_mmap(const struct item* item, uint64_t first, uint64_t step) {
  uint64_t wrong = 0;
  for (uint64_t page = first; page < item_pages(item); page += step)
    wrong += !item_page_right(item, page, item->memory + page * PAGE);
  return wrong;
}

static uint64_t wrong_by_read(const struct item* item) {
  // An odd size, so that reads begin and end within pages.
  const size_t chunk = 256 * 1024 + 512;
  unsigned char* buffer = allocate(chunk + 2 * PAGE);
  uint64_t wrong = 0;
  size_t kept = 0;
  uint64_t page = 0;
  for (uint64_t at = 0; at < item->size;) {
    ssize_t size = pread(item->fd, buffer + kept, chunk, (off_t)at);
    if (size <= 0)
      die("read of item %lu at %lu: %s", item->token, at, size ? strerror(errno) : "end");
    at += (uint64_t)size;
    kept += (size_t)size;
    size_t used = 0;
    while (page < item_pages(item) && kept - used >= item_page_bytes(item, page)) {
      wrong += !item_page_right(item, page, buffer + used);
      used += item_page_bytes(item, page);
      page++;
    }
    kept -= used;
    memmove(buffer, buffer + used, kept);
  }
  if (page != item_pages(item)) wrong++;
  char byte;
  if (pread(item->fd, &byte, 1, (off_t)(item_pages(item) * PAGE)) != 0) {
    fprintf(stderr, "item %lu can be read past its end\n", item->token);
    wrong++;
  }
  free(buffer);
  return wrong;
}

// A child that touches what nobody touched before, through the mapping that it inherited.
static uint64_t wrong_by_fork(const struct item* item) {
  pid_t pid = fork();
  if (pid < 0) die("fork: %s", strerror(errno));
  if (pid == 0) _exit(wrong_by_mmap(item, 1, 2) ? 1 : 0);
  uint64_t wrong = wrong_by_mmap(item, 0, 2);
  int status;
  if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) wrong++;
  // By now all of it is restored: what the child saw is what we see.
  return wrong + wrong_by_mmap(item, 1, 2);
}

// Writes to a private mapping stay there.
static uint64_t wrong_by_private(const struct item* item) {
  if (item->size == 0) return 0;
  size_t size = item_pages(item) * PAGE;
  unsigned char* copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, item->fd, 0);
  if (copy == MAP_FAILED) {
    fprintf(stderr, "item %lu: MAP_PRIVATE: %s\n", item->token, strerror(errno));
    return 1;
  }
  uint64_t wrong = 0;
  for (uint64_t page = 0; page < item_pages(item); page++) {
    // Half by reading first, half by writing at once.
    if (page & 1) wrong += !item_page_right(item, page, copy + page * PAGE);
    fill_page(copy + page * PAGE, ~item->token, page, item_page_bytes(item, page));
  }
  wrong += wrong_by_mmap(item, 0, 1);
  for (uint64_t page = 0; page < item_pages(item); page++)
    wrong += !page_is(copy + page * PAGE, ~item->token, page, item_page_bytes(item, page));
  munmap(copy, size);
  return wrong;
}

struct worker {
  const struct item* item;
  unsigned number;
  uint64_t wrong;
  pthread_t thread;
};

static void* at_random(void* argument) {
  struct worker* worker = argument;
  const struct item* item = worker->item;
  uint64_t state = worker->number + 1;
  for (uint64_t i = 0; i < item_pages(item); i++) {
    uint64_t page = next_random(&state) % item_pages(item);
    worker->wrong += !item_page_right(item, page, item->memory + page * PAGE);
  }
  return NULL;
}

static void* by_read(void* argument) {
  struct worker* worker = argument;
  worker->wrong = wrong_by_read(worker->item);
  return NULL;
}

static void* by_mmap(void* argument) {
  struct worker* worker = argument;
  worker->wrong = wrong_by_mmap(worker->item, 0, 1);
  return NULL;
}

static void start(struct worker* worker, void* (*work)(void*), const struct item* item,
                  unsigned number) {
  *worker = (struct worker){.item = item, .number = number};
  int error = pthread_create(&worker->thread, NULL, work, worker);
  if (error) die("pthread_create: %s", strerror(error));
}

static uint64_t join(struct worker* worker) {
  pthread_join(worker->thread, NULL);
  return worker->wrong;
}

// read() and mmap of the same piece at the same time.
static uint64_t wrong_by_both(const struct item* item) {
  struct worker workers[2];
  start(&workers[0], by_read, item, 0);
  start(&workers[1], by_mmap, item, 1);
  uint64_t wrong = join(&workers[0]);
  return wrong + join(&workers[1]);
}

// Everything at once, while the module's own threads restore.
static uint64_t wrong_under_load(const struct item* item, int session) {
  struct worker workers[THREADS + 1];
  for (unsigned i = 0; i < THREADS; i++) start(&workers[i], at_random, item, i);
  int error = restore(session, 2);
  // Another item of this session may have been started already.
  if (error && error != -EALREADY) die("restore: %s", errno_name(error));
  start(&workers[THREADS], by_read, item, THREADS);
  uint64_t wrong = wrong_by_fork(item);
  wrong += wrong_by_private(item);
  for (unsigned i = 0; i <= THREADS; i++) wrong += join(&workers[i]);
  return wrong + wrong_by_mmap(item, 0, 1);
}

// The size of what came back stands, and its holes can be written to.
static uint64_t wrong_size_or_holes(struct item* item) {
  uint64_t wrong = 0;
  uint64_t size = (uint64_t)lseek(item->fd, 0, SEEK_END);
  if (ftruncate(item->fd, 0) == 0 || ftruncate(item->fd, (off_t)size * 2 + 4096) == 0) {
    fprintf(stderr, "item %lu: its size could be changed\n", item->token);
    wrong++;
  }
  if ((uint64_t)lseek(item->fd, 0, SEEK_END) != size) wrong++;
  if (item->sealed || item->reader) {
    if (write(item->fd, "x", 1) >= 0) wrong++;
    if (size && mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, item->fd, 0) != MAP_FAILED) {
      fprintf(stderr, "item %lu: read-only, and could be mapped writable\n", item->token);
      wrong++;
    }
    return wrong;
  }
  // All of it gets new contents, by turns through the mapping and write().
  uint64_t seed = ~item->token;
  for (uint64_t page = 0; page < item_pages(item); page++) {
    size_t bytes = item_page_bytes(item, page);
    if (page & 1) {
      unsigned char contents[PAGE];
      fill_page(contents, seed, page, bytes);
      ssize_t written = pwrite(item->fd, contents, bytes, (off_t)(page * PAGE));
      if (written != (ssize_t)bytes) {
        fprintf(stderr, "item %lu: write at page %lu%s: %s\n", item->token, page,
                item_hole(item, page) ? ", a hole" : "", written < 0 ? strerror(errno) : "short");
        return wrong + 1;
      }
    } else {
      fill_page(item->memory + page * PAGE, seed, page, bytes);
    }
  }
  for (uint64_t page = 0; page < item_pages(item); page++)
    wrong += !page_is(item->memory + page * PAGE, seed, page, item_page_bytes(item, page));
  return wrong;
}

static uint64_t compare(struct item* item, int session, const char* mode) {
  if (strcmp(mode, "mmap") == 0) return wrong_by_mmap(item, 0, 1);
  if (strcmp(mode, "read") == 0) return wrong_by_read(item);
  if (strcmp(mode, "both") == 0) return wrong_by_both(item);
  if (strcmp(mode, "fork") == 0) return wrong_by_fork(item);
  if (strcmp(mode, "private") == 0) return wrong_by_private(item);
  if (strcmp(mode, "load") == 0) return wrong_under_load(item, session);
  if (strcmp(mode, "pin") == 0) return pin_and_compare(item);
  if (strcmp(mode, "write") == 0) return wrong_size_or_holes(item);
  if (strcmp(mode, "none") == 0) return 0;
  if (strcmp(mode, "restored") == 0) {
    // Nobody touches it: the module's threads have to bring all of it.
    struct handover_session_info info;
    int error = restore(session, 2);
    if (error && error != -EALREADY) die("restore: %s", errno_name(error));
    for (int tries = 0; tries < 6000; tries++) {
      session_info(session, &info);
      if (!info.restoring) break;
      usleep(10000);
    }
    struct handover_describe entry;
    if (describe(session, item->token, &entry) == 0 && entry.pieces_restored != entry.pieces) {
      fprintf(stderr, "item %lu: %llu of %llu pieces restored\n", item->token,
              entry.pieces_restored, entry.pieces);
      return 1;
    }
    return wrong_by_mmap(item, 0, 1);
  }
  die("no such manner of comparing: %s", mode);
}

int verify_items(int session, const char* modes, struct item* items, size_t count) {
  int bad = 0;
  for (size_t i = 0; i < count; i++) {
    struct item* item = &items[i];
    uint64_t begin = now_usec();
    int fd = retrieve(session, item->token);
    uint64_t usec = now_usec() - begin;
    if (fd < 0) {
      printf("{\"what\": \"verify\", \"token\": %lu, \"errno\": \"%s\"}\n", item->token,
             errno_name(fd));
      bad++;
      continue;
    }
    item_map(item, fd);
    uint64_t wrong = 0;
    char copy[256];
    snprintf(copy, sizeof copy, "%s", modes);
    char* next = NULL;
    for (char* mode = strtok_r(copy, ",", &next); mode && !wrong;
         mode = strtok_r(NULL, ",", &next)) {
      wrong += compare(item, session, mode);
      if (wrong) fprintf(stderr, "item %lu, %s: %lu wrong\n", item->token, mode, wrong);
    }
    struct handover_describe entry;
    if (describe(session, item->token, &entry) != 0) memset(&entry, 0, sizeof entry);
    printf(
        "{\"what\": \"verify\", \"token\": %lu, \"errno\": \"0\", \"usec\": %lu, "
        "\"wrong\": %lu, \"pieces\": %llu, \"restored\": %llu, \"faults\": %llu}\n",
        item->token, usec, wrong, entry.pieces, entry.pieces_restored, entry.faults);
    bad += wrong != 0;
    item_unmap(item);
  }
  return bad;
}
