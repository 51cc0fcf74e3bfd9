// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls every ioctl with right, nearly right and wrong arguments from several threads at once.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

#define SLOTS 64
#define MAX_THREADS 32

// Descriptors that all threads use and replace: sessions, files, and what ioctls gave.
static _Atomic int descriptors[SLOTS];
static unsigned char* memory;  // 8 MiB, with gaps of every protection
static const size_t memory_size = 8u << 20;
static _Atomic bool stop;
static _Atomic unsigned long calls, successes;
// By errno: that all of them are reached shows that the fuzzing goes deep.
static _Atomic unsigned long by_errno[256];

struct thread {
  pthread_t thread;
  uint64_t state;
};

static uint64_t pick(uint64_t* state, uint64_t below) { return next_random(state) % below; }

static int any_descriptor(uint64_t* state) {
  switch (pick(state, 20)) {
    case 0:
      return -1;
    case 1:
      return (int)pick(state, 1024);
    case 2:
      return device();
    default:
      return descriptors[pick(state, SLOTS)];
  }
}

static void keep(uint64_t* state, int fd) {
  // The standard descriptors, the device and the pool's own stay out of it.
  int old = atomic_exchange(&descriptors[pick(state, SLOTS)], fd);
  if (old > 2 && old != device()) close(old);
}

static uint64_t any_number(uint64_t* state) {
  static const uint64_t interesting[] = {
      0,         1,         2,           4095,       4096,
      4097,      1ul << 20, (2ul << 20), 1ul << 31,  1ul << 32,
      1ul << 40, 1ul << 63, INT64_MAX,   UINT64_MAX, UINT64_MAX - 4095};
  switch (pick(state, 4)) {
    case 0:
      return interesting[pick(state, sizeof interesting / sizeof *interesting)];
    case 1:
      return pick(state, 16);
    case 2:
      return (pick(state, 512) + 1) * PAGE;
    default:
      return next_random(state);
  }
}

// Mostly few, so that calls meet.
static uint64_t any_token(uint64_t* state) {
  return pick(state, 10) ? pick(state, 12) : any_number(state);
}

static uint64_t any_address(uint64_t* state) {
  if (pick(state, 8) == 0) return any_number(state);
  uint64_t address = (uint64_t)(uintptr_t)memory + pick(state, memory_size / PAGE) * PAGE;
  return pick(state, 8) ? address : address + pick(state, PAGE);
}

static void any_name(uint64_t* state, uint8_t name[HANDOVER_NAME_LENGTH]) {
  switch (pick(state, 12)) {
    case 0:
      memset(name, 'a', HANDOVER_NAME_LENGTH);
      break;
    case 1:
      for (int i = 0; i < HANDOVER_NAME_LENGTH; i++) name[i] = (uint8_t)next_random(state);
      break;
    default:
      snprintf((char*)name, HANDOVER_NAME_LENGTH, "fuzz-%lu", pick(state, 6));
  }
}

static int new_file(uint64_t* state) {
  static const char* const paths[] = {"/dev/null", "/etc/machine-id", "/dev/shm", "/root/fuzz"};
  int fd;
  switch (pick(state, 12)) {
    case 0:
      return open(paths[pick(state, 4)], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    case 1:
      return open(paths[pick(state, 4)], O_RDONLY | O_CLOEXEC);
    case 2: {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC) != 0) return -1;
      close(ends[1]);
      return ends[0];
    }
    case 3:
      fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);
      if (fd >= 0 && ftruncate(fd, (off_t)((1 + pick(state, 2)) << 21)) == 0) {
        void* there = mmap(NULL, HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        // Without pages in the pool the mapping is refused, rather than us killed.
        if (there != MAP_FAILED) munmap(there, HUGE_PAGE);
      }
      return fd;
    case 4:
      return open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    default:
      fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (fd >= 0 && ftruncate(fd, (off_t)pick(state, 1u << 20)) == 0) {
        char byte = 1;
        for (uint64_t i = pick(state, 64); i; i--)
          if (pwrite(fd, &byte, 1, (off_t)pick(state, 1u << 20)) != 1) break;
        if (pick(state, 8) == 0) fcntl(fd, F_ADD_SEALS, 1 << pick(state, 5));
      }
      return fd;
  }
}

