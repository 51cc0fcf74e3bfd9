// SPDX-License-Identifier: LGPL-2.1-or-later
// Wrong calls: each has its errno, and after it all is as it was before.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

// A token that no test uses otherwise.
#define SPARE 9000

static int wrong;
static struct handover_info untouched;

static void begin(void) {
  wrong = 0;
  untouched = device_info();
}

// @error must be one of two (the same twice, mostly).
static void expect2(const char* what, int error, int one, int other) {
  if (error > 0) error = 0;
  bool fits = error == -one || error == -other;
  struct handover_info info = device_info();
  bool same = memcmp(&info, &untouched, sizeof info) == 0;
  if (!fits || !same) wrong++;
  printf("{\"what\": \"%s\", \"errno\": \"%s\", \"expected\": \"%s%s%s\", \"right\": %s}\n", what,
         errno_name(error), errno_name(one), one == other ? "" : " or ",
         one == other ? "" : errno_name(other), fits && same ? "true" : "false");
  if (!same)
    printf(
        "{\"what\": \"%s: changed: sealed %u to %u, sessions %u to %u, bytes %llu to %llu\", "
        "\"right\": false}\n",
        what, untouched.sealed, info.sealed, untouched.sessions, info.sessions, untouched.bytes,
        info.bytes);
}

static void expect(const char* what, int error, int expected) {
  expect2(what, error, expected, expected);
}

static int file_of(size_t size, unsigned flags) {
  int fd = memfd_create("refusals", MFD_CLOEXEC | flags);
  if (fd < 0 || ftruncate(fd, (off_t)size) != 0) die("memfd: %s", strerror(errno));
  return fd;
}

// Every structure with every wrong size.
static void sizes(int session) {
  static const struct {
    const char* name;
    unsigned long request;
    unsigned size;
    bool on_session;
  } calls[] = {
      {"info", HANDOVER_INFO, sizeof(struct handover_info), false},
      {"create", HANDOVER_CREATE_SESSION, sizeof(struct handover_create_session), false},
      {"retrieve session", HANDOVER_RETRIEVE_SESSION, sizeof(struct handover_retrieve_session),
       false},
      {"list", HANDOVER_LIST_SESSIONS, sizeof(struct handover_list_sessions), false},
      {"seal", HANDOVER_SEAL, sizeof(struct handover_seal), false},
      {"unseal", HANDOVER_UNSEAL, sizeof(struct handover_seal), false},
      {"session info", HANDOVER_SESSION_INFO, sizeof(struct handover_session_info), true},
      {"preserve fd", HANDOVER_SESSION_PRESERVE_FD, sizeof(struct handover_preserve_fd), true},
      {"preserve range", HANDOVER_SESSION_PRESERVE_RANGE, sizeof(struct handover_preserve_range),
       true},
      {"allocate", HANDOVER_SESSION_ALLOCATE, sizeof(struct handover_allocate), true},
      {"unpreserve", HANDOVER_SESSION_UNPRESERVE, sizeof(struct handover_unpreserve), true},
      {"retrieve", HANDOVER_SESSION_RETRIEVE, sizeof(struct handover_retrieve), true},
      {"describe", HANDOVER_SESSION_DESCRIBE, sizeof(struct handover_describe), true},
      {"list tokens", HANDOVER_SESSION_LIST_TOKENS, sizeof(struct handover_list_tokens), true},
      {"restore", HANDOVER_SESSION_RESTORE, sizeof(struct handover_restore), true},
      {"finish", HANDOVER_SESSION_FINISH, sizeof(struct handover_session_end), true},
      {"discard", HANDOVER_SESSION_DISCARD, sizeof(struct handover_session_end), true},
  };
  union {
    uint32_t size;
    unsigned char bytes[8192];
  } argument;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    int fd = calls[i].on_session ? session : device();
    unsigned long request = calls[i].request;
    char what[64];
    memset(&argument, 0, sizeof argument);
    snprintf(what, sizeof what, "%s: size 0", calls[i].name);
    expect(what, call(fd, request, &argument), EINVAL);
    argument.size = calls[i].size - 1;
    snprintf(what, sizeof what, "%s: one byte too short", calls[i].name);
    expect(what, call(fd, request, &argument), EINVAL);
    argument.size = calls[i].size + 8;
    argument.bytes[calls[i].size] = 1;
    snprintf(what, sizeof what, "%s: longer, not zero", calls[i].name);
    expect(what, call(fd, request, &argument), E2BIG);
    argument.size = UINT32_MAX;
    snprintf(what, sizeof what, "%s: size of 4 GiB", calls[i].name);
    expect2(what, call(fd, request, &argument), E2BIG, EFAULT);
    snprintf(what, sizeof what, "%s: at address 8", calls[i].name);
    expect(what, call(fd, request, (void*)8), EFAULT);
    // The size says that the structure goes on into a page that is not there.
    unsigned char* edge =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + PAGE, PAGE);
    uint32_t size = calls[i].size;
    memcpy(edge + PAGE - 4, &size, 4);
    snprintf(what, sizeof what, "%s: across the end of memory", calls[i].name);
    expect(what, call(fd, request, edge + PAGE - 4), EFAULT);
    munmap(edge, PAGE);
    snprintf(what, sizeof what, "%s: on the wrong descriptor", calls[i].name);
    argument.size = calls[i].size;
    argument.bytes[calls[i].size] = 0;
    expect(what, call(calls[i].on_session ? device() : session, request, &argument), ENOTTY);
  }
  memset(&argument, 0, sizeof argument);
  argument.size = 64;
  expect("unknown ioctl of the device", call(device(), _IO(HANDOVER_IOCTL_TYPE, 0x3f), &argument),
         ENOTTY);
  expect("unknown ioctl of a session", call(session, _IO(HANDOVER_IOCTL_TYPE, 0x7f), &argument),
         ENOTTY);
  expect("ioctl of another type", call(device(), _IO(0x99, 1), &argument), ENOTTY);

  // Longer, with zeros: taken.
  memset(&argument, 0, sizeof argument);
  argument.size = sizeof(struct handover_info) + 64;
  expect("info: longer, zero", call(device(), HANDOVER_INFO, &argument), 0);
}

