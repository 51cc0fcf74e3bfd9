/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The C interface of libhandover: carry a workload's state through a kernel update with handoverd.
 * libhandover(3) is an introduction, with whole programs beside it.
 *
 * Units: every time is in microseconds, every size in bytes.
 *
 * Ownership: strings and arrays passed in are copied. What a function returns through a pointer
 * argument belongs to the caller and is given back with the function named there. File descriptors
 * passed in stay the caller's; descriptors returned are the caller's and have FD_CLOEXEC set.
 *
 * Errors: functions that can fail return 0 (or a number that their comment explains) on success and
 * a negative errno otherwise. Each takes a `handover_error** error`, which may be NULL. *error must
 * be NULL, or an earlier error, which is then freed; it is set only by a failure, and is the
 * caller's (handover_error_free()).
 *   Any of them: -EINVAL: an argument is NULL that may not be, or otherwise wrong; -ECHILD: see
 * fork; -ENOMEM. Those that call the daemon: -ENOTCONN: there is no connection now; -ECONNRESET: it
 * ended before the answer came, and whether the daemon has done it is unknown; -ETIMEDOUT: no
 * answer came in time (handover_set_call_timeout()); -EACCES: not the caller's, or polkit says no;
 * -EBUSY: an update runs, or the daemon is busy; try again later; -EDQUOT: a limit of the caller's
 * is reached; -EIO: the kernel refused. What else a call can give stands beside it. Several errors
 * may share an errno: handover_error_is() tells them apart.
 *
 * NULL: functions that only read an object return 0, "" or NULL for NULL, and those that free
 * ignore it.
 *
 * Growth: structs that the caller fills in begin with their size, and what lies beyond it is taken
 * as 0; a library that is older than the caller's header ignores what it does not know. All that
 * the library hands out is opaque, and read by functions. So both can grow. Enumerations and words
 * may get new values: take one that you do not know for none of those you do.
 *
 * Threads: a connection and all that was made from it is used by one thread at a time. Callbacks
 * run inside handover_process(), handover_wait() or the sd-event loop given, never elsewhere but
 * for what handover_unref() says. Functions without "_async" that call the daemon block until it
 * answers; they may be used in callbacks.
 *
 * fork(): a connection belongs to the process that made it. In a child, whatever was made from it
 * fails with -ECHILD; functions that free do so, and say nothing to the daemon. So connect after
 * the last fork(), as behind daemon(3), and connect anew in a child that has something to say.
 */
#ifndef HANDOVER_HANDOVER_H
#define HANDOVER_HANDOVER_H

#include <stddef.h>
#include <stdint.h>

#include "handover/version.h"

#if defined(__GNUC__)
#define HANDOVER_API __attribute__((visibility("default")))
#else
#define HANDOVER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct sd_bus;
struct sd_event;

/* The HANDOVER_VERSION_NUMBER of the library that is loaded. */
HANDOVER_API unsigned handover_version(void);

/* ---- errors ---------------------------------------------------------------------------------- */

#define HANDOVER_ERROR_PREFIX "org.handover1.Error."

typedef struct handover_error handover_error;

/* The D-Bus error name ("org.handover1.Error.NoSuchToken", see docs/dbus.md), one sentence for a
 * person, and the positive errno. Strings are borrowed from the error. */
HANDOVER_API const char* handover_error_name(const handover_error* error);
HANDOVER_API const char* handover_error_message(const handover_error* error);
HANDOVER_API int handover_error_errno(const handover_error* error);
/* 1 if `error` has the D-Bus name `name`, or HANDOVER_ERROR_PREFIX followed by `name`. */
HANDOVER_API int handover_error_is(const handover_error* error, const char* name);
/* Returns NULL. */
HANDOVER_API handover_error* handover_error_free(handover_error* error);

