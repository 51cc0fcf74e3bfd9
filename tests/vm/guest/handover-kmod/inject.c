// SPDX-License-Identifier: LGPL-2.1-or-later
// Fails each allocation of an ioctl in turn, as tools/testing/selftests/iommu/iommufd_fail_nth.c of
// the kernel does: /proc/self/fail-nth = n makes the n-th allocation of this thread fail.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

static int fail_nth = -1;

static void setting(const char* path, const char* value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) die("%s: %s", path, strerror(errno));
  close(fd);
}

static void prepare(void) {
  static const char* const attributes[] = {"failslab", "fail_page_alloc"};
  char path[128];
  for (size_t i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "/sys/kernel/debug/%s/ignore-gfp-wait", attributes[i]);
    setting(path, "N");
    snprintf(path, sizeof path, "/sys/kernel/debug/%s/verbose", attributes[i]);
    setting(path, "0");
  }
  setting("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
  setting("/sys/kernel/debug/fail_page_alloc/min-order", "0");
  fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
  if (fail_nth < 0) die("/proc/thread-self/fail-nth: %s (no checking kernel?)", strerror(errno));
}

static void arm(unsigned n) {
  char text[16];
  int size = snprintf(text, sizeof text, "%u", n);
  if (pwrite(fail_nth, text, (size_t)size, 0) != size) die("fail-nth: %s", strerror(errno));
}

// Whether the failure happened since arm().
static bool disarm(void) {
  char text[16] = "";
  if (pread(fail_nth, text, sizeof text - 1, 0) < 0) die("fail-nth: %s", strerror(errno));
  arm(0);
  return atoi(text) == 0;
}

// KiB of free memory once all that can be given back is, with what lies in the lists of each CPU,
// and with the slabs: KASAN keeps freed objects back (its quarantine), so that these only grow.
static long settled_free(void) {
  sync();
  setting("/proc/sys/vm/drop_caches", "3");
  usleep(300000);
  FILE* file = fopen("/proc/zoneinfo", "re");
  char line[128];
  long pages = 0;
  long number;
  while (file && fgets(line, sizeof line, file))
    if (sscanf(line, " nr_free_pages %ld", &number) == 1 ||
        sscanf(line, " count: %ld", &number) == 1 ||
        sscanf(line, " nr_slab_reclaimable %ld", &number) == 1 ||
        sscanf(line, " nr_slab_unreclaimable %ld", &number) == 1)
      pages += number;
  if (file) fclose(file);
  return pages * 4;
}

static bool same(const struct handover_info* one, const struct handover_info* other) {
  return memcmp(one, other, sizeof *one) == 0;
}

// One call, with n = 1, 2, … until none fails any more. Returns the failures that were seen.
static unsigned sweep(const char* name, int (*act)(void*), void (*undo)(void*), void* data,
                      int* faults) {
  unsigned injected = 0;
  unsigned survived = 0;
  unsigned n = 1;
  for (; n < 100000; n++) {
    struct handover_info before = device_info();
    arm(n);
    int error = act(data);
    bool happened = disarm();
    struct handover_info after = device_info();
    if (happened) injected++;
    if (error >= 0) {
      undo(data);
      if (happened) survived++;
    } else if (!happened) {
      printf(
          "{\"what\": \"inject %s\", \"n\": %u, \"errno\": \"%s\", \"but\": \"nothing failed\"}\n",
          name, n, errno_name(error));
      ++*faults;
      break;
    } else {
      if (error != -ENOMEM) {
        printf("{\"what\": \"inject %s\", \"n\": %u, \"errno\": \"%s\"}\n", name, n,
               errno_name(error));
        // ENOMEM is what the interface says of it.
        ++*faults;
      }
      if (!same(&before, &after)) {
        printf(
            "{\"what\": \"inject %s\", \"n\": %u, \"but\": \"%llu bytes and %u sessions before, "
            "%llu and %u after\"}\n",
            name, n, before.bytes, before.sessions, after.bytes, after.sessions);
        ++*faults;
      }
    }
    if (!happened) break;
  }
  printf("{\"what\": \"inject %s\", \"injected\": %u, \"survived\": %u}\n", name, injected,
         survived);
  return injected;
}

struct state {
  int session;
  struct item item;
  int made;
};

static int act_create(void* data) {
  struct state* state = data;
  return state->made = session_create("inject-more", 0, 0);
}

static void undo_create(void* data) {
  struct state* state = data;
  discard(state->made, NULL);
  close(state->made);
}

static int act_preserve(void* data) {
  struct state* state = data;
  return item_preserve(&state->item, state->session);
}

static void undo_preserve(void* data) {
  struct state* state = data;
  int error = unpreserve(state->session, state->item.token);
  if (error) die("unpreserve after success: %s", errno_name(error));
}

static int act_allocate(void* data) {
  struct state* state = data;
  return state->made = allocate_memory(state->session, 77, 3u << 20, -1);
}

static void undo_allocate(void* data) {
  struct state* state = data;
  close(state->made);
  int error = unpreserve(state->session, 77);
  if (error) die("unpreserve after success: %s", errno_name(error));
}

static int act_seal(void* data) {
  (void)data;
  return seal(NULL);
}

static void undo_seal(void* data) {
  (void)data;
  unseal();
}

static int act_retrieve(void* data) {
  struct state* state = data;
  return state->made = retrieve(state->session, state->item.token);
}