static void flags(int session) {
  int fd = file_of(PAGE, 0);
  struct handover_preserve_fd preserve = {
      .size = sizeof preserve, .fd = fd, .token = SPARE, .flags = 1};
  expect2("preserve fd: unknown flag", call(session, HANDOVER_SESSION_PRESERVE_FD, &preserve),
          EOPNOTSUPP, EINVAL);
  preserve.flags = 0;
  preserve.reserved = 1;
  expect2("preserve fd: reserved", call(session, HANDOVER_SESSION_PRESERVE_FD, &preserve),
          EOPNOTSUPP, EINVAL);
  struct handover_seal sealing = {.size = sizeof sealing, .flags = 1u << 31};
  expect2("seal: unknown flag", call(device(), HANDOVER_SEAL, &sealing), EOPNOTSUPP, EINVAL);
  expect2("unseal: unknown flag", call(device(), HANDOVER_UNSEAL, &sealing), EOPNOTSUPP, EINVAL);
  struct handover_allocate allocation = {
      .size = sizeof allocation, .length = PAGE, .token = SPARE, .node = -1, .flags = 4};
  expect2("allocate: unknown flag", call(session, HANDOVER_SESSION_ALLOCATE, &allocation),
          EOPNOTSUPP, EINVAL);
  struct handover_session_end end = {.size = sizeof end, .flags = 1};
  expect2("discard: unknown flag", call(session, HANDOVER_SESSION_DISCARD, &end), EOPNOTSUPP,
          EINVAL);
  struct handover_restore restoring = {.size = sizeof restoring, .threads = 1, .flags = 1};
  expect2("restore: unknown flag", call(session, HANDOVER_SESSION_RESTORE, &restoring), EOPNOTSUPP,
          EINVAL);
  struct handover_create_session create = {.size = sizeof create, .name = "flagged", .flags = 1};
  expect2("create: unknown flag", call(device(), HANDOVER_CREATE_SESSION, &create), EOPNOTSUPP,
          EINVAL);
  close(fd);
}

static void names(const char* session) {
  struct handover_create_session create = {.size = sizeof create};
  expect("create: no name", call(device(), HANDOVER_CREATE_SESSION, &create), EINVAL);
  memset(create.name, 'x', sizeof create.name);
  expect("create: a name without an end", call(device(), HANDOVER_CREATE_SESSION, &create), EINVAL);
  expect("create: a name that is taken", session_create(session, 0, 0), EEXIST);
  expect("retrieve session: no such name", session_retrieve("nobody"), ENOENT);
}

