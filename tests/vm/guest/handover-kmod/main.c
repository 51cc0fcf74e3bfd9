// SPDX-License-Identifier: LGPL-2.1-or-later
// Speaks /dev/handover's ioctls, for tests/vm/test_kmod.py. Each line of output is JSON.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

static const char usage[] =
    "usage: handover-kmod COMMAND\n"
    "  info | list                       the device; its sessions\n"
    "  create SESSION [BYTES [ENTRIES]]\n"
    "  preserve [--interleave] [--wait] [--count FIRST-END]... SESSION ITEM...\n"
    "                                    makes, fills and preserves (items: see item.h);\n"
    "                                    --wait keeps descriptors and mappings until killed;\n"
    "                                    --count: pages in frames from FIRST to before END, "
    "before\n"
    "                                    and after\n"
    "  tokens SESSION | describe SESSION TOKEN | session SESSION\n"
    "  unpreserve SESSION TOKEN\n"
    "  seal | unseal\n"
    "  verify SESSION HOW[,HOW...] ITEM...\n"
    "                                    HOW: mmap read both fork private load pin restored\n"
    "                                    none, and write as the last one\n"
    "  again OLD NEW HOW ITEM...         retrieves from OLD, looks, preserves in NEW, finishes "
    "OLD\n"
    "  retrieve SESSION TOKEN | restore SESSION THREADS\n"
    "  finish SESSION | discard SESSION\n"
    "  refusals before|after SESSION | refusals no-kho\n"
    "  inject preserve|seal|retrieve\n"
    "  fuzz SECONDS THREADS SEED\n"
    "  bench preserve|retrieve luo|tracker LAYOUT MIB\n";

static int result(const char* what, int error) {
  printf("{\"what\": \"%s\", \"errno\": \"%s\"}\n", what, errno_name(error < 0 ? error : 0));
  return error < 0;
}

static void print_info(void) {
  struct handover_info info = device_info();
  printf(
      "{\"abi\": %u, \"format\": %u, \"sealed\": %u, \"features\": %llu, \"generation\": %llu, "
      "\"sessions\": %u, \"incoming\": %u, \"bytes\": %llu, \"lost\": %u}\n",
      info.abi, info.format, info.sealed, info.features, info.generation, info.sessions,
      info.incoming, info.bytes, info.lost);
}

static void print_sessions(void) {
  struct handover_session_item items[64];
  struct handover_list_sessions list = {
      .size = sizeof list, .count = 64, .items = (uint64_t)(uintptr_t)items};
  int error = call(device(), HANDOVER_LIST_SESSIONS, &list);
  if (error) die("HANDOVER_LIST_SESSIONS: %s", errno_name(error));
  for (uint32_t i = 0; i < list.count && i < 64; i++)
    printf("{\"name\": \"%s\", \"incoming\": %u, \"entries\": %u, \"bytes\": %llu}\n",
           (char*)items[i].name, items[i].flags & HANDOVER_SESSION_INCOMING, items[i].entries,
           items[i].bytes);
}

static void print_session(int session) {
  struct handover_session_info info;
  int error = session_info(session, &info);
  if (error) die("HANDOVER_SESSION_INFO: %s", errno_name(error));
  printf(
      "{\"name\": \"%s\", \"incoming\": %u, \"bytes\": %llu, \"max_bytes\": %llu, "
      "\"entries\": %u, \"max_entries\": %u, \"retrieved\": %u, \"restoring\": %u, "
      "\"pieces\": %llu, \"pieces_restored\": %llu}\n",
      (char*)info.name, info.flags & HANDOVER_SESSION_INCOMING, info.bytes, info.max_bytes,
      info.entries, info.max_entries, info.retrieved, info.restoring, info.pieces,
      info.pieces_restored);
}

static void print_tokens(int session) {
  uint64_t tokens[1024];
  struct handover_list_tokens list = {
      .size = sizeof list, .count = 1024, .tokens = (uint64_t)(uintptr_t)tokens};
  int error = call(session, HANDOVER_SESSION_LIST_TOKENS, &list);
  if (error) die("HANDOVER_SESSION_LIST_TOKENS: %s", errno_name(error));
  for (uint32_t i = 0; i < list.count && i < 1024; i++) printf("%lu\n", tokens[i]);
}