// Sweeps and says whether memory was lost by it. The first time fills caches, and now and then a
// service takes some MiB meanwhile; what leaks is lost by every sweep.
static bool leaks(const char* name, void (*once)(const char*, struct state*, int*),
                  struct state* state, int* faults) {
  long lost = 0;
  for (int i = 0; i < 5; i++) {
    long before = settled_free();
    once(name, state, faults);
    lost = before - settled_free();
    printf("{\"what\": \"inject %s\", \"lost_kib\": %ld}\n", name, lost);
    if (i && lost <= 768) return false;
  }
  return true;
}

static void sweep_item(const char* text, struct state* state, int* faults) {
  state->item = item_parse(text);
  items_make(&state->item, 1, state->session, false);
  sweep(text, act_preserve, undo_preserve, state, faults);
  // A pin that was left would keep the pages away.
  item_unmap(&state->item);
  if (state->item.kind == KIND_TMPFS) unlink("/dev/shm/item-1");
}

static void sweep_allocate(const char* name, struct state* state, int* faults) {
  sweep("create", act_create, undo_create, state, faults);
  sweep(name, act_allocate, undo_allocate, state, faults);
}

static void sweep_seal(const char* name, struct state* state, int* faults) {
  sweep(name, act_seal, undo_seal, state, faults);
}

static int inject_preserve(void) {
  static const char* const items[] = {
      "1:memfd:6M+12K:random", "1:memfd:4M:odd", "1:memfd:4M:huge", "1:tmpfs:1M", "1:hugetlb2m:4M",
      "1:anon:2M:random",      "1:private:1M",   "1:shared:1M",     "1:memfd:0",  "1:memfd:1",
  };
  int faults = 0;
  struct state state = {.session = session_create("inject", 0, 0)};
  if (state.session < 0) die("create: %s", errno_name(state.session));
  if (leaks("allocate", sweep_allocate, &state, &faults)) faults++;
  for (size_t i = 0; i < sizeof items / sizeof *items; i++)
    if (leaks(items[i], sweep_item, &state, &faults)) faults++;
  discard(state.session, NULL);
  return faults;
}

// Files of which some have changed since: sealing has to bring their tables up to date.
static void preserve_files(const char* name) {
  int session = session_create(name, 0, 0);
  if (session < 0) die("create: %s", errno_name(session));
  for (uint64_t token = 1; token <= 40; token++) {
    char text[64];
    snprintf(text, sizeof text, "%lu:memfd:%luK:odd", token, 4 * token);
    struct item item = item_parse(text);
    items_make(&item, 1, session, false);
    int error = item_preserve(&item, session);
    if (error) die("preserve: %s", errno_name(error));
    if (token % 8 == 0) fill_page(item.memory + PAGE, token, 1, PAGE);
    item_unmap(&item);
  }
}

static int inject_seal(void) {
  static const char* const names[] = {"inject-0", "inject-1", "inject-2"};
  int faults = 0;
  struct state state = {0};
  for (size_t i = 0; i < 3; i++) preserve_files(names[i]);
  if (leaks("seal", sweep_seal, &state, &faults)) faults++;
  for (size_t i = 0; i < 3; i++) discard(session_must(names[i]), NULL);
  return faults;
}

// In the new kernel: what "preserve inject 1:memfd:8M:random … 8:memfd:8M" left.
static int inject_retrieve(void) {
  int faults = 0;
  for (unsigned n = 1; n <= 8; n++) {
    // A retrieve succeeds once: each token stands for one place at which it fails before.
    struct state state = {.session = session_must("inject")};
    char text[64];
    snprintf(text, sizeof text, "%u:memfd:8M:random", n);
    state.item = item_parse(text);
    arm(n);
    int fd = act_retrieve(&state);
    bool happened = disarm();
    if (fd < 0 && (fd != -ENOMEM || !happened)) {
      printf("{\"what\": \"inject retrieve\", \"n\": %u, \"errno\": \"%s\"}\n", n, errno_name(fd));
      faults++;
    }
    if (fd < 0) fd = act_retrieve(&state);
    if (fd < 0) die("retrieve after ENOMEM: %s", errno_name(fd));
    item_map(&state.item, fd);
    // read() says ENOMEM where a fault would kill us.
    unsigned char* buffer = allocate(1u << 20);
    unsigned injected = 0;
    for (unsigned m = 1; m < 1000; m++) {
      arm(m);
      ssize_t size = pread(state.item.fd, buffer, 1u << 20, (off_t)((m % 8) << 20));
      int error = errno;
      if (!disarm()) break;
      injected++;
      if (size < 0 && error != ENOMEM && error != EFAULT) {
        printf("{\"what\": \"inject read\", \"n\": %u, \"errno\": \"%s\"}\n", m, errno_name(error));
        faults++;
      }
    }
    for (uint64_t page = 0; page < item_pages(&state.item); page++)
      faults += !item_page_right(&state.item, page, state.item.memory + page * PAGE);
    printf("{\"what\": \"inject retrieve\", \"n\": %u, \"happened\": %s, \"reads_failed\": %u}\n",
           n, happened ? "true" : "false", injected);
    free(buffer);
    item_unmap(&state.item);
    close(state.session);
  }
  return faults;
}

int inject(const char* what) {
  prepare();
  if (strcmp(what, "preserve") == 0) return inject_preserve() != 0;
  if (strcmp(what, "seal") == 0) return inject_seal() != 0;
  if (strcmp(what, "retrieve") == 0) return inject_retrieve() != 0;
  die("inject where?");
}
