/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <handover/iommu.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../protocol.h"

enum { FIRST_LISTEN_FD = 3 };

struct line {
  char text[256];
};

struct handover_iommu {
  int first, count; /* of the descriptors that we were given */
  int control, device, iommufd;
  int first_memory; /* the memories are the last descriptors */
  uint32_t ioas;
  int restored;
  char* names; /* of the descriptors, each ended by a 0 byte */
  struct line message;
};

static int number_of(const char* variable, unsigned long* ret) {
  const char* text = getenv(variable);
  char* end = NULL;

  if (!text || !*text) return -ENOENT;
  *ret = strtoul(text, &end, 10);
  return *end ? -ENOENT : 0;
}

/* The descriptor of that name, from the `from`-th on; -ENOENT. */
static int find(const handover_iommu* handle, const char* name, int from) {
  const char* at = handle->names;

  for (int i = 0; i < handle->count; i++) {
    if (i >= from && !strcmp(at, name)) return handle->first + i;
    at += strlen(at) + 1;
  }
  return -ENOENT;
}

/* What came with a unit's sockets stands in front, and may have any names; behind it stand control,
 * device and iommufd, and then the memories, none of which has a name of these. */
static int find_ours(handover_iommu* handle) {
  handle->iommufd = -ENOENT;
  for (int from = 0;;) {
    const int fd = find(handle, "iommufd", from);

    if (fd < 0) break;
    handle->iommufd = fd;
    from = fd - handle->first + 1;
  }
  if (handle->iommufd < 0) return -ENOENT;
  handle->control = handle->iommufd - 2;
  handle->device = handle->iommufd - 1;
  const int at = handle->control - handle->first;
  if (at < 0 || find(handle, "control", at) != handle->control ||
      find(handle, "device", at) != handle->device) {
    return -ENOENT;
  }
  handle->first_memory = at + 3;
  return 0;
}

/* "a:b:c" as three strings, one behind the other; the names must be as many as the descriptors. */
static int split_names(handover_iommu* handle) {
  const char* names = getenv("LISTEN_FDNAMES");
  int parts = 1;

  if (!names) return -ENOENT;
  handle->names = strdup(names);
  if (!handle->names) return -ENOMEM;
  for (char* at = handle->names; *at; at++) {
    if (*at == ':') {
      *at = '\0';
      parts++;
    }
  }
  return parts == handle->count ? 0 : -ENOENT;
}

static int take_over(handover_iommu* handle) {
  unsigned long pid = 0;
  unsigned long count = 0;
  unsigned long ioas = 0;
  unsigned long restored = 0;

  if (number_of("LISTEN_PID", &pid) < 0 || pid != (unsigned long)getpid()) return -ENOENT;
  if (number_of("LISTEN_FDS", &count) < 0 || count > 4096) return -ENOENT;
  if (number_of("HANDOVER_IOAS", &ioas) < 0) return -ENOENT;
  handle->first = FIRST_LISTEN_FD;
  handle->count = (int)count;
  handle->ioas = (uint32_t)ioas;
  handle->restored = number_of("HANDOVER_RESTORED", &restored) == 0 && restored == 1;
  const int r = split_names(handle);
  if (r < 0) return r;
  return find_ours(handle);
}

int handover_iommu_open(handover_iommu** ret) {
  if (!ret) return -EINVAL;
  handover_iommu* handle = calloc(1, sizeof(*handle));

  if (!handle) return -ENOMEM;
  const int r = take_over(handle);
  if (r < 0) {
    free(handle->names);
    free(handle);
    return r;
  }
  *ret = handle;
  return 0;
}

handover_iommu* handover_iommu_close(handover_iommu* handle) {
  if (!handle) return NULL;
  for (int fd = handle->control; fd < handle->first + handle->count; fd++) close(fd);
  free(handle->names);
  free(handle);
  return NULL;
}

