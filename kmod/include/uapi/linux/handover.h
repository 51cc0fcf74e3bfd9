/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * User-space interface of /dev/handover, the companion module of handoverd.
 *
 * The module preserves memory across a kexec through the kernel's Kexec
 * HandOver (KHO): files on shmem and hugetlb, ranges of the caller's own
 * memory, and memory that it allocates itself.
 */
#ifndef _UAPI_LINUX_HANDOVER_H
#define _UAPI_LINUX_HANDOVER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: General ioctl format
 *
 * As in liveupdate.h and iommufd.h: each ioctl takes a pointer to a structure
 * whose first u32 is its size. A longer structure is taken if what the kernel
 * does not know is zero; a shorter one is taken down to the size of the
 * structure's first published version. Errnos that mean the same everywhere:
 *
 *  - ENOTTY: the ioctl number is not known (to this kind of descriptor)
 *  - E2BIG: the structure is longer than the kernel knows, and not zero there
 *  - EOPNOTSUPP: a known field has a value that is not supported here; for a
 *    descriptor or range: memory of a kind that cannot be preserved
 *  - EINVAL: a field is wrong, the structure is too short, or the call does
 *    not fit the session's state (see @HANDOVER_SESSION_INCOMING)
 *  - ENOENT: no such session or token
 *  - EEXIST: the name or token is taken
 *  - EOVERFLOW: a range that wraps around
 *  - EBUSY: sealed: unseal first; or the memory is preserved already; or the
 *    session is another kernel module's, which holds it (see
 *    @HANDOVER_KIND_KERNEL)
 *  - EDQUOT: a limit of the session would be exceeded
 *  - ENODATA: what the earlier kernel left is damaged; it will not be given out
 *  - EALREADY: retrieved before
 *  - EBADF: not an open descriptor, or not open for reading
 *  - ENOMEM: out of memory; nothing has changed
 *
 * After any error the session is as it was before the call.
 *
 * Threads: every ioctl may be called from any thread and process that has the
 * descriptor; calls on one session are serialized.
 *
 * /dev/handover can be opened by root only, with CAP_SYS_BOOT as for kexec
 * (EPERM). Session descriptors and retrieved files may be passed to anyone; no
 * ioctl on them asks for a capability.
 *
 * A session belongs to the kernel: it outlives the descriptors that refer to
 * it, until FINISH or DISCARD.
 */

#define HANDOVER_IOCTL_TYPE	0xBB

/* What @abi of struct handover_info says; raised when old callers break. */
#define HANDOVER_ABI_VERSION	1

/* The longest session name, with its terminating zero. */
#define HANDOVER_NAME_LENGTH	64

/* Keys are counted by order up to this one (1 GiB of 4 KiB pages is 18). */
#define HANDOVER_ORDERS		20

/* On /dev/handover. */
#define HANDOVER_INFO			_IO(HANDOVER_IOCTL_TYPE, 0x00)
#define HANDOVER_CREATE_SESSION		_IO(HANDOVER_IOCTL_TYPE, 0x01)
#define HANDOVER_RETRIEVE_SESSION	_IO(HANDOVER_IOCTL_TYPE, 0x02)
#define HANDOVER_LIST_SESSIONS		_IO(HANDOVER_IOCTL_TYPE, 0x03)
#define HANDOVER_SEAL			_IO(HANDOVER_IOCTL_TYPE, 0x04)
#define HANDOVER_UNSEAL			_IO(HANDOVER_IOCTL_TYPE, 0x05)

/* On session descriptors. */
#define HANDOVER_SESSION_INFO		_IO(HANDOVER_IOCTL_TYPE, 0x40)
#define HANDOVER_SESSION_PRESERVE_FD	_IO(HANDOVER_IOCTL_TYPE, 0x41)
#define HANDOVER_SESSION_PRESERVE_RANGE	_IO(HANDOVER_IOCTL_TYPE, 0x42)
#define HANDOVER_SESSION_ALLOCATE	_IO(HANDOVER_IOCTL_TYPE, 0x43)
#define HANDOVER_SESSION_UNPRESERVE	_IO(HANDOVER_IOCTL_TYPE, 0x44)
#define HANDOVER_SESSION_RETRIEVE	_IO(HANDOVER_IOCTL_TYPE, 0x45)
#define HANDOVER_SESSION_DESCRIBE	_IO(HANDOVER_IOCTL_TYPE, 0x46)
#define HANDOVER_SESSION_LIST_TOKENS	_IO(HANDOVER_IOCTL_TYPE, 0x47)
#define HANDOVER_SESSION_RESTORE	_IO(HANDOVER_IOCTL_TYPE, 0x48)
#define HANDOVER_SESSION_FINISH		_IO(HANDOVER_IOCTL_TYPE, 0x49)
#define HANDOVER_SESSION_DISCARD	_IO(HANDOVER_IOCTL_TYPE, 0x4a)