static int print_description(int session, uint64_t token) {
  struct handover_describe entry;
  int error = describe(session, token, &entry);
  if (error) return result("describe", error);
  printf(
      "{\"what\": \"describe\", \"errno\": \"0\", \"token\": %llu, \"kind\": %u, \"flags\": %u, "
      "\"nodes\": %u, \"length\": %llu, \"bytes\": %llu, \"extents\": %llu, \"runs\": %llu, "
      "\"table_bytes\": %llu, \"pieces\": %llu, \"pieces_restored\": %llu, \"faults\": %llu, "
      "\"keys\": [",
      entry.token, entry.kind, entry.flags, entry.nodes, entry.length, entry.bytes, entry.extents,
      entry.runs, entry.table_bytes, entry.pieces, entry.pieces_restored, entry.faults);
  for (int order = 0; order < HANDOVER_ORDERS; order++)
    printf("%s%llu", order ? ", " : "", entry.keys[order]);
  printf("]}\n");
  return 0;
}

static struct item* parse_items(char** arguments, size_t count) {
  struct item* items = allocate(count * sizeof *items);
  for (size_t i = 0; i < count; i++) items[i] = item_parse(arguments[i]);
  return items;
}

static int session_for(const char* name) {
  int session = session_create(name, 0, 0);
  return session == -EEXIST ? session_must(name) : session;
}

static int preserve(char** arguments, size_t count) {
  bool interleave = false, wait = false;
  struct {
    uint64_t first, end;
  } ranges[16];
  size_t nr_ranges = 0;
  for (; count && strncmp(arguments[0], "--", 2) == 0; arguments++, count--) {
    if (strcmp(arguments[0], "--interleave") == 0) interleave = true;
    if (strcmp(arguments[0], "--wait") == 0) wait = true;
    if (strcmp(arguments[0], "--count") == 0 && count > 1 && nr_ranges < 16) {
      arguments++, count--;
      if (sscanf(arguments[0], "%lu-%lu", &ranges[nr_ranges].first, &ranges[nr_ranges].end) != 2)
        die("not FIRST-END: %s", arguments[0]);
      nr_ranges++;
    }
  }
  if (count < 2) die("preserve what?");
  int session = session_for(arguments[0]);
  if (session < 0) return result("create", session);
  struct item* items = parse_items(arguments + 1, count - 1);
  int failed = 0;
  int error = items_make(items, count - 1, session, interleave);
  if (error) return result("allocate", error);
  for (size_t i = 0; i < count - 1; i++) {
    uint64_t before = 0, after = 0;
    for (size_t j = 0; j < nr_ranges; j++)
      before += item_frames_in(&items[i], ranges[j].first, ranges[j].end);
    uint64_t begin = now_usec();
    error = item_preserve(&items[i], session);
    uint64_t usec = now_usec() - begin;
    // A page that moved is mapped again when it is touched.
    for (size_t at = 0; nr_ranges && at < items[i].size && items[i].memory; at += PAGE)
      if (!item_hole(&items[i], at / PAGE)) (void)*(volatile unsigned char*)(items[i].memory + at);
    for (size_t j = 0; j < nr_ranges; j++)
      after += item_frames_in(&items[i], ranges[j].first, ranges[j].end);
    printf(
        "{\"what\": \"preserve\", \"token\": %lu, \"errno\": \"%s\", \"usec\": %lu, "
        "\"expected_bytes\": %lu, \"counted_before\": %lu, \"counted_after\": %lu}\n",
        items[i].token, errno_name(error), usec, item_bytes(&items[i]), before, after);
    if (error) {
      failed++;
      continue;
    }
    if (items[i].late) item_write_late(&items[i]);
  }
  fflush(stdout);
  while (wait) pause();
  return failed != 0;
}

static int again(const char* old, const char* new, char** arguments, size_t count) {
  int from = session_must(old);
  int to = session_for(new);
  if (to < 0) return result("create", to);
  struct item* items = parse_items(arguments, count);
  int failed = 0;
  for (size_t i = 0; i < count; i++) {
    int fd = retrieve(from, items[i].token);
    if (fd < 0) {
      failed += result("retrieve", fd);
      continue;
    }
    uint64_t wrong = 0;
    item_map(&items[i], fd);
    if (items[i].touch) {
      for (uint64_t page = 0; page < item_pages(&items[i]) / 2; page++)
        wrong += !item_page_right(&items[i], page, items[i].memory + page * PAGE);
    }
    uint64_t begin = now_usec();
    int error = preserve_fd(to, items[i].token, fd);
    printf(
        "{\"what\": \"again\", \"token\": %lu, \"errno\": \"%s\", \"usec\": %lu, "
        "\"wrong\": %lu}\n",
        items[i].token, errno_name(error), now_usec() - begin, wrong);
    failed += error != 0 || wrong != 0;
    item_unmap(&items[i]);
  }
  uint64_t freed = 0;
  int error = finish(from, &freed);
  printf("{\"what\": \"finish\", \"errno\": \"%s\", \"freed\": %lu}\n", errno_name(error), freed);
  return failed || error;
}

