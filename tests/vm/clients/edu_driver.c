// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A user-space driver of QEMU's edu device under handover-iommu: it has the device copy pages of
 * the memory "buffers" into its own buffer and back to other pages, for ever, and compares.
 *
 *   edu-driver NAME [SCATTERED]
 *
 * The configuration maps the first 1 MiB of the memory at IOVA 1 MiB. With SCATTERED, it maps that
 * many pages more at its first start, one by one, in an order of their own. The pages hold what
 * follows from the round in which they were written, so the next kernel's driver knows what it is
 * to read through the same IOVA.
 *
 * Upon USR1 it ends the transfer at hand and stops itself. /run/edu/NAME holds what it sees, one
 * "key value" a line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <handover/iommu.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x7564652d72657669)
#define PAGE 4096
/* Not to the very end of the device's buffer: older versions of QEMU abort then. */
#define WORDS (PAGE / 8 - 1)
#define LOW_IOVA 0x100000
#define SCATTERED_OFFSET 0x100000
#define SCATTERED_IOVA 0x1000000

/* docs/specs/edu.rst of QEMU. */
#define EDU_ID 0x010000ed
#define EDU_DMA_SOURCE 0x80
#define EDU_DMA_TARGET 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_COMMAND 0x98
#define EDU_BUFFER 0x40000
#define EDU_START 1
#define EDU_TO_MEMORY 2

struct state {
  uint64_t magic, starts, rounds, errors, scattered, map_usec;
  uint64_t written; /* the round whose pattern lies in the pages of that round; 0: none */
};

static handover_iommu* iommu;
static uint8_t* memory;
static volatile struct state* state;
static volatile uint8_t* registers;
static volatile sig_atomic_t freeze_wanted;
static const char* name;
static const char* carried = "new";
static int bus_master_at_start;

static void die(const char* what) {
  fprintf(stderr, "edu-driver: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t now_usec(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The i-th scattered page: neighbours in IOVA are none in the memory. */
static struct handover_iommu_mapping scattered(uint64_t i) {
  struct handover_iommu_mapping mapping = {
      .iova = SCATTERED_IOVA + i * 2 * PAGE,
      .length = PAGE,
      .offset = SCATTERED_OFFSET + i * 7919 % state->scattered * PAGE,
      .rights = HANDOVER_IOMMU_READ | HANDOVER_IOMMU_WRITE,
  };

  return mapping;
}

/* The page that round `round` uses in its `half`: IOVA, and where it lies in the memory. */
static struct handover_iommu_mapping page_of(uint64_t round, int half) {
  uint64_t number = 2 * round + (uint64_t)half;
  uint64_t in_low = 1 + number % 255;
  struct handover_iommu_mapping low = {.iova = LOW_IOVA + in_low * PAGE, .offset = in_low * PAGE};

  return state->scattered ? scattered(number * 977 % state->scattered) : low;
}

static uint64_t word_of(uint64_t round, unsigned int i) {
  return (round * 512 + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void fill(uint64_t offset, uint64_t round) {
  unsigned int i;

  for (i = 0; i < WORDS; i++) ((uint64_t*)(memory + offset))[i] = word_of(round, i);
}

static int holds(uint64_t offset, uint64_t round) {
  unsigned int i;

  for (i = 0; i < WORDS; i++) {
    if (((volatile uint64_t*)(memory + offset))[i] != word_of(round, i)) return 0;
  }
  return 1;
}

static void set_register(unsigned int number, uint64_t value) {
  *(volatile uint64_t*)(registers + number) = value;
}

static void transfer(uint64_t source, uint64_t target, uint64_t command) {
  struct timespec pause = {0, 2000000};

  set_register(EDU_DMA_SOURCE, source);
  set_register(EDU_DMA_TARGET, target);
  set_register(EDU_DMA_COUNT, WORDS * 8);
  set_register(EDU_DMA_COMMAND, command | EDU_START);
  while (*(volatile uint64_t*)(registers + EDU_DMA_COMMAND) & EDU_START) nanosleep(&pause, NULL);
}

/* Through the device from one page to the other: are both now what `round` wrote? */
static int copy(uint64_t round) {
  struct handover_iommu_mapping from = page_of(round, 0), to = page_of(round, 1);

  memset(memory + to.offset, 0, PAGE);
  transfer(from.iova, EDU_BUFFER, 0);
  transfer(EDU_BUFFER, to.iova, EDU_TO_MEMORY);
  return holds(to.offset, round) && holds(from.offset, round);
}

static void report(void) {
  char path[256], staged[264];
  FILE* file;

  snprintf(path, sizeof(path), "/run/edu/%s", name);
  snprintf(staged, sizeof(staged), "%s.new", path);
  file = fopen(staged, "w");
  if (!file) die(staged);
  fprintf(file,
          "starts %llu\nrounds %llu\nerrors %llu\nscattered %llu\nmap_usec %llu\ncarried %s\n"
          "restored %d\nbus_master_at_start %d\n",
          (unsigned long long)state->starts, (unsigned long long)state->rounds,
          (unsigned long long)state->errors, (unsigned long long)state->scattered,
          (unsigned long long)state->map_usec, carried, handover_iommu_is_restored(iommu),
          bus_master_at_start);
  fclose(file);
  rename(staged, path);
}

static void on_freeze(int signal) {
  (void)signal;
  freeze_wanted = 1;
}

/* The configuration space's offset in the device's file, and BAR 0 as memory. */
static void find_registers(uint64_t* config) {
  struct vfio_region_info info = {.argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX};
  int device = handover_iommu_device(iommu);

  if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0) die("configuration region");
  *config = info.offset;
  memset(&info, 0, sizeof(info));
  info.argsz = sizeof(info);
  info.index = VFIO_PCI_BAR0_REGION_INDEX;
  if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) < 0) die("BAR 0");
  registers = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)info.offset);
  if (registers == MAP_FAILED) die("mmap of BAR 0");
}