// What users do beside the ioctls.
static void use(uint64_t* state) {
  unsigned char buffer[PAGE];
  int fd = any_descriptor(state);
  // Our own standard output and the device's regular life are left alone.
  if (fd <= 2) return;
  switch (pick(state, 9)) {
    case 0:
      if (pread(fd, buffer, pick(state, PAGE), (off_t)pick(state, 2u << 20)) < 0) errno = 0;
      break;
    case 1:
      memset(buffer, (int)pick(state, 256), sizeof buffer);
      if (pwrite(fd, buffer, pick(state, PAGE), (off_t)pick(state, 1u << 20)) < 0) errno = 0;
      break;
    case 2:
      if (ftruncate(fd, (off_t)pick(state, 1u << 20)) < 0) errno = 0;
      break;
    case 3:
      if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)pick(state, 1u << 20),
                    (off_t)pick(state, 1u << 20)) < 0)
        errno = 0;
      break;
    case 4: {
      // Mapped, and touched only by the kernel on our behalf: past the end that is EFAULT.
      void* there =
          mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, pick(state, 2) ? MAP_SHARED : MAP_PRIVATE,
               fd, (off_t)(pick(state, 32) * PAGE));
      if (there == MAP_FAILED) break;
      int other = memfd_create("sink", MFD_CLOEXEC);
      if (write(other, there, 16 * PAGE) < 0) errno = 0;
      if (pread(other, there, 16 * PAGE, 0) < 0) errno = 0;
      close(other);
      munmap(there, 16 * PAGE);
      break;
    }
    case 5: {
      // Ranges change while others preserve them.
      size_t at = pick(state, memory_size / PAGE) * PAGE;
      madvise(memory + at, PAGE * (1 + pick(state, 4)),
              pick(state, 2) ? MADV_DONTNEED : MADV_POPULATE_WRITE);
      break;
    }
    case 6:
      mprotect(memory + pick(state, memory_size / PAGE) * PAGE, PAGE,
               pick(state, 4) ? PROT_READ | PROT_WRITE : PROT_READ);
      break;
    case 7:
      lseek(fd, (off_t)pick(state, 1u << 20), (int)pick(state, 5));
      break;
    default:
      keep(state, new_file(state));
  }
}

// Larger than any of the structures: a size beyond the kernel's is one of the cases.
union argument {
  uint32_t size;
  unsigned char bytes[1024];
  struct handover_info info;
  struct handover_create_session create;
  struct handover_retrieve_session retrieve_session;
  struct handover_list_sessions list_sessions;
  struct handover_seal seal;
  struct handover_session_info session_info;
  struct handover_preserve_fd preserve_fd;
  struct handover_preserve_range preserve_range;
  struct handover_allocate allocate;
  struct handover_unpreserve unpreserve;
  struct handover_retrieve retrieve;
  struct handover_describe describe;
  struct handover_list_tokens list_tokens;
  struct handover_restore restore;
  struct handover_session_end end;
};

// Where lists go that are asked for at a right address.
static _Thread_local unsigned char results[4096];

static void fill_create(uint64_t* state, union argument* argument) {
  any_name(state, argument->create.name);
  if (pick(state, 3) == 0) argument->create.max_bytes = any_number(state);
  if (pick(state, 3) == 0) argument->create.max_entries = (uint32_t)pick(state, 4);
}

static void fill_retrieve_session(uint64_t* state, union argument* argument) {
  any_name(state, argument->retrieve_session.name);
}

static void fill_list_sessions(uint64_t* state, union argument* argument) {
  bool right = pick(state, 4) != 0;
  argument->list_sessions.items = right ? (uint64_t)(uintptr_t)results : any_address(state);
  argument->list_sessions.count = (uint32_t)any_number(state);
  if (right) argument->list_sessions.count %= sizeof results / sizeof(struct handover_session_item);
}

static void fill_preserve_fd(uint64_t* state, union argument* argument) {
  argument->preserve_fd.fd = any_descriptor(state);
  argument->preserve_fd.token = any_token(state);
}

static void fill_preserve_range(uint64_t* state, union argument* argument) {
  argument->preserve_range.address = any_address(state);
  argument->preserve_range.length = any_number(state);
  argument->preserve_range.token = any_token(state);
}

