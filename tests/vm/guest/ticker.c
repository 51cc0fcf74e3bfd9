// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A workload whose memory must survive: it counts every 2 ms ($TICKER_USEC) in a memfd and keeps a
 * pattern in the rest of it, whose checksum it looks at whenever it starts.
 *
 *   ticker NAME            takes the memfd from LISTEN_FDS (handover-memfd gives it)
 *   ticker NAME --fdstore SIZE_MIB
 *                          the peer: makes it once and keeps it in systemd's own fd store
 *
 * /run/ticker/NAME ($TICKER_DIRECTORY/NAME) holds what it sees, one "key value" a line: counter,
 * starts, gap_usec (longest time between two ticks by the CPU's counter, which kexec does not
 * reset), verified (yes, no, pending), first_release, release, memory (bytes).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define MAGIC UINT64_C(0x68616e646f766572)
#define HEADER 4096
#define TICK_USEC 2000

struct header {
  uint64_t magic, counter, starts, last_tsc, longest_gap, ticks_per_second;
  uint64_t checksum;
  char first_release[64];
};

static volatile struct header* header;
static uint64_t* pattern;
static size_t words;
static size_t memory;
static const char* name;
static const char* directory = "/run/ticker";
static volatile const char* verified = "pending";

static void die(const char* what) {
  fprintf(stderr, "ticker: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t mix(uint64_t value) {
  value ^= value >> 33;
  value *= UINT64_C(0xff51afd7ed558ccd);
  return value ^ (value >> 29);
}

static uint64_t checksum(void) {
  uint64_t sum = 0;

  for (size_t i = 0; i < words; i++) sum = (sum ^ pattern[i]) * UINT64_C(0x100000001b3);
  return sum;
}

static void* verify(void* unused) {
  int right = checksum() == header->checksum;

  /* The sum alone could be as lost as the memory: the pattern is known too. */
  for (size_t i = 0; right && i < words; i += 512) right = pattern[i] == mix(i + 1);
  verified = right ? "yes" : "no";
  return unused;
}

static void fill(void) {
  for (size_t i = 0; i < words; i++) pattern[i] = mix(i + 1);
  header->checksum = checksum();
}

static uint64_t measure_tsc(void) {
  struct timespec begin, end, pause = {0, 50000000};
  uint64_t from, to;

  clock_gettime(CLOCK_MONOTONIC_RAW, &begin);
  from = __rdtsc();
  nanosleep(&pause, NULL);
  clock_gettime(CLOCK_MONOTONIC_RAW, &end);
  to = __rdtsc();
  return (to - from) * 1000000000 /
         ((end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec);
}

static void report(void) {
  struct utsname system;
  char path[256], staged[264];
  FILE* file;

  uname(&system);
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  snprintf(staged, sizeof(staged), "%s.new", path);
  file = fopen(staged, "w");
  if (!file) return;
  fprintf(file,
          "counter %llu\nstarts %llu\ngap_usec %llu\nverified %s\nfirst_release %s\nrelease "
          "%s\nmemory %zu\n",
          (unsigned long long)header->counter, (unsigned long long)header->starts,
          (unsigned long long)(header->longest_gap / (header->ticks_per_second / 1000000)),
          (const char*)verified, (const char*)header->first_release, system.release, memory);
  fclose(file);
  rename(staged, path);
}

static void notify(const char* text, int fd) {
  const char* path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct iovec part = {(void*)text, strlen(text)};
  union {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_name = &address, .msg_iov = &part, .msg_iovlen = 1};
  int sock;

  if (!path) return;
  strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
  message.msg_namelen = offsetof(struct sockaddr_un, sun_path) + strlen(path);
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  if (fd >= 0) {
    struct cmsghdr* head;

    memset(&control, 0, sizeof(control));
    message.msg_control = &control;
    message.msg_controllen = sizeof(control.room);
    head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(int));
  }
  sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (sock < 0 || sendmsg(sock, &message, 0) < 0) die("sd_notify");
  close(sock);
}

int main(int argc, char** argv) {
  const char* passed = getenv("LISTEN_FDS");
  const char* usec = getenv("TICKER_USEC");
  struct timespec pause = {0, (usec ? atol(usec) : TICK_USEC) * 1000};
  struct stat status;
  pthread_t thread;
  int fd = 3, fresh, fdstore = argc == 4 && !strcmp(argv[2], "--fdstore");
  uint64_t reported = 0;

  if (argc != 2 && !fdstore) {
    fprintf(stderr, "usage: ticker NAME [--fdstore SIZE_MIB]\n");
    return 2;
  }
  name = argv[1];
  if (getenv("TICKER_DIRECTORY")) directory = getenv("TICKER_DIRECTORY");
  mkdir(directory, 0755);
  if (!passed || atoi(passed) < 1) {
    if (!fdstore) {
      fprintf(stderr, "ticker: LISTEN_FDS gives no memfd\n");
      return 1;
    }
    fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, atoll(argv[3]) << 20) < 0) die("memfd");
    notify("FDSTORE=1\nFDNAME=memory\nFDPOLL=0", fd);
  }
  if (fstat(fd, &status) < 0) die("fstat");
  memory = status.st_size;
  header = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (header == MAP_FAILED) die("mmap");
  pattern = (uint64_t*)((char*)header + HEADER);
  words = (memory - HEADER) / sizeof(*pattern);

  fresh = header->magic != MAGIC;
  if (fresh) {
    struct utsname system;

    fill();
    uname(&system);
    snprintf((char*)header->first_release, sizeof(header->first_release), "%.63s", system.release);
    header->ticks_per_second = measure_tsc();
    header->magic = MAGIC;
    header->last_tsc = __rdtsc();
    verified = "yes";
  }
  header->starts++;
  if (fdstore) notify("READY=1", -1);
  for (;;) {
    uint64_t now = __rdtsc(), gap = now - header->last_tsc;

    if (gap > header->longest_gap) header->longest_gap = gap;
    header->last_tsc = now;
    header->counter++;
    if (!fresh) {
      /* After the first tick: looking at all of it takes a while. */
      pthread_create(&thread, NULL, verify, NULL);
      fresh = 1;
    }
    if (now - reported > header->ticks_per_second / 5) {
      reported = now;
      report();
    }
    nanosleep(&pause, NULL);
  }
}