/* The positive errno of a D-Bus error name; EIO for one that is not known, 0 for NULL. sd-bus's own
 * calls in this process give them, too. The daemon's:
 *
 * - EACCES: AccessDenied
 * - EALREADY: AlreadyPreserved, AlreadyRetrieved
 * - EBADMSG: ManifestInvalid
 * - EBUSY: Busy, Incoming
 * - ECANCELED: Cancelled
 * - EDQUOT: LimitExceeded
 * - EEXIST: NameTaken, TokenTaken
 * - EINVAL: InvalidArgument, InvalidName
 * - EIO: Io, KexecFailed
 * - ELOOP: DependencyCycle
 * - ENODATA: NotIncoming
 * - ENODEV: NoSuchBackend
 * - ENOENT: NoSuchSession, NoSuchClient, NoSuchToken, KernelNotFound
 * - ENOEXEC: NotAKernel, KexecLoadFailed
 * - ENOPKG: ModuleMissing
 * - ENOTRECOVERABLE: Internal
 * - ENXIO: UnknownDependency
 * - EOPNOTSUPP: Unsupported, NotSupported
 * - EPERM: Vetoed
 * - EPROTONOSUPPORT: KernelIncompatible
 * - ESRCH: ClientGone, NothingToCancel
 * - ESTALE: StateLost
 * - ETIMEDOUT: TimedOut
 */
HANDOVER_API int handover_error_name_to_errno(const char* name);

/* ---- connection ------------------------------------------------------------------------------ */

typedef struct handover_connection handover_connection;

enum {
  /* Go by the system bus if it is there, and by the private socket only otherwise. Without this,
   * root goes by the private socket first: it is there earlier in a new kernel. */
  HANDOVER_CONNECT_PREFER_BUS = 1 << 0,
};

/* Connects to handoverd. Root uses the private socket /run/handover/private
 * ($HANDOVER_PRIVATE_SOCKET overrides it for anyone; empty: never), else and for everybody else the
 * system bus ($DBUS_SYSTEM_BUS_ADDRESS is honoured) is used, where the daemon is activated if need
 * be.
 *
 * If neither is there yet, as in early boot, waits for up to `timeout_usec` (0: does not wait, and
 * gives a bus that takes connections 25 seconds to answer; UINT64_MAX: for ever). `event` is the
 * sd-event loop to run on, or NULL: the connection then has a loop of its own, driven by
 * handover_get_fd() and handover_process().
 *
 * Once connected it stays so: when the daemon or the bus restarts, the connection is made again
 * with back-off, and every client is registered again. Calls made in between fail with -ENOTCONN.
 * Give back with handover_unref(). -ETIMEDOUT, -ENOENT, -ECONNREFUSED: no daemon. */
HANDOVER_API int handover_connect(unsigned flags, uint64_t timeout_usec, struct sd_event* event,
                                  handover_connection** ret, handover_error** error);

/* `error` is borrowed, NULL on success. */
typedef void (*handover_done_callback)(int result, const handover_error* error, void* userdata);

/* The same without waiting: *ret is not connected yet, and looks for the daemon while its loop
 * runs. `callback` is called once: with 0, or with what handover_connect() would give; the
 * connection is of no use then, and is still to be given back. Giving it back ends the search.
 * Clients may be registered at once, by handover_client_register_async(), and watches be made. */
HANDOVER_API int handover_connect_async(unsigned flags, uint64_t timeout_usec,
                                        struct sd_event* event, handover_done_callback callback,
                                        void* userdata, handover_connection** ret,
                                        handover_error** error);

HANDOVER_API handover_connection* handover_ref(handover_connection* connection);
/* Always returns NULL. Sessions, clients and watches hold a reference of their own. With the last
 * one a search and all operations that are not over end: their callbacks are called in it, with
 * -ECANCELED. The connection may be used in there, but whatever asks the daemon for something fails
 * with -ECANCELED, too. */
HANDOVER_API handover_connection* handover_unref(handover_connection* connection);

