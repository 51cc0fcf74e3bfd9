// SPDX-License-Identifier: LGPL-2.1-or-later
#define _GNU_SOURCE
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

void die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("handover-kmod: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(1);
}

void* allocate(size_t size) {
  void* memory = calloc(1, size ? size : 1);
  if (!memory) die("no memory for %zu bytes", size);
  return memory;
}

uint64_t now_usec(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

const char* errno_name(int error) {
  if (error == 0) return "0";
  const char* name = strerrorname_np(error < 0 ? -error : error);
  return name ? name : "?";
}

int call(int fd, unsigned long request, void* argument) {
  int result = ioctl(fd, request, argument);
  return result < 0 ? -errno : result;
}

int device(void) {
  static int fd = -1;
  if (fd < 0) fd = open("/dev/handover", O_RDWR | O_CLOEXEC);
  if (fd < 0) die("/dev/handover: %s", strerror(errno));
  return fd;
}

struct handover_info device_info(void) {
  struct handover_info info = {.size = sizeof info};
  int error = call(device(), HANDOVER_INFO, &info);
  if (error) die("HANDOVER_INFO: %s", errno_name(error));
  return info;
}

int session_create(const char* name, uint64_t max_bytes, uint32_t max_entries) {
  struct handover_create_session argument = {
      .size = sizeof argument, .fd = -1, .max_bytes = max_bytes, .max_entries = max_entries};
  snprintf((char*)argument.name, sizeof argument.name, "%s", name);
  int error = call(device(), HANDOVER_CREATE_SESSION, &argument);
  return error ? error : argument.fd;
}

int session_retrieve(const char* name) {
  struct handover_retrieve_session argument = {.size = sizeof argument, .fd = -1};
  snprintf((char*)argument.name, sizeof argument.name, "%s", name);
  int error = call(device(), HANDOVER_RETRIEVE_SESSION, &argument);
  return error ? error : argument.fd;
}

int session_must(const char* name) {
  int fd = session_retrieve(name);
  if (fd < 0) die("session %s: %s", name, errno_name(fd));
  return fd;
}

int seal(struct handover_seal* result) {
  struct handover_seal argument = {.size = sizeof argument};
  int error = call(device(), HANDOVER_SEAL, &argument);
  if (result) *result = argument;
  return error;
}

int unseal(void) {
  struct handover_seal argument = {.size = sizeof argument};
  return call(device(), HANDOVER_UNSEAL, &argument);
}

int preserve_fd(int session, uint64_t token, int fd) {
  struct handover_preserve_fd argument = {.size = sizeof argument, .fd = fd, .token = token};
  return call(session, HANDOVER_SESSION_PRESERVE_FD, &argument);
}

int preserve_range(int session, uint64_t token, const void* address, uint64_t length) {
  struct handover_preserve_range argument = {.size = sizeof argument,
                                             .address = (uint64_t)(uintptr_t)address,
                                             .length = length,
                                             .token = token};
  return call(session, HANDOVER_SESSION_PRESERVE_RANGE, &argument);
}

int allocate_memory(int session, uint64_t token, uint64_t length, int node) {
  struct handover_allocate argument = {
      .size = sizeof argument, .fd = -1, .length = length, .token = token, .node = node};
  int error = call(session, HANDOVER_SESSION_ALLOCATE, &argument);
  return error ? error : argument.fd;
}

int unpreserve(int session, uint64_t token) {
  struct handover_unpreserve argument = {.size = sizeof argument, .token = token};
  return call(session, HANDOVER_SESSION_UNPRESERVE, &argument);
}

int retrieve(int session, uint64_t token) {
  struct handover_retrieve argument = {.size = sizeof argument, .fd = -1, .token = token};
  int error = call(session, HANDOVER_SESSION_RETRIEVE, &argument);
  return error ? error : argument.fd;
}

int describe(int session, uint64_t token, struct handover_describe* result) {
  memset(result, 0, sizeof *result);
  result->size = sizeof *result;
  result->token = token;
  return call(session, HANDOVER_SESSION_DESCRIBE, result);
}

int session_info(int session, struct handover_session_info* result) {
  memset(result, 0, sizeof *result);
  result->size = sizeof *result;
  return call(session, HANDOVER_SESSION_INFO, result);
}

int restore(int session, uint32_t threads) {
  struct handover_restore argument = {.size = sizeof argument, .threads = threads};
  return call(session, HANDOVER_SESSION_RESTORE, &argument);
}

static int end(int session, unsigned long request, uint64_t* freed) {
  struct handover_session_end argument = {.size = sizeof argument};
  int error = call(session, request, &argument);
  if (freed) *freed = argument.freed_bytes;
  return error;
}

int finish(int session, uint64_t* freed) { return end(session, HANDOVER_SESSION_FINISH, freed); }

int discard(int session, uint64_t* freed) { return end(session, HANDOVER_SESSION_DISCARD, freed); }
