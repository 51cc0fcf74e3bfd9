// SPDX-License-Identifier: LGPL-2.1-or-later
// A DMA-like user of memory: io_uring's registered buffers are pinned with FOLL_LONGTERM, as VFIO
// and iommufd pin, and the kernel then goes to the frames without looking at the page tables again.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "commands.h"
#include "device.h"

struct ring {
  int fd;
  unsigned *head, *tail, *mask, *submission_tail, *submission_mask, *array;
  struct io_uring_sqe* entries;
  struct io_uring_cqe* completions;
};

static void* ring_map(int fd, size_t size, off_t offset) {
  void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
  if (memory == MAP_FAILED) die("mapping a ring: %s", strerror(errno));
  return memory;
}

static struct ring ring_make(void) {
  struct io_uring_params parameters = {0};
  struct ring ring = {.fd = (int)syscall(SYS_io_uring_setup, 4u, &parameters)};
  if (ring.fd < 0) die("io_uring_setup: %s", strerror(errno));
  struct io_sqring_offsets* sq = &parameters.sq_off;
  struct io_cqring_offsets* cq = &parameters.cq_off;
  char* submissions =
      ring_map(ring.fd, sq->array + parameters.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
  char* completions = ring_map(
      ring.fd, cq->cqes + parameters.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
  ring.entries =
      ring_map(ring.fd, parameters.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
  ring.submission_tail = (unsigned*)(submissions + sq->tail);
  ring.submission_mask = (unsigned*)(submissions + sq->ring_mask);
  ring.array = (unsigned*)(submissions + sq->array);
  ring.head = (unsigned*)(completions + cq->head);
  ring.tail = (unsigned*)(completions + cq->tail);
  ring.mask = (unsigned*)(completions + cq->ring_mask);
  ring.completions = (struct io_uring_cqe*)(completions + cq->cqes);
  return ring;
}

// One operation on registered buffer 0, waited for; its result.
static int ring_do(struct ring* ring, int operation, int fd, void* address, unsigned size,
                   uint64_t offset) {
  unsigned tail = *ring->submission_tail;
  unsigned slot = tail & *ring->submission_mask;
  ring->entries[slot] = (struct io_uring_sqe){.opcode = (unsigned char)operation,
                                              .fd = fd,
                                              .off = offset,
                                              .addr = (uint64_t)(uintptr_t)address,
                                              .len = size};
  ring->array[slot] = slot;
  __atomic_store_n(ring->submission_tail, tail + 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring->fd, 1u, 1u, IORING_ENTER_GETEVENTS, NULL, 0ul) < 0)
    die("io_uring_enter: %s", strerror(errno));
  unsigned head = *ring->head;
  while (head == __atomic_load_n(ring->tail, __ATOMIC_ACQUIRE)) usleep(100);
  int result = ring->completions[head & *ring->mask].res;
  __atomic_store_n(ring->head, head + 1, __ATOMIC_RELEASE);
  return result;
}

static void whole(struct ring* ring, int operation, int fd, void* address, unsigned size,
                  const struct item* item) {
  for (unsigned done = 0; done < size;) {
    int result = ring_do(ring, operation, fd, (char*)address + done, size - done, done);
    if (result <= 0) die("item %lu: fixed read or write: %s", item->token, errno_name(result));
    done += (unsigned)result;
  }
}

uint64_t pin_and_compare(struct item* item) {
  const size_t chunk = 16u << 20;
  size_t size = item_pages(item) * PAGE;
  if (size == 0) return 0;
  if (size > 1ul << 30) size = 1ul << 30;
  struct ring ring = ring_make();
  struct iovec buffer = {.iov_base = item->memory, .iov_len = size};
  if (syscall(SYS_io_uring_register, ring.fd, (unsigned)IORING_REGISTER_BUFFERS, &buffer, 1u) !=
      0) {
    fprintf(stderr, "item %lu: long-term pin of %zu bytes: %s\n", item->token, size,
            strerror(errno));
    close(ring.fd);
    return 1;
  }
  int other = memfd_create("pin", MFD_CLOEXEC);
  unsigned char* seen = NULL;
  uint64_t wrong = 0;
  if (other < 0 || ftruncate(other, (off_t)chunk) != 0) die("memfd: %s", strerror(errno));
  seen = mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
  if (seen == MAP_FAILED) die("mmap: %s", strerror(errno));
  for (size_t at = 0; at < size; at += chunk) {
    unsigned length = (unsigned)(size - at < chunk ? size - at : chunk);
    // The device reads memory…
    whole(&ring, IORING_OP_WRITE_FIXED, other, item->memory + at, length, item);
    for (size_t i = 0; i < length; i += PAGE)
      wrong += !item_page_right(item, (at + i) / PAGE, seen + i);
    // … and writes to it: inverted, seen through the mapping, and back again.
    for (size_t i = 0; i < length; i++) seen[i] = (unsigned char)~seen[i];
    whole(&ring, IORING_OP_READ_FIXED, other, item->memory + at, length, item);
    if (memcmp(item->memory + at, seen, length) != 0) wrong++;
    for (size_t i = 0; i < length; i++) seen[i] = (unsigned char)~seen[i];
    whole(&ring, IORING_OP_READ_FIXED, other, item->memory + at, length, item);
    for (size_t i = 0; i < length; i += PAGE)
      wrong += !item_page_right(item, (at + i) / PAGE, item->memory + at + i);
  }
  munmap(seen, chunk);
  close(other);
  close(ring.fd);
  return wrong;
}