static void fill_allocate(uint64_t* state, union argument* argument) {
  uint64_t length = any_number(state);
  // Between what fits easily and what is refused lies what only the OOM killer could give.
  if (length > 8u << 20 && length < 1ul << 46) length %= 8u << 20;
  argument->allocate.length = length;
  argument->allocate.token = any_token(state);
  argument->allocate.node = (int)pick(state, 4) - 1;
}

static void fill_unpreserve(uint64_t* state, union argument* argument) {
  argument->unpreserve.token = any_token(state);
}

static void fill_retrieve(uint64_t* state, union argument* argument) {
  argument->retrieve.token = any_token(state);
}

static void fill_describe(uint64_t* state, union argument* argument) {
  argument->describe.token = any_token(state);
}

static void fill_list_tokens(uint64_t* state, union argument* argument) {
  argument->list_tokens.count = (uint32_t)pick(state, sizeof results / 8);
  argument->list_tokens.tokens = pick(state, 4) ? (uint64_t)(uintptr_t)results : any_address(state);
}

static void fill_restore(uint64_t* state, union argument* argument) {
  argument->restore.threads = (uint32_t)pick(state, 6);
}

static void fill_nothing(uint64_t* state, union argument* argument) {
  (void)state;
  (void)argument;
}

#define OUT(type) offsetof(struct type, fd)

static const struct request {
  unsigned weight;
  unsigned long number;
  size_t size;
  bool to_device;  // else to any descriptor
  size_t out;      // where a descriptor is given back; 0: none is
  void (*fill)(uint64_t* state, union argument* argument);
} requests[] = {
    {1, HANDOVER_INFO, sizeof(struct handover_info), true, 0, fill_nothing},
    {3, HANDOVER_CREATE_SESSION, sizeof(struct handover_create_session), true,
     OUT(handover_create_session), fill_create},
    {2, HANDOVER_RETRIEVE_SESSION, sizeof(struct handover_retrieve_session), true,
     OUT(handover_retrieve_session), fill_retrieve_session},
    {1, HANDOVER_LIST_SESSIONS, sizeof(struct handover_list_sessions), true, 0, fill_list_sessions},
    {1, HANDOVER_SEAL, sizeof(struct handover_seal), true, 0, fill_nothing},
    {3, HANDOVER_UNSEAL, sizeof(struct handover_seal), true, 0, fill_nothing},
    {1, HANDOVER_SESSION_INFO, sizeof(struct handover_session_info), false, 0, fill_nothing},
    {4, HANDOVER_SESSION_PRESERVE_FD, sizeof(struct handover_preserve_fd), false, 0,
     fill_preserve_fd},
    {3, HANDOVER_SESSION_PRESERVE_RANGE, sizeof(struct handover_preserve_range), false, 0,
     fill_preserve_range},
    {2, HANDOVER_SESSION_ALLOCATE, sizeof(struct handover_allocate), false, OUT(handover_allocate),
     fill_allocate},
    {3, HANDOVER_SESSION_UNPRESERVE, sizeof(struct handover_unpreserve), false, 0, fill_unpreserve},
    {2, HANDOVER_SESSION_RETRIEVE, sizeof(struct handover_retrieve), false, OUT(handover_retrieve),
     fill_retrieve},
    {2, HANDOVER_SESSION_DESCRIBE, sizeof(struct handover_describe), false, 0, fill_describe},
    {1, HANDOVER_SESSION_LIST_TOKENS, sizeof(struct handover_list_tokens), false, 0,
     fill_list_tokens},
    {1, HANDOVER_SESSION_RESTORE, sizeof(struct handover_restore), false, 0, fill_restore},
    {1, HANDOVER_SESSION_FINISH, sizeof(struct handover_session_end), false, 0, fill_nothing},
    {1, HANDOVER_SESSION_DISCARD, sizeof(struct handover_session_end), false, 0, fill_nothing},
};