static void descriptors(int session) {
  int pipes[2];
  if (pipe(pipes) != 0) die("pipe: %s", strerror(errno));
  expect("preserve fd: not open", preserve_fd(session, SPARE, 12345), EBADF);
  expect("preserve fd: -1", preserve_fd(session, SPARE, -1), EBADF);
  expect("preserve fd: a pipe", preserve_fd(session, SPARE, pipes[0]), EOPNOTSUPP);
  expect("preserve fd: /dev/null", preserve_fd(session, SPARE, open("/dev/null", O_RDWR)),
         EOPNOTSUPP);
  expect("preserve fd: a file on disk",
         preserve_fd(session, SPARE, open("/etc/machine-id", O_RDONLY)), EOPNOTSUPP);
  expect("preserve fd: a directory", preserve_fd(session, SPARE, open("/etc", O_RDONLY)),
         EOPNOTSUPP);
  expect("preserve fd: a directory on tmpfs",
         preserve_fd(session, SPARE, open("/dev/shm", O_RDONLY)), EOPNOTSUPP);
  expect("preserve fd: a session", preserve_fd(session, SPARE, session), EOPNOTSUPP);
  expect("preserve fd: the device", preserve_fd(session, SPARE, device()), EOPNOTSUPP);
  expect("preserve fd: O_PATH", preserve_fd(session, SPARE, open("/dev/shm", O_PATH)), EBADF);
  expect("allocate: nothing", allocate_memory(session, SPARE, 0, -1), EINVAL);
  expect2("allocate: all there is", allocate_memory(session, SPARE, UINT64_MAX, -1), EINVAL,
          ENOMEM);
  expect2("allocate: 1 PiB", allocate_memory(session, SPARE, 1ul << 50, -1), EINVAL, ENOMEM);
  expect("allocate: node 4000", allocate_memory(session, SPARE, PAGE, 4000), EINVAL);
  expect("allocate: node -7", allocate_memory(session, SPARE, PAGE, -7), EINVAL);
  close(pipes[0]);
  close(pipes[1]);
}

static void ranges(int session) {
  unsigned char* memory =
      mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(memory, 1, 4 * PAGE);
  expect("range: address within a page", preserve_range(session, SPARE, memory + 1, PAGE), EINVAL);
  expect("range: length within a page", preserve_range(session, SPARE, memory, PAGE + 1), EINVAL);
  expect("range: empty", preserve_range(session, SPARE, memory, 0), EINVAL);
  expect2("range: wraps", preserve_range(session, SPARE, memory, -PAGE), EOVERFLOW, EFAULT);
  expect2("range: wraps to its start",
          preserve_range(session, SPARE, memory, (uint64_t) - (uintptr_t)memory + PAGE), EOVERFLOW,
          EFAULT);
  expect2("range: of the kernel", preserve_range(session, SPARE, (void*)0xffff888000000000ul, PAGE),
          EFAULT, EINVAL);
  munmap(memory + 2 * PAGE, PAGE);
  expect("range: with a gap", preserve_range(session, SPARE, memory, 4 * PAGE), EFAULT);
  mprotect(memory, PAGE, PROT_READ);
  expect("range: read-only", preserve_range(session, SPARE, memory, PAGE), EFAULT);
  mprotect(memory, PAGE, PROT_NONE);
  expect("range: no access", preserve_range(session, SPARE, memory, PAGE), EFAULT);
  int disk = open("/root/refusals", O_RDWR | O_CREAT, 0600);
  if (disk < 0 || ftruncate(disk, PAGE) != 0) die("/root/refusals: %s", strerror(errno));
  void* shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, disk, 0);
  expect2("range: a file on disk", preserve_range(session, SPARE, shared, PAGE), EOPNOTSUPP,
          EFAULT);
  munmap(shared, PAGE);
  close(disk);
  unlink("/root/refusals");
  int mem = open("/dev/mem", O_RDWR);
  // The video memory of PCs; nothing is done with it.
  void* device_memory =
      mem < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0xb8000);
  if (device_memory != MAP_FAILED)
    expect2("range: device memory", preserve_range(session, SPARE, device_memory, PAGE), EOPNOTSUPP,
            EFAULT);
  munmap(memory, 4 * PAGE);
}