/* For a loop of the caller's (connected with event NULL): wait until the descriptor is readable,
 * then call handover_process(), which dispatches all there is and does not block. Call it once
 * before the first wait. -EINVAL if the connection runs on the caller's sd-event. -EBUSY from
 * inside a callback. */
HANDOVER_API int handover_get_fd(handover_connection* connection);
HANDOVER_API int handover_process(handover_connection* connection);
/* Waits for up to `timeout_usec` (UINT64_MAX: for ever) and dispatches. 1 if there was anything,
 * 0 after the timeout. */
HANDOVER_API int handover_wait(handover_connection* connection, uint64_t timeout_usec);

/* 1 if the daemon can be called now. */
HANDOVER_API int handover_is_connected(handover_connection* connection);

/* How long a call may take before it fails with -ETIMEDOUT. The default is 5 minutes: preserving
 * much memory takes long. */
HANDOVER_API int handover_set_call_timeout(handover_connection* connection, uint64_t usec);

/* The bus connection and the destination to address ("org.handover1", or NULL on the private
 * socket), for calls that this library has no function for. Borrowed, and valid until the next
 * handover_process() or handover_wait(): a reconnect replaces them. NULL while not connected. */
HANDOVER_API struct sd_bus* handover_get_bus(handover_connection* connection);
HANDOVER_API const char* handover_get_destination(handover_connection* connection);

/* ---- operations ------------------------------------------------------------------------------ */

/* A call of the daemon that somebody waits for: what the functions with "_async" make. They check
 * their arguments as the others do, send, and return; if one fails, its callback is not called.
 * Otherwise it is called once, from the loop, with what the other function would return. `error` is
 * borrowed, NULL on success.
 *
 * With *ret the operation is the caller's, who gives it back by handover_operation_unref(): before
 * the callback has run that cancels it, and the callback is not called. The daemon may do what it
 * was asked for all the same. With `ret` NULL it cannot be cancelled. Calls are answered in no
 * order that can be relied on. */
typedef struct handover_operation handover_operation;

/* Returns NULL. May be used in the operation's own callback. */
HANDOVER_API handover_operation* handover_operation_unref(handover_operation* operation);

/* `result` is the descriptor, which is the callee's now, or a negative errno. */
typedef void (*handover_fd_callback)(int result, const handover_error* error, void* userdata);

/* ---- client ---------------------------------------------------------------------------------- */

typedef struct handover_client handover_client;

/* A call of the daemon that waits for its answer. Exactly one of handover_call_done() and
 * handover_call_fail() ends it, in the callback or at any later time; both free it. */
typedef struct handover_call handover_call;

/* Live updates since the cold boot; in Restore, the number of the one just made. */
HANDOVER_API uint64_t handover_call_generation(const handover_call* call);
/* The time within which the daemon wants the answer, from when it called; 0 if it did not say. */
HANDOVER_API uint64_t handover_call_timeout_usec(const handover_call* call);
/* Prepare: the kernel to come. "" elsewhere. Borrowed from the call. */
HANDOVER_API const char* handover_call_kernel_release(const handover_call* call);
/* Thaw, Cancel: why the update did not happen. "" elsewhere. Borrowed from the call. */
HANDOVER_API const char* handover_call_reason(const handover_call* call);
/* Restore: 0 if the client had not answered Freeze when the kexec came, so that what it preserved
 * may be torn: the update went on without it. 1 otherwise, and from a daemon that does not say. */
HANDOVER_API int handover_call_quiesced(const handover_call* call);

/* Prepare, Freeze: 1 if what comes is a rehearsal, which ends by Thaw before the kernel is left.
 * The client is to do all that it does for an update; one that cannot undo its Freeze refuses. */
HANDOVER_API int handover_call_rehearsal(const handover_call* call);
/* Thaw: 1 if it was a rehearsal that went well. The client runs on and stays prepared: Freeze may
 * follow without another Prepare, or Cancel. */
