/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A cache whose memory survives kernel updates, its own crashes and those of the daemon.
 *
 *   cc cache.c -o cache $(pkg-config --cflags --libs libhandover) && ./cache photos
 *
 * It takes "put KEY VALUE" and "get KEY" on standard input. The argument is the name of the client
 * and of its session. cache.cpp does the same without ever waiting for the daemon. */
#define _GNU_SOURCE
#include <errno.h>
#include <handover/handover.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY_BYTES = 1 << 20, TOKEN = 1, RETRY_MSEC = 200 };

/* What survives. It is whole at any instant: a line counts when `used` says so, which is written
 * last. */
struct contents {
  size_t used;
  char lines[MEMORY_BYTES - sizeof(size_t)]; /* "KEY VALUE\n" each, the latest of a key counts */
};

struct cache {
  const char* name;
  handover_connection* connection;
  handover_client* client;
  int fd;
  struct contents* contents; /* NULL: it is not here yet */
  int preserved;             /* the daemon holds it, as far as we know */
  int frozen;
};

static void complain(const char* what, const handover_error* error) {
  fprintf(stderr, "%s: %s\n", what, handover_error_message(error));
}

/* The memory behind `fd`, which becomes ours, in the place of what there was. 0 or -1. */
static int take_memory(struct cache* cache, int fd) {
  void* memory = mmap(NULL, sizeof(struct contents), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (memory == MAP_FAILED) {
    perror("mmap");
    close(fd);
    return -1;
  }
  if (cache->contents) munmap(cache->contents, sizeof(*cache->contents));
  if (cache->fd >= 0) close(cache->fd);
  cache->contents = memory;
  cache->fd = fd;
  return 0;
}

static int make_memory(struct cache* cache) {
  const int fd = memfd_create(cache->name, MFD_CLOEXEC);

  if (fd < 0 || ftruncate(fd, sizeof(struct contents)) < 0) {
    perror("memfd");
    if (fd >= 0) close(fd);
    return -1;
  }
  return take_memory(cache, fd);
}

/* What is preserved in the session, whether this kernel or an earlier process preserved it. */
static int retrieve(struct cache* cache, handover_error** error) {
  handover_session* session = NULL;
  int fd = -1;
  int r = handover_session_get(cache->connection, cache->name, &session, error);

  if (r >= 0) r = handover_session_retrieve(session, TOKEN, &fd, error);
  handover_session_unref(session);
  if (r >= 0) r = take_memory(cache, fd);
  return r;
}

/* Ends our session if nothing is in it: an earlier process of ours died before the memory was. 1 if
 * the name is free now. */
static int discard_empty(struct cache* cache) {
  handover_session* session = NULL;
  handover_token_list* tokens = NULL;
  int r = handover_session_get(cache->connection, cache->name, &session, NULL);

  if (r >= 0) r = handover_session_list_tokens(session, &tokens, NULL);
  if (r >= 0) {
    r = handover_token_list_count(tokens) == 0 ? handover_session_discard(session, NULL) : -EEXIST;
  }
  handover_token_list_free(tokens);
  handover_session_unref(session);
  return r >= 0;
}

static int create_session(struct cache* cache, handover_session** ret, handover_error** error) {
  handover_error* why = NULL;
  int r = handover_session_create(cache->connection, cache->name, NULL, cache->name, ret, &why);

  if (r < 0 && handover_error_is(why, "NameTaken") && discard_empty(cache)) {
    r = handover_session_create(cache->connection, cache->name, NULL, cache->name, ret, &why);
  }
  if (r < 0 && error) {
    *error = why;
  } else {
    handover_error_free(why);
  }
  return r;
}

/* Has the daemon hold the memory, unless it does. */
static int preserve(struct cache* cache, handover_error** error) {
  handover_session* session = NULL;
  int r = 0;

  if (cache->preserved) return 0;
  r = create_session(cache, &session, error);
  if (r >= 0) r = handover_session_preserve(session, TOKEN, cache->fd, error);
  /* A session without the memory would be in the way of the next attempt. */
  if (r < 0 && session) handover_session_discard(session, NULL);
  handover_session_unref(session);
  cache->preserved = r >= 0;
  return r;
}

/* ---- what the daemon asks for ---- */

static void on_prepare(handover_client* client, handover_call* call, void* userdata) {
  struct cache* cache = userdata;
  handover_error* error = NULL;

  (void)client;
  if (preserve(cache, &error) < 0) {
    handover_call_fail(call, handover_error_message(error)); /* better no update than a loss */
    handover_error_free(error);
  } else {
    handover_call_done(call);
  }
}

static void on_freeze(handover_client* client, handover_call* call, void* userdata) {
  struct cache* cache = userdata;

  (void)client;
  cache->frozen = 1; /* main() takes no more commands: nothing is written from here on */
  handover_call_done(call);
}

static void on_thaw(handover_client* client, handover_call* call, void* userdata) {
  struct cache* cache = userdata;

  (void)client;
  cache->frozen = 0;
  handover_call_done(call);
}

/* In the new kernel. */
static void on_restore(handover_client* client, handover_call* call, void* userdata) {
  struct cache* cache = userdata;
  handover_error* error = NULL;

  (void)client;
  if (retrieve(cache, &error) < 0) {
    handover_call_fail(call, handover_error_message(error));
    handover_error_free(error);
    return;
  }
  printf("restored in generation %llu\n", (unsigned long long)handover_call_generation(call));
  cache->frozen = 0;
  cache->preserved = 0; /* with the answer the session of the earlier kernel ends */
  handover_call_done(call);
}

static void on_session_lost(handover_client* client, const char* session, void* userdata) {
  struct cache* cache = userdata;

  (void)client;
  (void)session;
  cache->preserved = 0; /* main() makes it anew */
}

/* ---- the cache ---- */

static void put(struct contents* contents, const char* line) {
  const size_t length = strlen(line);

  if (length + 1 > sizeof(contents->lines) - contents->used) {
    printf("full\n");
    return;
  }
  memcpy(contents->lines + contents->used, line, length);
  contents->lines[contents->used + length] = '\n';
  __atomic_store_n(&contents->used, contents->used + length + 1, __ATOMIC_RELEASE);
  printf("ok\n");
}

static void get(const struct contents* contents, const char* key) {
  const size_t length = strlen(key);
  const char* end = contents->lines + contents->used;
  const char* found = NULL;
  int width = 0;

  for (const char* at = contents->lines; at < end;) {
    const char* stop = memchr(at, '\n', (size_t)(end - at));

    if ((size_t)(stop - at) > length && !memcmp(at, key, length) && at[length] == ' ') {
      found = at + length + 1;
      width = (int)(stop - found);
    }
    at = stop + 1;
  }
  printf("%.*s\n", found ? width : 1, found ? found : "-");
}

static void run_command(struct cache* cache, char* line) {
  line[strcspn(line, "\n")] = '\0';
  if (!strncmp(line, "put ", 4) && strchr(line + 4, ' ')) {
    put(cache->contents, line + 4);
  } else if (!strncmp(line, "get ", 4)) {
    get(cache->contents, line + 4);
  } else {
    printf("put KEY VALUE or get KEY\n");
  }
}

/* The memory at the start: none yet, that of an earlier process of ours, or, later, the earlier
 * kernel's. */
static int begin(struct cache* cache, handover_error** error) {
  int r = 0;

  if (handover_client_get_state(cache->client) == HANDOVER_CLIENT_RESTORING) return 0;
  r = make_memory(cache);
  if (r >= 0) r = preserve(cache, error);
  if (r < 0 && handover_error_is(*error, "NameTaken")) {
    r = retrieve(cache, error);
    cache->preserved = r >= 0;
    if (r >= 0) printf("found again\n");
  }
  return r;
}

static int serve(struct cache* cache) {
  char line[4096];
  struct pollfd waits[2] = {{0, POLLIN, 0}, {0, POLLIN, 0}};

  waits[0].fd = handover_get_fd(cache->connection);
  for (;;) {
    const int r = handover_process(cache->connection);
    /* The callbacks run in there, so nothing is frozen behind our back. */
    const int busy = cache->frozen || !cache->contents;

    if (r < 0) {
      fprintf(stderr, "handover_process: %s\n", strerror(-r));
      return 1;
    }
    if (cache->contents && !cache->preserved && !cache->frozen) preserve(cache, NULL);
    waits[1].fd = busy ? -1 : STDIN_FILENO;
    waits[1].revents = 0;
    if (poll(waits, 2, cache->preserved ? -1 : RETRY_MSEC) < 0 && errno != EINTR) return 1;
    if (!(waits[1].revents & (POLLIN | POLLHUP))) continue;
    if (!fgets(line, sizeof(line), stdin)) return 0;
    run_command(cache, line);
  }
}

int main(int argc, char** argv) {
  struct cache cache = {.name = argc > 1 ? argv[1] : "cache", .fd = -1};
  const handover_client_callbacks callbacks = {
      .size = sizeof(callbacks),
      .prepare = on_prepare,
      .freeze = on_freeze,
      .thaw = on_thaw,
      .restore = on_restore,
      .session_lost = on_session_lost,
  };
  handover_error* error = NULL;
  int status = 1;
  int r = 0;

  setvbuf(stdin, NULL, _IONBF, 0); /* what is read ahead would hide from poll() */
  setvbuf(stdout, NULL, _IOLBF, 0);
  /* For as long as it takes: early in the new kernel we may be there before the daemon is. */
  r = handover_connect(0, UINT64_MAX, NULL, &cache.connection, &error);
  if (r >= 0) {
    r = handover_client_register(cache.connection, cache.name, NULL, &callbacks, &cache,
                                 &cache.client, &error);
  }
  if (r >= 0) r = begin(&cache, &error);
  if (r >= 0) {
    printf("ready\n");
    status = serve(&cache);
  } else {
    complain(cache.name, error);
  }
  error = handover_error_free(error);
  handover_client_unref(cache.client);
  handover_unref(cache.connection);
  return status;
}