// One of ours by its weight; now and then one that there is not.
static struct request any_request(uint64_t* state) {
  const size_t count = sizeof requests / sizeof *requests;
  unsigned all = 2, at;
  for (size_t i = 0; i < count; i++) all += requests[i].weight;
  at = (unsigned)pick(state, all);
  for (size_t i = 0; i < count; i++) {
    if (at < requests[i].weight) return requests[i];
    at -= requests[i].weight;
  }
  if (at == 0)
    return (struct request){.number = _IO(HANDOVER_IOCTL_TYPE, pick(state, 256)),
                            .size = pick(state, 300),
                            .fill = fill_nothing};
  // Other drivers' ioctls are not ours to fuzz: only our own descriptor gets these.
  return (struct request){
      .number = next_random(state) & 0xffffffff, .to_device = true, .fill = fill_nothing};
}

static int one_call(uint64_t* state) {
  union argument argument;
  memset(&argument, 0, sizeof argument);
  if (pick(state, 6) == 0)
    for (size_t i = 4; i < sizeof argument.bytes; i++)
      argument.bytes[i] = (unsigned char)next_random(state);
  struct request request = any_request(state);
  int fd = request.to_device ? device() : any_descriptor(state);
  argument.size = (uint32_t)request.size;
  request.fill(state, &argument);
  if (pick(state, 24) == 0) argument.size = (uint32_t)any_number(state);
  void* address = &argument;
  if (pick(state, 40) == 0) address = (void*)(uintptr_t)any_address(state);
  int result = call(fd, request.number, address);
  if (result >= 0 && request.out && address == &argument) {
    int out;
    memcpy(&out, argument.bytes + request.out, sizeof out);
    // With a size that ends before it, the descriptor's place keeps what it was filled with.
    if (out > 2 && fcntl(out, F_GETFD) >= 0) keep(state, out);
  }
  return result;
}

static void* work(void* argument) {
  struct thread* thread = argument;
  while (!stop) {
    if (pick(&thread->state, 4) == 0) use(&thread->state);
    int result = one_call(&thread->state);
    calls++;
    if (result >= 0) successes++;
    if (result < 0 && result > -256) by_errno[-result]++;
  }
  return NULL;
}

static void fill_descriptors(uint64_t* state) {
  for (int i = 0; i < SLOTS; i++) {
    char name[32];
    snprintf(name, sizeof name, "fuzz-%d", i % 6);
    int session = i < 16 ? session_create(name, 0, 0) : -1;
    if (i < 16 && session < 0) session = session_retrieve(name);
    descriptors[i] = i < 16 ? session : new_file(state);
  }
}

static void report(void) {
  printf("{\"what\": \"fuzz\", \"calls\": %lu, \"successes\": %lu, \"errnos\": {", calls,
         successes);
  bool first = true;
  for (int i = 0; i < 256; i++) {
    if (by_errno[i]) printf("%s\"%s\": %lu", first ? "" : ", ", errno_name(i), by_errno[i]);
    if (by_errno[i]) first = false;
  }
  printf("}}\n");
}

// By name, whoever has which descriptor; names of random bytes are found in the list.
static void discard_all(void) {
  unseal();
  for (;;) {
    struct handover_session_item items[64];
    struct handover_list_sessions list = {
        .size = sizeof list, .count = 64, .items = (uint64_t)(uintptr_t)items};
    int error = call(device(), HANDOVER_LIST_SESSIONS, &list);
    if (error) die("list: %s", errno_name(error));
    if (list.count == 0) break;
    for (uint32_t i = 0; i < list.count && i < 64; i++) {
      int session = session_must((char*)items[i].name);
      error = discard(session, NULL);
      if (error) die("discard: %s", errno_name(error));
      close(session);
    }
  }
}

int fuzz(unsigned seconds, unsigned threads, uint64_t seed) {
  struct thread workers[MAX_THREADS];
  if (threads == 0 || threads > MAX_THREADS) die("1 to %d threads", MAX_THREADS);
  memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(memory + 3 * memory_size / 4, PAGE);
  uint64_t state = seed * 2 + 1;
  device();
  fill_descriptors(&state);
  for (unsigned i = 0; i < threads; i++) {
    workers[i].state = (seed + i) * 2 + 12345;
    if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) die("pthread_create");
  }
  sleep(seconds);
  stop = true;
  for (unsigned i = 0; i < threads; i++) pthread_join(workers[i].thread, NULL);
  report();
  discard_all();
  struct handover_info info = device_info();
  if (info.bytes || info.sessions)
    die("%llu bytes in %u sessions are left", info.bytes, info.sessions);
  return 0;
}