HANDOVER_API int handover_call_stays_prepared(const handover_call* call);

/* -ENOTCONN, -ECONNRESET: whoever called is gone. The call is freed either way. */
HANDOVER_API int handover_call_done(handover_call* call);
/* `message` says why, in a sentence for a person. In Prepare and Freeze this is a veto: the update
 * ends, and the message becomes its reason. */
HANDOVER_API int handover_call_fail(handover_call* call, const char* message);

typedef enum handover_client_state {
  HANDOVER_CLIENT_NEW = 0,       /* nothing waits for this client */
  HANDOVER_CLIENT_RESTORING = 1, /* state of the earlier kernel waits: restore will be called */
  HANDOVER_CLIENT_THAWING = 2,   /* the daemon was restarted in a freeze: thaw will be called */
} handover_client_state;

/* What the daemon asks of a client (docs/dbus.md, org.handover1.Client). A callback that is NULL is
 * answered with success at once. Only the daemon is listened to: others get AccessDenied. Each may
 * give back the client, and the connection. */
typedef struct handover_client_callbacks {
  size_t size; /* sizeof(handover_client_callbacks) */
  void (*prepare)(handover_client* client, handover_call* call, void* userdata);
  void (*cancel)(handover_client* client, handover_call* call, void* userdata);
  void (*freeze)(handover_client* client, handover_call* call, void* userdata);
  void (*thaw)(handover_client* client, handover_call* call, void* userdata);
  /* In the new kernel. One that fails says so by handover_call_fail(): its state is kept until it
   * registers again (once more, in this process or the next one) and is called anew, or until the
   * daemon's claim time is over; the sentence is in the update's record. A client that has nothing
   * left there to claim is not asked again. */
  void (*restore)(handover_client* client, handover_call* call, void* userdata);
  /* Registered again after the daemon was away. Not called for the first registration, unless that
   * was handover_client_register_async()'s. */
  void (*registered)(handover_client* client, handover_client_state state, void* userdata);
  /* The daemon went away, or refused to register the client again; it is tried again by itself. It
   * may be told several times before `registered` is: for each attempt that fails. The error is
   * borrowed. */
  void (*disconnected)(handover_client* client, const handover_error* error, void* userdata);
  /* A session of the client's that this process made, or took over in the same kernel by
   * handover_session_get() and a first call, is gone: the daemon that was started again does not
   * hold it. Called after `registered`; preserve what was in it anew. `session` is borrowed. */
  void (*session_lost)(handover_client* client, const char* session, void* userdata);
} handover_client_callbacks;

typedef struct handover_client_options {
  size_t size;                   /* sizeof(handover_client_options) */
  const char* const* needs;      /* names of the clients this one needs first, NULL at the end */
  int optional;                  /* the update may go on without this client */
  uint64_t prepare_timeout_usec; /* 0: as the daemon is configured */
  uint64_t freeze_timeout_usec;
  uint64_t restore_timeout_usec;
  /* It guards updates, and carries nothing itself: Prepare and Freeze before all others, Cancel,
   * Thaw and Restore behind all others, whatever it needs; nobody's standstill or boot waits for
   * it. */
  int gate;
} handover_client_options;

/* Registers a client; `options` may be NULL. The state says what to expect. `userdata` is handed to
 * the callbacks, which may run until handover_client_unref(). -EINVAL: InvalidName,
 * InvalidArgument; -EEXIST: NameTaken; -ELOOP: DependencyCycle. */
HANDOVER_API int handover_client_register(handover_connection* connection, const char* name,
                                          const handover_client_options* options,
                                          const handover_client_callbacks* callbacks,
                                          void* userdata, handover_client** ret,
                                          handover_error** error);
/* The same without waiting, also on a connection that is not there yet: `registered` tells when the
 * client is registered, and `disconnected` that it was refused and is tried again. Give the client
 * back to end that. */