// A memfd, once it is preserved.
static void preserved(void) {
  int session = session_create("refusals-own", 0, 0);
  if (session < 0) die("create: %s", errno_name(session));
  struct handover_info before = untouched = device_info();
  int fd = file_of(8 * PAGE, MFD_ALLOW_SEALING);
  char byte = 1;
  if (pwrite(fd, &byte, 1, 0) != 1) die("write: %s", strerror(errno));
  int error = preserve_fd(session, 1, fd);
  if (error) die("preserve: %s", errno_name(error));
  untouched = device_info();
  int other = file_of(PAGE, 0);
  expect("preserve: a token that is taken", preserve_fd(session, 1, other), EEXIST);
  unsigned char* memory =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  expect("range: a token that is taken", preserve_range(session, 1, memory, PAGE), EEXIST);
  expect("allocate: a token that is taken", allocate_memory(session, 1, PAGE, -1), EEXIST);
  expect("preserve: the same file again", preserve_fd(session, 2, fd), EBUSY);
  int elsewhere = session_create("refusals-elsewhere", 0, 0);
  if (elsewhere < 0) die("create: %s", errno_name(elsewhere));
  untouched = device_info();
  expect("preserve: the same file in another session", preserve_fd(elsewhere, 1, fd), EBUSY);
  discard(elsewhere, NULL);
  close(elsewhere);
  untouched = device_info();
  expect("truncate what is preserved", ftruncate(fd, PAGE) ? -errno : 0, EPERM);
  expect("extend what is preserved", ftruncate(fd, 16 * PAGE) ? -errno : 0, EPERM);
  expect("punch a hole",
         fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE) ? -errno : 0, EPERM);
  if (pwrite(fd, &byte, 1, 3 * PAGE) != 1) {
    printf("{\"what\": \"write into a hole\", \"errno\": \"%s\", \"right\": false}\n",
           errno_name(errno));
    wrong++;
  }
  expect("unpreserve: no such token", unpreserve(session, 77), ENOENT);
  struct handover_describe entry;
  expect("describe: no such token", describe(session, 77, &entry), ENOENT);
  expect("retrieve before the update", retrieve(session, 1), EINVAL);
  expect("restore before the update", restore(session, 1), EINVAL);
  expect("finish before the update", finish(session, NULL), EINVAL);

  struct handover_seal sealed;
  error = seal(&sealed);
  if (error) die("seal: %s", errno_name(error));
  expect("sealing what is sealed", (untouched = device_info(), seal(&sealed)), 0);
  expect("preserve: sealed", preserve_fd(session, 2, other), EBUSY);
  expect("range: sealed", preserve_range(session, 2, memory, PAGE), EBUSY);
  expect("allocate: sealed", allocate_memory(session, 2, PAGE, -1), EBUSY);
  expect("unpreserve: sealed", unpreserve(session, 1), EBUSY);
  unseal();
  untouched = device_info();
  expect("unsealing what is not sealed", unseal(), 0);
  error = unpreserve(session, 1);
  untouched = before;
  expect("unpreserve", error, 0);
  // Its own again: it can be cut and preserved anew.
  expect("truncate what was preserved", ftruncate(fd, PAGE) ? -errno : 0, 0);
  error = preserve_fd(session, 1, fd);
  if (error) die("preserve again: %s", errno_name(error));
  unpreserve(session, 1);

  // What the module made itself is a file that may be preserved once, as it is already.
  int made = allocate_memory(session, 3, PAGE, -1);
  if (made < 0) die("allocate: %s", errno_name(made));
  untouched = device_info();
  expect("preserve: allocated memory", preserve_fd(session, 4, made), EBUSY);
  expect2("truncate allocated memory", ftruncate(made, 0) ? -errno : 0, EPERM, EINVAL);
  unpreserve(session, 3);
  close(made);
  untouched = before;
  expect("all dropped again", 0, 0);
  discard(session, NULL);
  close(session);
  untouched = device_info();
  close(fd);
  close(other);
  munmap(memory, PAGE);
}