/* @features of struct handover_info. */
#define HANDOVER_FEATURE_KHO		(1ULL << 0) /* KHO is on: sessions can be made */
#define HANDOVER_FEATURE_HUGETLB	(1ULL << 1)
#define HANDOVER_FEATURE_SPARSE		(1ULL << 2) /* holes stay holes */
#define HANDOVER_FEATURE_RANGE		(1ULL << 3)
#define HANDOVER_FEATURE_ALLOCATE	(1ULL << 4)
#define HANDOVER_FEATURE_LAZY		(1ULL << 5) /* restore at first touch */

/**
 * struct handover_info - ioctl(HANDOVER_INFO)
 * @size:	in: sizeof(struct handover_info)
 * @abi:	out: HANDOVER_ABI_VERSION
 * @format:	out: version of the serialized form that this module writes and
 *		reads. A target kernel's module must read it.
 * @sealed:	out: 1 between HANDOVER_SEAL and HANDOVER_UNSEAL
 * @features:	out: HANDOVER_FEATURE_*
 * @generation:	out: live updates with this module since the cold boot
 * @sessions:	out: sessions there are, outgoing and incoming
 * @incoming:	out: of these, not yet finished ones of the earlier kernel
 * @bytes:	out: bytes preserved for the next kernel
 * @lost:	out: sessions of the earlier kernel whose tables were damaged
 * @reserved:	out: 0
 */
struct handover_info {
	__u32 size;
	__u32 abi;
	__u32 format;
	__u32 sealed;
	__aligned_u64 features;
	__aligned_u64 generation;
	__u32 sessions;
	__u32 incoming;
	__aligned_u64 bytes;
	__u32 lost;
	__u32 reserved;
};

/**
 * struct handover_create_session - ioctl(HANDOVER_CREATE_SESSION)
 * @size:	in: sizeof(struct handover_create_session)
 * @fd:		out: the session's descriptor (close-on-exec)
 * @name:	in: 1 to 63 bytes, ended by a zero
 * @max_bytes:	in: limit on the bytes preserved; 0: none
 * @max_entries: in: limit on the number of tokens; 0: none
 * @flags:	in: 0
 *
 * EEXIST: a session has this name, outgoing or incoming. EOPNOTSUPP: KHO off.
 */
struct handover_create_session {
	__u32 size;
	__s32 fd;
	__u8 name[HANDOVER_NAME_LENGTH];
	__aligned_u64 max_bytes;
	__u32 max_entries;
	__u32 flags;
};

/**
 * struct handover_retrieve_session - ioctl(HANDOVER_RETRIEVE_SESSION)
 * @size:	in: sizeof(struct handover_retrieve_session)
 * @fd:		out: a new descriptor of the session (close-on-exec)
 * @name:	in: its name
 *
 * Works for incoming and outgoing sessions alike, any number of times.
 */
struct handover_retrieve_session {
	__u32 size;
	__s32 fd;
	__u8 name[HANDOVER_NAME_LENGTH];
};

/* @flags of struct handover_session_info and handover_session_item. */
#define HANDOVER_SESSION_INCOMING	(1u << 0) /* of the earlier kernel */

/**
 * struct handover_session_item - one element of HANDOVER_LIST_SESSIONS
 * @name:	name, ended by a zero
 * @flags:	HANDOVER_SESSION_*
 * @entries:	number of tokens
 * @bytes:	bytes they hold
 */
struct handover_session_item {
	__u8 name[HANDOVER_NAME_LENGTH];
	__u32 flags;
	__u32 entries;
	__aligned_u64 bytes;
};

/**
 * struct handover_list_sessions - ioctl(HANDOVER_LIST_SESSIONS)
 * @size:	in: sizeof(struct handover_list_sessions)
 * @count:	in: elements that fit at @items; out: sessions there are. The
 *		first min(in, out) are written, in the order of their creation.
 * @items:	in: address of an array of struct handover_session_item
 */
struct handover_list_sessions {
	__u32 size;
	__u32 count;
	__aligned_u64 items;
};

/**
 * struct handover_seal - ioctl(HANDOVER_SEAL), ioctl(HANDOVER_UNSEAL)
 * @size:	in: sizeof(struct handover_seal)
 * @flags:	in: 0
 * @table_bytes: out (SEAL): bytes of the serialized tables
 * @updated:	out (SEAL): entries that had changed since they were preserved
 *		(pages in former holes) and were brought up to date
 * @reserved:	out: 0
 *
 * SEAL writes the tables from which the next kernel's module finds everything.
 * Until UNSEAL, nothing can be preserved or unpreserved (EBUSY). Sealing what
 * is sealed and unsealing what is not do nothing. A kexec that nobody sealed
 * for is sealed by a reboot notifier. ENOMEM: nothing is sealed.
 */