HANDOVER_API int handover_client_register_async(handover_connection* connection, const char* name,
                                                const handover_client_options* options,
                                                const handover_client_callbacks* callbacks,
                                                void* userdata, handover_client** ret,
                                                handover_error** error);
HANDOVER_API const char* handover_client_get_name(const handover_client* client);
/* What the latest registration said. */
HANDOVER_API handover_client_state handover_client_get_state(const handover_client* client);
/* Tells the daemon that the client is no more; its sessions stay. It is not registered again, even
 * if this fails: then the daemon may know it still, and it can be tried again. 0 also if the daemon
 * does not know it. While an update is prepared, a required client that leaves ends it, and without
 * an optional one it goes on; -EBUSY while an update stands still. A registration that still waits
 * for polkit is undone when it is answered, as long as the connection's loop runs. The object is
 * still to be freed. */
HANDOVER_API int handover_client_unregister(handover_client* client, handover_error** error);
HANDOVER_API int handover_client_unregister_async(handover_client* client,
                                                  handover_done_callback callback, void* userdata,
                                                  handover_operation** ret, handover_error** error);
/* Frees the client without a word to the daemon; only a first registration that is not answered is
 * undone, as by handover_client_unregister(). Calls not yet answered can still be. Returns NULL. */
HANDOVER_API handover_client* handover_client_unref(handover_client* client);

/* ---- session --------------------------------------------------------------------------------- */

typedef struct handover_session handover_session;

/* Makes a session. `backend` and `client` may be NULL: the daemon's choice, and no client. -EEXIST:
 * NameTaken; -ENODEV: NoSuchBackend; -ENOENT: NoSuchClient. */
HANDOVER_API int handover_session_create(handover_connection* connection, const char* name,
                                         const char* backend, const char* client,
                                         handover_session** ret, handover_error** error);
/* `session` is the callee's, NULL if it failed. */
typedef void (*handover_session_callback)(int result, handover_session* session,
                                          const handover_error* error, void* userdata);
HANDOVER_API int handover_session_create_async(handover_connection* connection, const char* name,
                                               const char* backend, const char* client,
                                               handover_session_callback callback, void* userdata,
                                               handover_operation** ret, handover_error** error);
/* A session that is there. Asks nobody: if it is not there, the first use says NoSuchSession
 * (-ENOENT). InvalidName (-EINVAL), here and in all functions that send names: it is not UTF-8. */
HANDOVER_API int handover_session_get(handover_connection* connection, const char* name,
                                      handover_session** ret, handover_error** error);
HANDOVER_API const char* handover_session_get_name(const handover_session* session);
/* Frees the object; the session in the daemon stays. Returns NULL. */
HANDOVER_API handover_session* handover_session_unref(handover_session* session);

/* Preserves what `fd` refers to under `token`, a number of the caller's choice. -EEXIST:
 * TokenTaken; -EALREADY: AlreadyPreserved, here or in another session; -EOPNOTSUPP: no backend can
 * keep such a descriptor; -EBUSY: Incoming, or an update stands still. */
HANDOVER_API int handover_session_preserve(handover_session* session, uint64_t token, int fd,
                                           handover_error** error);
HANDOVER_API int handover_session_preserve_async(handover_session* session, uint64_t token, int fd,
                                                 handover_done_callback callback, void* userdata,
                                                 handover_operation** ret, handover_error** error);
/* The same in the backend of that name and no other ("luo", "tracker"; NULL: where it is kept
 * best). -ENODEV: NoSuchBackend, it is not there. */
HANDOVER_API int handover_session_preserve_in(handover_session* session, const char* backend,
                                              uint64_t token, int fd, handover_error** error);
HANDOVER_API int handover_session_preserve_in_async(handover_session* session, const char* backend,
                                                    uint64_t token, int fd,
                                                    handover_done_callback callback, void* userdata,
                                                    handover_operation** ret,
                                                    handover_error** error);