/* Memory space and bus mastering; what was on before is kept for the report. */
static void enable(uint64_t config) {
  int device = handover_iommu_device(iommu);
  uint16_t command;

  if (pread(device, &command, 2, (off_t)config + 4) != 2) die("command register");
  bus_master_at_start = (command & 4) != 0;
  command |= 2 | 4;
  if (pwrite(device, &command, 2, (off_t)config + 4) != 2) die("command register");
  if (*(volatile uint32_t*)registers != EDU_ID) {
    errno = ENODEV;
    die("no edu device");
  }
}

static void expect(int r, int wanted, const char* what) {
  if (r == wanted) return;
  fprintf(stderr, "edu-driver: %s: %d, not %d (%s)\n", what, r, wanted,
          handover_iommu_message(iommu));
  exit(1);
}

/* What handover-iommu must not do, and what it must. */
static void try_the_library(int number) {
  const uint32_t both = HANDOVER_IOMMU_READ | HANDOVER_IOMMU_WRITE;
  const uint64_t free_iova = LOW_IOVA + 0x200000;
  struct handover_iommu_mapping good = {free_iova, PAGE, PAGE, (uint32_t)number, both}, bad;
  struct handover_iommu_mapping pair[2] = {good, good};

  bad = good;
  bad.iova = LOW_IOVA + PAGE;
  expect(handover_iommu_map(iommu, &bad, 1), -EEXIST, "overlapping");
  bad = good;
  bad.iova += 1;
  expect(handover_iommu_map(iommu, &bad, 1), -EINVAL, "unaligned");
  bad = good;
  bad.iova = UINT64_C(1) << 40;
  expect(handover_iommu_map(iommu, &bad, 1), -ERANGE, "out of reach");
  bad = good;
  bad.offset = UINT64_C(1) << 40;
  expect(handover_iommu_map(iommu, &bad, 1), -EINVAL, "behind the memory");
  bad = good;
  bad.memory = 99;
  expect(handover_iommu_map(iommu, &bad, 1), -ENOENT, "no such memory");
  /* Twice the same in one request: the first of them goes again. */
  expect(handover_iommu_map(iommu, pair, 2), -EEXIST, "twice in one request");
  expect(handover_iommu_unmap(iommu, &good, 1), -ENOENT, "nothing of it stayed");
  expect(handover_iommu_map(iommu, &good, 1), 0, "a good one");
  bad = good;
  bad.length = 2 * PAGE;
  expect(handover_iommu_unmap(iommu, &bad, 1), -EINVAL, "another length");
  expect(handover_iommu_unmap(iommu, &good, 1), 0, "its end");
}

static void begin(uint64_t count, int number) {
  struct handover_iommu_mapping* all;
  uint64_t i, started;

  memset((void*)state, 0, sizeof(*state));
  state->scattered = count;
  try_the_library(number);
  if (count) {
    all = calloc(count, sizeof(*all));
    if (!all) die("calloc");
    for (i = 0; i < count; i++) {
      all[i] = scattered(i);
      all[i].memory = (uint32_t)number;
    }
    started = now_usec();
    expect(handover_iommu_map(iommu, all, count), 0, "scattered mappings");
    state->map_usec = now_usec() - started;
    free(all);
  }
  state->magic = MAGIC;
}

int main(int argc, char** argv) {
  struct sigaction action = {.sa_handler = on_freeze};
  struct stat status;
  uint64_t config;
  int r, number, fd;

  if (argc < 2) {
    fprintf(stderr, "usage: edu-driver NAME [SCATTERED]\n");
    return 2;
  }
  name = argv[1];
  sigaction(SIGUSR1, &action, NULL);
  r = handover_iommu_open(&iommu);
  if (r < 0) {
    errno = -r;
    die("handover_iommu_open");
  }
  number = handover_iommu_memory(iommu, "buffers", &fd);
  if (number < 0 || fstat(fd, &status) < 0) die("no memory 'buffers'");
  memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) die("mmap");
  state = (struct state*)memory;
  mkdir("/run/edu", 0755);
  find_registers(&config);
  enable(config);

  if (state->magic != MAGIC) begin(argc > 2 ? strtoull(argv[2], NULL, 0) : 0, number);
  state->starts++;
  if (state->written) carried = copy(state->written) ? "yes" : "no";
  for (;;) {
    uint64_t round = state->rounds + 1;

    fill(page_of(round, 0).offset, round);
    state->written = round;
    if (!copy(round)) state->errors++;
    state->rounds = round;
    report();
    if (freeze_wanted) {
      freeze_wanted = 0;
      raise(SIGSTOP);
    }
  }
}