struct handover_seal {
	__u32 size;
	__u32 flags;
	__aligned_u64 table_bytes;
	__u32 updated;
	__u32 reserved;
};

/**
 * struct handover_session_info - ioctl(HANDOVER_SESSION_INFO)
 * @size:	in: sizeof(struct handover_session_info)
 * @flags:	out: HANDOVER_SESSION_*
 * @name:	out: name, ended by a zero
 * @bytes:	out: bytes that its tokens hold
 * @max_bytes:	out: as given when it was made
 * @entries:	out: number of tokens
 * @max_entries: out: as given when it was made
 * @retrieved:	out: tokens retrieved (incoming)
 * @restoring:	out: threads of HANDOVER_SESSION_RESTORE still at work
 * @pieces:	out: pieces in all (incoming): what is restored as one
 * @pieces_restored: out: of these, restored by now
 */
struct handover_session_info {
	__u32 size;
	__u32 flags;
	__u8 name[HANDOVER_NAME_LENGTH];
	__aligned_u64 bytes;
	__aligned_u64 max_bytes;
	__u32 entries;
	__u32 max_entries;
	__u32 retrieved;
	__u32 restoring;
	__aligned_u64 pieces;
	__aligned_u64 pieces_restored;
};

/**
 * struct handover_preserve_fd - ioctl(HANDOVER_SESSION_PRESERVE_FD)
 * @size:	in: sizeof(struct handover_preserve_fd)
 * @fd:		in: a memfd or tmpfs file, a hugetlb memfd or hugetlbfs file,
 *		or a file that this module gave out
 * @token:	in: any number not yet used in the session
 * @flags:	in: 0
 * @reserved:	in: 0
 *
 * The file's contents may change up to the kexec, and pages may be written
 * into its holes; its size cannot change, and holes cannot be punched (EPERM),
 * until it is unpreserved. EBUSY: the file is preserved already, here or by
 * the kernel's LUO.
 */