static int hold(const char* name, char** arguments, size_t count) {
  int session = session_must(name);
  struct item* items = parse_items(arguments, count);
  for (size_t i = 0; i < count; i++) {
    int fd = retrieve(session, items[i].token);
    if (fd < 0) return result("retrieve", fd);
    item_map(&items[i], fd);
  }
  close(session);
  fclose(fopen("/run/handover-kmod.held", "w"));
  while (access("/run/handover-kmod.go", F_OK) != 0) usleep(20000);
  uint64_t wrong = 0;
  for (size_t i = 0; i < count; i++)
    for (uint64_t page = 0; page < item_pages(&items[i]); page++)
      wrong += !item_page_right(&items[i], page, items[i].memory + page * PAGE);
  printf("{\"what\": \"hold\", \"wrong\": %lu}\n", wrong);
  return wrong != 0;
}

static int end(const char* what, int session) {
  uint64_t freed = 0;
  int error = strcmp(what, "finish") == 0 ? finish(session, &freed) : discard(session, &freed);
  printf("{\"what\": \"%s\", \"errno\": \"%s\", \"freed\": %lu}\n", what, errno_name(error), freed);
  return error != 0;
}

static int do_seal(void) {
  struct handover_seal sealed;
  uint64_t begin = now_usec();
  int error = seal(&sealed);
  printf(
      "{\"what\": \"seal\", \"errno\": \"%s\", \"usec\": %lu, \"table_bytes\": %llu, "
      "\"updated\": %u}\n",
      errno_name(error), now_usec() - begin, sealed.table_bytes, sealed.updated);
  return error != 0;
}

int main(int count, char** arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char* what = count > 1 ? arguments[1] : "";
  size_t rest = count > 2 ? (size_t)count - 2 : 0;
  char** words = arguments + 2;
#define IS(name, least) (strcmp(what, name) == 0 && count >= (least) + 2)
  if (IS("info", 0)) return print_info(), 0;
  if (IS("list", 0)) return print_sessions(), 0;
  if (IS("create", 1))
    return result("create", session_create(words[0], rest > 1 ? strtoull(words[1], NULL, 0) : 0,
                                           rest > 2 ? (uint32_t)strtoul(words[2], NULL, 0) : 0));
  if (IS("preserve", 2)) return preserve(words, rest);
  if (IS("session", 1)) return print_session(session_must(words[0])), 0;
  if (IS("tokens", 1)) return print_tokens(session_must(words[0])), 0;
  if (IS("describe", 2))
    return print_description(session_must(words[0]), strtoull(words[1], NULL, 0));
  if (IS("unpreserve", 2))
    return result(what, unpreserve(session_must(words[0]), strtoull(words[1], NULL, 0)));
  if (IS("seal", 0)) return do_seal();
  if (IS("unseal", 0)) return result(what, unseal());
  if (IS("verify", 3))
    return verify_items(session_must(words[0]), words[1], parse_items(words + 2, rest - 2),
                        rest - 2) != 0;
  if (IS("again", 3)) return again(words[0], words[1], words + 2, rest - 2);
  if (IS("hold", 2)) return hold(words[0], words + 1, rest - 1);
  if (IS("retrieve", 2))
    return result(what, retrieve(session_must(words[0]), strtoull(words[1], NULL, 0)));
  if (IS("restore", 2))
    return result(what, restore(session_must(words[0]), (uint32_t)strtoul(words[1], NULL, 0)));
  if (IS("finish", 1) || IS("discard", 1)) return end(what, session_must(words[0]));
  if (IS("refusals", 1)) {
    if (strcmp(words[0], "no-kho") == 0) return refusals_without_kho() != 0;
    if (rest == 2 && strcmp(words[0], "before") == 0) return refusals_before(words[1]) != 0;
    if (rest == 2 && strcmp(words[0], "after") == 0) return refusals_after(words[1]) != 0;
  }
  if (IS("inject", 1)) return inject(words[0]);
  if (IS("fuzz", 3))
    return fuzz((unsigned)atoi(words[0]), (unsigned)atoi(words[1]), strtoull(words[2], NULL, 0));
  if (IS("bench", 4)) {
    uint64_t mib = strtoull(words[3], NULL, 0);
    if (strcmp(words[0], "preserve") == 0) return bench_preserve(words[1], words[2], mib);
    return bench_retrieve(words[1], words[2], mib);
  }
  fputs(usage, stderr);
  return 2;
}