/* Preserves up to 1 MiB of plain bytes; they come back as a memfd. -EINVAL: more than that;
 * -EEXIST: TokenTaken. `data` may be NULL if `size` is 0. */
HANDOVER_API int handover_session_preserve_blob(handover_session* session, uint64_t token,
                                                const void* data, size_t size,
                                                handover_error** error);
HANDOVER_API int handover_session_preserve_blob_async(handover_session* session, uint64_t token,
                                                      const void* data, size_t size,
                                                      handover_done_callback callback,
                                                      void* userdata, handover_operation** ret,
                                                      handover_error** error);
/* -ENOENT: NoSuchToken. */
HANDOVER_API int handover_session_unpreserve(handover_session* session, uint64_t token,
                                             handover_error** error);
HANDOVER_API int handover_session_unpreserve_async(handover_session* session, uint64_t token,
                                                   handover_done_callback callback, void* userdata,
                                                   handover_operation** ret,
                                                   handover_error** error);
/* The descriptor preserved under `token`: in the new kernel, as often as need be until the session
 * is finished; and in the same kernel a duplicate, for an owner whose process has died, while it
 * stays preserved. So make a session like this: handover_session_create(); NameTaken: it is there
 * from an earlier run of yours, so handover_session_get() and retrieve. -ENOENT: NoSuchToken;
 * -EALREADY: AlreadyRetrieved, by the companion module's descriptor; -EOPNOTSUPP: NotSupported, the
 * kernel alone has it, until the next live update; -ESTALE: StateLost. */
HANDOVER_API int handover_session_retrieve(handover_session* session, uint64_t token, int* ret_fd,
                                           handover_error** error);
HANDOVER_API int handover_session_retrieve_async(handover_session* session, uint64_t token,
                                                 handover_fd_callback callback, void* userdata,
                                                 handover_operation** ret, handover_error** error);
/* A descriptor of the companion module's session, for the ioctls of <linux/handover.h>: ranges of
 * the caller's own memory and memory that the module allocates are preserved and retrieved through
 * it, and no byte passes through the daemon. Its tokens are in handover_session_list_tokens() too,
 * and can be retrieved either way; use numbers that are not preserved through the daemon. What it
 * preserves is part of the session: close the descriptor at will. -ENODEV: NoSuchBackend, no module
 * here. */
HANDOVER_API int handover_session_open_tracker(handover_session* session, int* ret_fd,
                                               handover_error** error);
HANDOVER_API int handover_session_open_tracker_async(handover_session* session,
                                                     handover_fd_callback callback, void* userdata,
                                                     handover_operation** ret,
                                                     handover_error** error);
/* A descriptor of LUO's own session, for the ioctls of <linux/liveupdate.h>: the caller preserves
 * and retrieves by himself what the kernel's later handlers take (VFIO, iommufd, guest_memfd). LUO
 * tells nobody what is in a session: handover_session_list_tokens() does not show it; keep the
 * numbers, and use none that is preserved through the daemon. From then on the session is never
 * made anew: Unpreserve answers NotSupported, and its memory is not collapsed. In the new kernel
 * call this again, or handover_session_retrieve() with the same numbers, and then
 * handover_session_finish(). The session ends when the caller has closed the descriptor, too.
 * -ENODEV: NoSuchBackend, the session is not LUO's. */
HANDOVER_API int handover_session_open_luo(handover_session* session, int* ret_fd,
                                           handover_error** error);
HANDOVER_API int handover_session_open_luo_async(handover_session* session,
                                                 handover_fd_callback callback, void* userdata,
                                                 handover_operation** ret, handover_error** error);
/* Ends an incoming session: what was not retrieved is freed. -ENODATA: NotIncoming. */
HANDOVER_API int handover_session_finish(handover_session* session, handover_error** error);
HANDOVER_API int handover_session_finish_async(handover_session* session,
                                               handover_done_callback callback, void* userdata,
                                               handover_operation** ret, handover_error** error);