int handover_iommu_is_restored(const handover_iommu* handle) {
  return handle ? handle->restored : 0;
}
int handover_iommu_device(const handover_iommu* handle) {
  return handle ? handle->device : -EINVAL;
}
int handover_iommu_iommufd(const handover_iommu* handle) {
  return handle ? handle->iommufd : -EINVAL;
}
uint32_t handover_iommu_ioas(const handover_iommu* handle) { return handle ? handle->ioas : 0; }
const char* handover_iommu_message(const handover_iommu* handle) {
  return handle ? handle->message.text : "";
}

int handover_iommu_memory(const handover_iommu* handle, const char* name, int* ret_fd) {
  if (!handle || !name) return -EINVAL;
  int fd = find(handle, name, handle->first_memory);

  if (fd < 0) return fd;
  if (ret_fd) *ret_fd = fd;
  return fd - handle->first - handle->first_memory;
}

static int failed(handover_iommu* handle, int error, const char* message) {
  struct line line = {""};

  for (size_t i = 0; i < sizeof(line.text) - 1 && message[i]; i++) line.text[i] = message[i];
  handle->message = line;
  return -error;
}

static int receive(handover_iommu* handle) {
  struct handover_iommu_answer answer;
  ssize_t n = 0;

  do {
    n = recv(handle->control, &answer, sizeof(answer), 0);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return failed(handle, EPIPE, "handover-iommu is gone.");
  if (n < 0) return failed(handle, errno, strerror(errno));
  if (n != sizeof(answer) || answer.size != sizeof(answer)) {
    return failed(handle, EPROTO, "handover-iommu speaks another version than this library.");
  }
  answer.message[sizeof(answer.message) - 1] = '\0';
  return answer.error ? failed(handle, (int)answer.error, answer.message) : 0;
}

static int ask(handover_iommu* handle, int operation, const struct handover_iommu_mapping* mappings,
               size_t count) {
  size_t bytes = count * sizeof(*mappings);
  struct handover_iommu_request head = {
      .size = (uint32_t)(sizeof(head) + bytes),
      .version = HANDOVER_IOMMU_PROTOCOL_VERSION,
      .operation = (uint16_t)operation,
      .count = (uint32_t)count,
  };
  struct iovec parts[2] = {{&head, sizeof(head)}, {(void*)mappings, bytes}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  ssize_t n = 0;

  do {
    n = sendmsg(handle->control, &message, MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return failed(handle, errno, strerror(errno));
  return receive(handle);
}

static size_t part_of(size_t count) {
  return count < HANDOVER_IOMMU_MOST_MAPPINGS ? count : HANDOVER_IOMMU_MOST_MAPPINGS;
}

int handover_iommu_unmap(handover_iommu* handle, const struct handover_iommu_mapping* mappings,
                         size_t count) {
  struct handover_iommu_mapping names[HANDOVER_IOMMU_MOST_MAPPINGS];

  if (!handle || (!mappings && count > 0)) return -EINVAL;
  while (count > 0) {
    const size_t part = part_of(count);

    for (size_t i = 0; i < part; i++) {
      names[i] =
          (struct handover_iommu_mapping){.iova = mappings[i].iova, .length = mappings[i].length};
    }
    const int r = ask(handle, HANDOVER_IOMMU_OPERATION_UNMAP, names, part);
    if (r < 0) return r;
    mappings += part;
    count -= part;
  }
  return 0;
}

int handover_iommu_map(handover_iommu* handle, const struct handover_iommu_mapping* mappings,
                       size_t count) {
  size_t done = 0;

  if (!handle || (!mappings && count > 0)) return -EINVAL;
  while (done < count) {
    const size_t part = part_of(count - done);
    const int r = ask(handle, HANDOVER_IOMMU_OPERATION_MAP, mappings + done, part);

    if (r < 0) {
      const struct line why = handle->message;

      handover_iommu_unmap(handle, mappings, done);
      handle->message = why;
      return r;
    }
    done += part;
  }
  return 0;
}