struct handover_preserve_fd {
	__u32 size;
	__s32 fd;
	__aligned_u64 token;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct handover_preserve_range - ioctl(HANDOVER_SESSION_PRESERVE_RANGE)
 * @size:	in: sizeof(struct handover_preserve_range)
 * @flags:	in: 0
 * @address:	in: start of the range in the caller's memory, page-aligned
 * @length:	in: bytes, a multiple of the page size, not 0
 * @token:	in: any number not yet used in the session
 *
 * Preserves the pages that are in the range now, wherever they are mapped
 * from (anonymous, private or shared files on shmem, hugetlb). Contents may
 * change up to the kexec; a page that the caller maps there later is another
 * one and is not preserved. The next kernel retrieves it as a file of @length
 * bytes. EFAULT: part of the range is not mapped writable. EOPNOTSUPP: part of
 * it is device memory or a file that is written back to a disk.
 */
struct handover_preserve_range {
	__u32 size;
	__u32 flags;
	__aligned_u64 address;
	__aligned_u64 length;
	__aligned_u64 token;
};

/* @node of struct handover_allocate. */
#define HANDOVER_ANY_NODE	(-1)

/**
 * struct handover_allocate - ioctl(HANDOVER_SESSION_ALLOCATE)
 * @size:	in: sizeof(struct handover_allocate)
 * @fd:		out: a file of @length bytes of zeros, to be mapped, read and
 *		written (close-on-exec); its memory is preserved from the start
 * @length:	in: bytes, not 0; rounded up to whole pages
 * @token:	in: any number not yet used in the session
 * @node:	in: NUMA node to prefer, or HANDOVER_ANY_NODE
 * @flags:	in: 0
 *
 * The largest folios that are free are used, so that there are few keys.
 */
struct handover_allocate {
	__u32 size;
	__s32 fd;
	__aligned_u64 length;
	__aligned_u64 token;
	__s32 node;
	__u32 flags;
};

/**
 * struct handover_unpreserve - ioctl(HANDOVER_SESSION_UNPRESERVE)
 * @size:	in: sizeof(struct handover_unpreserve)
 * @flags:	in: 0
 * @token:	in: the token to drop. EINVAL: the session is incoming.
 */
struct handover_unpreserve {
	__u32 size;
	__u32 flags;
	__aligned_u64 token;
};

/**
 * struct handover_retrieve - ioctl(HANDOVER_SESSION_RETRIEVE)
 * @size:	in: sizeof(struct handover_retrieve)
 * @fd:		out: a file with the token's memory (close-on-exec), read-only
 *		if the preserved one was sealed against writing
 * @token:	in: the token
 * @flags:	in: 0
 * @reserved:	in: 0
 *
 * Takes the same time for any amount of memory: a piece is restored when it is
 * first touched, or by HANDOVER_SESSION_RESTORE. The file belongs to whoever
 * holds it; its memory is freed with its last descriptor and mapping. EINVAL:
 * the session is outgoing. EALREADY: retrieved before. ENODATA: damaged.
 */
struct handover_retrieve {
	__u32 size;
	__s32 fd;
	__aligned_u64 token;
	__u32 flags;
	__u32 reserved;
};

/* @kind of struct handover_describe. */
#define HANDOVER_KIND_SHMEM	1 /* memfd or tmpfs file */
#define HANDOVER_KIND_HUGETLB	2
#define HANDOVER_KIND_RANGE	3
#define HANDOVER_KIND_ALLOCATED	4 /* by HANDOVER_SESSION_ALLOCATE */
#define HANDOVER_KIND_RETRIEVED	5 /* a file of this module, preserved again */
/*
 * Of another module, by the in-kernel interface (linux/handover.h): the one
 * token of a session that cannot be changed or ended (EBUSY) while the module
 * holds it. It is never retrieved from user space (EOPNOTSUPP); if no module
 * claims it in the next kernel, FINISH and DISCARD free its memory.
 */
#define HANDOVER_KIND_KERNEL	6

/* @flags of struct handover_describe. */
#define HANDOVER_ENTRY_RETRIEVED	(1u << 0)
#define HANDOVER_ENTRY_DAMAGED		(1u << 1) /* found damaged: ENODATA */

/**
 * struct handover_describe - ioctl(HANDOVER_SESSION_DESCRIBE)
 * @size:	in: sizeof(struct handover_describe)
 * @kind:	out: HANDOVER_KIND_*
 * @token:	in: the token
 * @flags:	out: HANDOVER_ENTRY_*
 * @nodes:	out: NUMA nodes that hold its memory, bit n for node n up to 31;
 *		0 in an incoming session
 * @length:	out: size of the file or range in bytes
 * @bytes:	out: bytes of memory (length without holes)
 * @extents:	out: pieces of the file that lie in one run
 * @runs:	out: physically contiguous runs
 * @table_bytes: out: bytes of its tables
 * @pieces:	out: contiguous parts of up to 2 MiB, or a folio each; what is
 *		restored as one, unless others' pages lie between
 * @pieces_restored: out: in a new kernel, restored by now
 * @faults:	out: in a new kernel, pieces restored at first touch
 * @keys:	out: KHO keys by order (outgoing sessions); a key that has pages of
 *		several entries is counted for the one that has its first
 */
struct handover_describe {
	__u32 size;
	__u32 kind;
	__aligned_u64 token;
	__u32 flags;
	__u32 nodes;
	__aligned_u64 length;
	__aligned_u64 bytes;
	__aligned_u64 extents;
	__aligned_u64 runs;
	__aligned_u64 table_bytes;
	__aligned_u64 pieces;
	__aligned_u64 pieces_restored;
	__aligned_u64 faults;
	__aligned_u64 keys[HANDOVER_ORDERS];
};

/**
 * struct handover_list_tokens - ioctl(HANDOVER_SESSION_LIST_TOKENS)
 * @size:	in: sizeof(struct handover_list_tokens)
 * @count:	in: tokens that fit at @tokens; out: tokens there are. The
 *		first min(in, out) are written, ascending.
 * @tokens:	in: address of an array of __u64
 */
struct handover_list_tokens {
	__u32 size;
	__u32 count;
	__aligned_u64 tokens;
};

/**
 * struct handover_restore - ioctl(HANDOVER_SESSION_RESTORE)
 * @size:	in: sizeof(struct handover_restore)
 * @threads:	in: threads to work with, 1 to 64
 * @flags:	in: 0
 * @reserved:	in: 0
 *
 * Restores, in the background, what is not restored yet of the files retrieved
 * from the session. Returns at once; HANDOVER_SESSION_INFO tells the progress.
 * EALREADY: at work already.
 */
struct handover_restore {
	__u32 size;
	__u32 threads;
	__u32 flags;
	__u32 reserved;
};

/**
 * struct handover_session_end - ioctl(HANDOVER_SESSION_FINISH),
 *				 ioctl(HANDOVER_SESSION_DISCARD)
 * @size:	in: sizeof(struct handover_session_end)
 * @flags:	in: 0
 * @freed_bytes: out: bytes that nobody had retrieved, given back
 *
 * FINISH (incoming sessions only, else EINVAL): the session is over; what was
 * not retrieved is freed, retrieved files stay with their holders. DISCARD: the
 * same for any session; an outgoing one drops all that it preserves. The name
 * is free afterwards; further calls on its descriptors fail with ENOENT.
 */
struct handover_session_end {
	__u32 size;
	__u32 flags;
	__aligned_u64 freed_bytes;
};

#endif /* _UAPI_LINUX_HANDOVER_H */
