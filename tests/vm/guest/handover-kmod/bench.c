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

static struct item layout_item(const char* layout, uint64_t mib) {
  char text[64];
  snprintf(text, sizeof text, "1:%s:%luM%s", strcmp(layout, "hugetlb") == 0 ? "hugetlb2m" : "memfd",
           mib,
           strcmp(layout, "huge") == 0        ? ":huge"
           : strcmp(layout, "scattered") == 0 ? ":random"
                                              : "");
  return item_parse(text);
}

static void report(const char* step, const char* with, const char* layout, uint64_t mib,
                   uint64_t usec) {
  printf("{\"what\": \"%s\", \"with\": \"%s\", \"layout\": \"%s\", \"mib\": %lu, \"usec\": %lu}\n",
         step, with, layout, mib, usec);
}

int bench_preserve(const char* with, const char* layout, uint64_t mib) {
  struct item items[2] = {layout_item(layout, mib), layout_item(layout, mib)};
  bool scattered = strcmp(layout, "scattered") == 0;
  items[1].token = 2;
  items_make(items, scattered ? 2 : 1, -1, true);
  // The other half is given back, and stays free between our pages.
  if (scattered) item_unmap(&items[1]);
  if (strcmp(with, "luo") == 0) {
    int session = luo_session(LUO_CREATE_SESSION, "bench");
    struct luo_file argument = {.size = sizeof argument, .fd = items[0].fd, .token = 1};
    uint64_t begin = now_usec();
    luo_call(session, LUO_PRESERVE_FD, &argument, "preserve");
    report("preserve", with, layout, mib, now_usec() - begin);
    printf("{\"what\": \"ready\"}\n");
    // LUO forgets with its session's descriptor.
    for (;;) pause();
  }
  int session = session_create("bench", 0, 0);
  if (session < 0) die("create: %s", errno_name(session));
  uint64_t begin = now_usec();
  int error = preserve_fd(session, 1, items[0].fd);
  if (error) die("preserve: %s", errno_name(error));
  report("preserve", with, layout, mib, now_usec() - begin);
  struct handover_seal sealed;
  begin = now_usec();
  error = seal(&sealed);
  if (error) die("seal: %s", errno_name(error));
  report("seal", with, layout, mib, now_usec() - begin);
  struct handover_describe entry;
  describe(session, 1, &entry);
  uint64_t keys = 0;
  for (int order = 0; order < HANDOVER_ORDERS; order++) keys += entry.keys[order];
  printf(
      "{\"what\": \"tables\", \"keys\": %lu, \"table_bytes\": %llu, \"runs\": %llu, "
      "\"extents\": %llu}\n{\"what\": \"ready\"}\n",
      keys, entry.table_bytes, entry.runs, entry.extents);
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
    uint64_t word;
    unsigned char expected[8];
    memcpy(&word, part->item->memory + page * PAGE, 8);
    fill_page(expected, part->item->token, page, 8);
    part->wrong += memcmp(&word, expected, 8) != 0;
  }
  return NULL;
}

int bench_retrieve(const char* with, const char* layout, uint64_t mib, unsigned threads) {
  struct item item = layout_item(layout, mib);
  int fd;
  int session;
  uint64_t begin;
  uint64_t usec;
  if (threads < 1 || threads > 16) die("1 to 16 threads");
  if (strcmp(with, "luo") == 0) {
    session = luo_session(LUO_RETRIEVE_SESSION, "bench");
    struct luo_file argument = {.size = sizeof argument, .fd = -1, .token = 1};
    begin = now_usec();
    luo_call(session, LUO_RETRIEVE_FD, &argument, "retrieve");
    usec = now_usec() - begin;
    fd = argument.fd;
  } else {
    session = session_must("bench");
    begin = now_usec();
    fd = retrieve(session, 1);
    usec = now_usec() - begin;
    if (fd < 0) die("retrieve: %s", errno_name(fd));
  }
  report("retrieve", with, layout, mib, usec);
  item_map(&item, fd);
  struct part first = {
      .item = &item, .first = item_pages(&item) / 2, .end = item_pages(&item) / 2 + 1};
  read_part(&first);
  report("first byte", with, layout, mib, now_usec() - begin);
  struct part parts[16];
  for (unsigned i = 0; i < threads; i++) {
    parts[i] = (struct part){.item = &item,
                             .first = item_pages(&item) * i / threads,
                             .end = item_pages(&item) * (i + 1) / threads};
    pthread_create(&parts[i].thread, NULL, read_part, &parts[i]);
  }
  uint64_t wrong = first.wrong;
  for (unsigned i = 0; i < threads; i++) {
    pthread_join(parts[i].thread, NULL);
    wrong += parts[i].wrong;
  }
  report("all read", with, layout, mib, now_usec() - begin);
  if (wrong) die("%lu pages came back wrong", wrong);
  if (strcmp(with, "luo") == 0) {
    struct luo_finish end = {.size = sizeof end};
    luo_call(session, LUO_FINISH, &end, "finish");
  } else {
    finish(session, NULL);
  }
  return 0;
}