/* Ends an outgoing session: nothing of it is preserved any more. -EBUSY: Incoming. */
HANDOVER_API int handover_session_discard(handover_session* session, handover_error** error);
HANDOVER_API int handover_session_discard_async(handover_session* session,
                                                handover_done_callback callback, void* userdata,
                                                handover_operation** ret, handover_error** error);

typedef struct handover_token handover_token;
typedef struct handover_token_list handover_token_list;

/* What the session holds. */
HANDOVER_API int handover_session_list_tokens(handover_session* session, handover_token_list** ret,
                                              handover_error** error);
/* `tokens` is the callee's, NULL if it failed. */
typedef void (*handover_tokens_callback)(int result, handover_token_list* tokens,
                                         const handover_error* error, void* userdata);
HANDOVER_API int handover_session_list_tokens_async(handover_session* session,
                                                    handover_tokens_callback callback,
                                                    void* userdata, handover_operation** ret,
                                                    handover_error** error);
HANDOVER_API size_t handover_token_list_count(const handover_token_list* list);
/* Borrowed from the list; NULL if it has no more than `index`. */
HANDOVER_API const handover_token* handover_token_list_get(const handover_token_list* list,
                                                           size_t index);
/* Returns NULL. */
HANDOVER_API handover_token_list* handover_token_list_free(handover_token_list* list);

HANDOVER_API uint64_t handover_token_number(const handover_token* token);
/* Its size when it was preserved; 0 if it has none. */
HANDOVER_API uint64_t handover_token_bytes(const handover_token* token);
/* 1 if it was retrieved in this kernel. */
HANDOVER_API int handover_token_is_retrieved(const handover_token* token);
/* "memfd", "blob", "fd", … (docs/dbus.md), and which holds it: "luo", "tracker", "emulated".
 * Borrowed from the list. */
HANDOVER_API const char* handover_token_kind(const handover_token* token);
HANDOVER_API const char* handover_token_backend(const handover_token* token);

/* ---- watch ----------------------------------------------------------------------------------- */

/* For programs that only look: they register nothing, and no update waits for them. */
typedef struct handover_watch handover_watch;

/* Strings are borrowed. Any callback may be NULL, and may give back the watch and the connection.
 */
typedef struct handover_watch_callbacks {
  size_t size; /* sizeof(handover_watch_callbacks) */
  /* The daemon's state ("normal", "preparing", … docs/dbus.md) and the live updates since the cold
   * boot: once at first, after each reconnect, and whenever one of them changes. */
  void (*status)(handover_watch* watch, const char* state, uint64_t generation, void* userdata);
  /* How far an update is: its phase, percent of the whole, and one line for a person. */
  void (*progress)(handover_watch* watch, const char* phase, unsigned percent, const char* detail,
                   void* userdata);
  /* An update is over: "done", "done-with-losses", "cancelled", "failed"; why; and the live updates
   * since the cold boot. One that ended while the daemon was away is not told of. */
  void (*finished)(handover_watch* watch, const char* outcome, const char* reason,
                   uint64_t generation, void* userdata);
  /* Preserved state did not come back; session and client are "" where they are not known. */
  void (*lost)(handover_watch* watch, const char* session, const char* client, const char* reason,
               void* userdata);
  /* The daemon went away, or refused; what is said until the next `status` is missed. */
  void (*disconnected)(handover_watch* watch, const handover_error* error, void* userdata);
} handover_watch_callbacks;

/* Never waits; the connection need not be there yet. */
HANDOVER_API int handover_watch_new(handover_connection* connection,
                                    const handover_watch_callbacks* callbacks, void* userdata,
                                    handover_watch** ret, handover_error** error);
/* Returns NULL. */
HANDOVER_API handover_watch* handover_watch_unref(handover_watch* watch);

#ifdef __cplusplus
}
#endif

#endif