static void limits(void) {
  int session = session_create("refusals-limits", 4 * PAGE, 2);
  if (session < 0) die("create: %s", errno_name(session));
  untouched = device_info();
  int large = file_of(5 * PAGE, 0);
  unsigned char* memory = mmap(NULL, 5 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, large, 0);
  memset(memory, 1, 5 * PAGE);
  expect("limit on bytes: a file", preserve_fd(session, 1, large), EDQUOT);
  expect("limit on bytes: a range", preserve_range(session, 1, memory, 5 * PAGE), EDQUOT);
  expect("limit on bytes: allocated", allocate_memory(session, 1, 5 * PAGE, -1), EDQUOT);
  int fds[3];
  for (int i = 0; i < 3; i++) fds[i] = file_of(PAGE, 0);
  if (preserve_fd(session, 1, fds[0]) || preserve_fd(session, 2, fds[1]))
    die("preserve within limits");
  untouched = device_info();
  expect("limit on entries", preserve_fd(session, 3, fds[2]), EDQUOT);
  discard(session, NULL);
  untouched = device_info();
  expect("a discarded session", preserve_fd(session, 3, fds[2]), ENOENT);
  struct handover_session_info info;
  expect("info of a discarded session", session_info(session, &info), ENOENT);
  expect("discard of a discarded session", discard(session, NULL), ENOENT);
  expect("its name", session_retrieve("refusals-limits"), ENOENT);
  close(session);
  for (int i = 0; i < 3; i++) close(fds[i]);
  munmap(memory, 5 * PAGE);
  close(large);
}

static void others(void) {
  pid_t pid = fork();
  if (pid == 0) {
    if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) _exit(1);
    int fd = open("/dev/handover", O_RDWR);
    _exit(fd < 0 ? errno : 0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  expect2("the device, as nobody", -WEXITSTATUS(status), EACCES, EPERM);
}

static void with_luo(int session) {
  // liveupdate.h: create a session { size, fd, name[64] }, preserve a descriptor { size, fd, token
  // }.
  struct {
    uint32_t size;
    int32_t fd;
    char name[64];
  } create = {.size = sizeof create, .name = "refusals"};
  int luo = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
  if (luo < 0 || ioctl(luo, _IO(0xba, 0), &create) != 0) {
    printf("{\"what\": \"LUO: not there: %s\", \"right\": true}\n", errno_name(errno));
    if (luo >= 0) close(luo);
    return;
  }
  int fd = file_of(PAGE, 0);
  struct {
    uint32_t size;
    int32_t fd;
    uint64_t token;
  } preserve = {.size = sizeof preserve, .fd = fd, .token = 1};
  if (ioctl(create.fd, _IO(0xba, 0x40), &preserve) != 0)
    printf("{\"what\": \"LUO preserve: %s\", \"right\": false}\n", errno_name(errno)), wrong++;
  expect("preserve fd: in LUO already", preserve_fd(session, SPARE, fd), EBUSY);
  // The other way round LUO refuses in its own words.
  close(create.fd);
  close(luo);
  close(fd);
}

int refusals_before(const char* name) {
  int session = session_must(name);
  begin();
  sizes(session);
  flags(session);
  names(name);
  descriptors(session);
  ranges(session);
  preserved();
  limits();
  others();
  with_luo(session);
  return wrong;
}

int refusals_after(const char* name) {
  int session = session_must(name);
  begin();
  expect("retrieve: no such token", retrieve(session, 999), ENOENT);
  expect("restore: no threads", restore(session, 0), EINVAL);
  expect("restore: 65 threads", restore(session, 65), EINVAL);
  expect("unpreserve: incoming", unpreserve(session, 1), EINVAL);
  int fd = file_of(PAGE, 0);
  expect("preserve: incoming", preserve_fd(session, 50, fd), EINVAL);
  expect("allocate: incoming", allocate_memory(session, 50, PAGE, -1), EINVAL);
  unsigned char* memory =
      mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  expect("range: incoming", preserve_range(session, 50, memory, PAGE), EINVAL);
  expect("create: a name of the earlier kernel", session_create(name, 0, 0), EEXIST);
  int got = retrieve(session, 1);
  if (got < 0) die("retrieve: %s", errno_name(got));
  untouched = device_info();
  expect("retrieve twice", retrieve(session, 1), EALREADY);
  close(got);
  expect("retrieve twice, the file being closed", retrieve(session, 1), EALREADY);
  close(fd);
  return wrong;
}

int refusals_without_kho(void) {
  begin();
  struct handover_info info = device_info();
  if (info.features & HANDOVER_FEATURE_KHO || info.sessions || info.bytes) wrong++;
  expect("create: KHO is off", session_create("nothing", 0, 0), EOPNOTSUPP);
  expect("retrieve session: KHO is off", session_retrieve("nothing"), ENOENT);
  struct handover_list_sessions list = {.size = sizeof list};
  expect("list: KHO is off", call(device(), HANDOVER_LIST_SESSIONS, &list), 0);
  struct handover_seal sealed;
  expect2("seal: KHO is off", seal(&sealed), EOPNOTSUPP, 0);
  return wrong;
}
