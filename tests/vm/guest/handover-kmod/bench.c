// SPDX-License-Identifier: LGPL-2.1-or-later
// Times the same memory through our module and through the kernel's own LUO memfd path.
//
// Layouts: contiguous (4 KiB pages, allocated in one go), scattered (4 KiB pages, of which two
// files took turns in random order), huge (2 MiB pages), hugetlb (LUO has none), holes. Prints one
// JSON object per step.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

// The kernel's include/uapi/linux/liveupdate.h, which the build machine need not have.
struct luo_session {
  uint32_t size;
  int32_t fd;
  uint8_t name[64];
};

struct luo_file {
  uint32_t size;
  int32_t fd;
  uint64_t token;
};

struct luo_finish {
  uint32_t size;
  uint32_t reserved;
};

#define LUO_CREATE_SESSION _IO(0xba, 0x00)
#define LUO_RETRIEVE_SESSION _IO(0xba, 0x01)
#define LUO_PRESERVE_FD _IO(0xba, 0x40)
#define LUO_RETRIEVE_FD _IO(0xba, 0x41)
#define LUO_FINISH _IO(0xba, 0x42)

static void luo_call(int fd, unsigned long request, void* argument, const char* what) {
  int error = call(fd, request, argument);
  if (error) die("LUO %s: %s", what, errno_name(error));
}

static int luo_session(unsigned long request, const char* name) {
  int luo = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
  if (luo < 0) die("/dev/liveupdate: %s", strerror(errno));
  struct luo_session argument = {.size = sizeof argument};
  snprintf((char*)argument.name, sizeof argument.name, "%s", name);
  luo_call(luo, request, &argument, "session");
  close(luo);
  return argument.fd;
}

#define FILES 3

static struct item layout_item(const char* layout, uint64_t mib, uint64_t token) {
  char text[64];
  snprintf(text, sizeof text, "%lu:%s:%luM%s", token,
           strcmp(layout, "hugetlb") == 0 ? "hugetlb2m" : "memfd", mib,
           strcmp(layout, "huge") == 0        ? ":huge"
           : strcmp(layout, "scattered") == 0 ? ":random"
                                              : "");
  return item_parse(text);
}

static void report(const char* step, uint64_t usec) {
  printf("{\"what\": \"%s\", \"usec\": %lu}\n", step, usec);
}

int bench_preserve(const char* with, const char* layout, uint64_t mib) {
  struct item items[FILES];
  for (uint64_t i = 0; i < FILES; i++) items[i] = layout_item(layout, mib, i + 1);
  items_make(items, FILES, -1, strcmp(layout, "scattered") == 0);
  bool luo = strcmp(with, "luo") == 0;
  int session = luo ? luo_session(LUO_CREATE_SESSION, "bench") : session_create("bench", 0, 0);
  if (session < 0) die("create: %s", errno_name(session));
  uint64_t begin = now_usec();
  for (uint64_t i = 0; i < FILES; i++) {
    struct luo_file argument = {.size = sizeof argument, .fd = items[i].fd, .token = i + 1};
    int error =
        luo ? call(session, LUO_PRESERVE_FD, &argument) : preserve_fd(session, i + 1, items[i].fd);
    if (error) die("preserve: %s", errno_name(error));
  }
  report("preserve", now_usec() - begin);
  if (!luo) {
    struct handover_seal sealed;
    begin = now_usec();
    int error = seal(&sealed);
    if (error) die("seal: %s", errno_name(error));
    report("seal", now_usec() - begin);
    uint64_t keys = 0;
    for (uint64_t i = 0; i < FILES; i++) {
      struct handover_describe entry;
      describe(session, i + 1, &entry);
      for (int order = 0; order < HANDOVER_ORDERS; order++) keys += entry.keys[order];
    }
    printf("{\"what\": \"tables\", \"keys\": %lu, \"bytes\": %llu}\n", keys, sealed.table_bytes);
  }
  printf("{\"what\": \"ready\"}\n");
  // LUO forgets with its session's descriptor.
  for (;;) pause();
}

struct part {
  pthread_t thread;
  const struct item* item;
  uint64_t first, end, wrong;
};

static void* read_part(void* argument) {
  struct part* part = argument;
  for (uint64_t page = part->first; page < part->end; page++) {
    // One word of each page: what is timed is that the page is there, not the comparing.
    unsigned char expected[8];
    fill_page(expected, part->item->token, page, 8);
    part->wrong += memcmp(part->item->memory + page * PAGE, expected, 8) != 0;
  }
  return NULL;
}

static void read_all(const struct item* item, unsigned threads) {
  struct part parts[16];
  uint64_t wrong = 0;
  for (unsigned i = 0; i < threads; i++) {
    parts[i] = (struct part){.item = item,
                             .first = item_pages(item) * i / threads,
                             .end = item_pages(item) * (i + 1) / threads};
    if (pthread_create(&parts[i].thread, NULL, read_part, &parts[i])) die("pthread_create");
  }
  for (unsigned i = 0; i < threads; i++) {
    pthread_join(parts[i].thread, NULL);
    wrong += parts[i].wrong;
  }
  if (wrong) die("item %lu: %lu pages came back wrong", item->token, wrong);
}

int bench_retrieve(const char* with, const char* layout, uint64_t mib) {
  bool luo = strcmp(with, "luo") == 0;
  int session = luo ? luo_session(LUO_RETRIEVE_SESSION, "bench") : session_must("bench");
  for (uint64_t token = 1; token <= FILES; token++) {
    struct item item = layout_item(layout, mib, token);
    struct luo_file argument = {.size = sizeof argument, .fd = -1, .token = token};
    uint64_t begin = now_usec();
    int fd = luo ? call(session, LUO_RETRIEVE_FD, &argument) : retrieve(session, token);
    uint64_t usec = now_usec() - begin;
    if (fd < 0) die("retrieve: %s", errno_name(fd));
    if (token == 1) report("retrieve", usec);
    item_map(&item, luo ? argument.fd : fd);
    if (token == 1) {
      struct part first = {
          .item = &item, .first = item_pages(&item) / 2, .end = item_pages(&item) / 2 + 1};
      read_part(&first);
      report("first byte", now_usec() - begin);
      read_all(&item, 1);
      report("all read, 1 thread", now_usec() - begin);
    } else {
      struct handover_session_info info = {.restoring = 1};
      if (!luo) {
        int error = restore(session, token == 2 ? 1 : 2);
        if (error) die("restore: %s", errno_name(error));
      }
      if (token == 3) {
        read_all(&item, 2);
        report("all read, 2 threads", now_usec() - begin);
      }
      while (!luo && info.restoring) {
        usleep(200);
        session_info(session, &info);
      }
      report(token == 2 ? "all restored, 1 thread" : "all restored, 2 threads",
             luo ? usec : now_usec() - begin);
      if (token == 2) read_all(&item, 1);
    }
    item_unmap(&item);
  }
  if (luo) {
    struct luo_finish end = {.size = sizeof end};
    luo_call(session, LUO_FINISH, &end, "finish");
  } else {
    int error = finish(session, NULL);
    if (error) die("finish: %s", errno_name(error));
  }
  return 0;
}
