/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The serialized form that one kernel's module leaves to the next one's.
 *
 * Everything lies in table pages of 4 KiB, each with a head that carries magic,
 * version, type, number of records and a CRC32C over the whole page. Pages of
 * one table are chained by physical address. The root page is KHO's subtree
 * "handover".
 *
 *   root -> sessions -> entries -> extent directory -> extents
 *                               -> run directory    -> runs
 *        -> joined: run directory -> runs
 *
 * Extents say where each part of a file lies; runs say which frames are
 * preserved, sorted and without overlap, and how they are restored. Both are
 * read a page at a time, when they are first needed: the directories (one
 * record per page) are all that a retrieve reads.
 *
 * Single pages of several entries that lie between each other are preserved
 * together, see struct ho_root: else each of them would be a key of its own,
 * which the next kernel has to reserve one by one before it does anything else.
 *
 * Cost per GiB: 4 KiB pages scattered, 16 bytes of extent and 8 of run a page:
 * 6.2 MiB; 4 KiB pages contiguous, a run and an extent per GiB; 2 MiB folios
 * scattered, 12 KiB; 1 GiB folio, 24 bytes; each rounded up to pages.
 *
 * All numbers are in the machine's own byte order: both kernels run on it.
 * This file and format.c are plain C, also built in user space, where the
 * parser is tested and fuzzed.
 */
#ifndef HANDOVER_FORMAT_H
#define HANDOVER_FORMAT_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include "format_user.h"
#endif

#define HO_FORMAT_VERSION	2
#define HO_FORMAT_SUBTREE	"handover"
#define HO_TABLE_SIZE		4096
#define HO_TABLE_MAGIC		0x4f48u	/* "HO" */
#define HO_PAGE_SHIFT		12

enum ho_table_type {
	HO_TABLE_ROOT = 1,	/* one struct ho_root: count 1, no next */
	HO_TABLE_SESSIONS,	/* struct ho_session_record */
	HO_TABLE_ENTRIES,	/* struct ho_entry_record */
	HO_TABLE_DIRECTORY,	/* struct ho_directory_record */
	HO_TABLE_EXTENTS,	/* struct ho_extent_record */
	HO_TABLE_RUNS,		/* ho_run_record */
	HO_TABLE_BLOB,		/* bytes, @count of them on this page */
	HO_TABLE_TYPES
};

/* Head of each table page. */
struct ho_table_head {
	u16 magic;		/* HO_TABLE_MAGIC */
	u16 version;		/* HO_FORMAT_VERSION */
	u32 crc;		/* CRC32C of the page, this field taken as 0 */
	u16 type;		/* enum ho_table_type */
	u16 count;		/* records on this page */
	u32 reserved;		/* 0 */
	u64 next;		/* physical address of the next page; 0: last */
} __attribute__((packed));

/* A table in parts: a chain of directory pages and what they list. */
struct ho_table_reference {
	u64 directory;		/* first directory page; 0: empty */
	u64 records;		/* records in all listed pages */
	u32 pages;		/* listed pages */
	u32 reserved;		/* 0 */
} __attribute__((packed));

struct ho_root {
	struct ho_table_head head;
	u64 generation;		/* of the kernel that reads it */
	u64 sessions;		/* physical address of the first page; 0: none */
	u32 nr_sessions;
	u32 consumed;		/* set by the reader: not to be read again. Not
				 * under the CRC: taken as 0, as head.crc is
				 */
	/*
	 * Runs of all single pages in blocks where more than one entry has
	 * some. A piece of an entry that lies there is preserved and restored
	 * as part of a piece of these.
	 */
	struct ho_table_reference joined;
} __attribute__((packed));

#define HO_NAME_LENGTH	64

struct ho_session_record {
	char name[HO_NAME_LENGTH];	/* ended by a zero */
	u64 max_bytes;
	u32 max_entries;
	u32 nr_entries;
	u64 entries;		/* physical address of the first page; 0: none */
} __attribute__((packed));

#define HO_ENTRY_READ_ONLY	(1u << 0)	/* sealed against writing */
#define HO_ENTRY_RETRIEVED	(1u << 1)	/* given out: no memory here */
#define HO_ENTRY_DAMAGED	(1u << 2)	/* found damaged by now: no memory here */

struct ho_entry_record {
	u64 token;
	u32 kind;		/* HANDOVER_KIND_* */
	u32 flags;		/* HO_ENTRY_* */
	u64 size;		/* file size in bytes */
	u64 position;		/* file position */
	u64 nr_pages;		/* pages of memory in the runs */
	u64 nr_pieces;		/* as counted by ho_run_pieces() over the runs */
	struct ho_table_reference extents;
	struct ho_table_reference runs;
	u64 blob;		/* first HO_TABLE_BLOB page, for
				 * HANDOVER_KIND_KERNEL; 0: none
				 */
	u64 blob_size;		/* bytes */
} __attribute__((packed));

struct ho_directory_record {
	u64 page;		/* physical address of the listed table page */
	u64 first;		/* its first record's index (extents) or pfn (runs) */
} __attribute__((packed));

/* @nr pages of the file from page @index on lie at frame @pfn and after. */
struct ho_extent_record {
	u64 index;
	u64 where;		/* pfn << 24 | nr - 1 */
} __attribute__((packed));

#define HO_EXTENT_MAX_PAGES	(1ul << 24)

/*
 * The blob of an entry of HANDOVER_KIND_KERNEL, put together from its pages: a
 * head, @count items with ascending ids, then the data of the items that are
 * blobs, in their order, each from a multiple of 8 bytes on (zeros in between).
 * What is known by its physical address alone (folios) is in the entry's runs.
 */
struct ho_kernel_head {
	u32 magic;		/* HO_KERNEL_MAGIC */
	u16 version;		/* HO_KERNEL_VERSION */
	u16 reserved;		/* 0 */
	u32 count;		/* items */
	u32 size;		/* bytes in all, this head included */
} __attribute__((packed));

#define HO_KERNEL_MAGIC		0x4c4b4f48u	/* "HOKL" */
#define HO_KERNEL_VERSION	1
/* The most that a description may have; a multiple of 8. */
#define HO_KERNEL_MAX_SIZE	(16u << 20)

enum ho_item_type {
	HO_ITEM_BLOB = 1,
	HO_ITEM_KMALLOC,	/* a folio of the entry's runs */
	HO_ITEM_VMALLOC,	/* preserved by KHO, which keeps its chunks */
	HO_ITEM_TYPES
};

struct ho_item_record {
	u64 id;
	u64 size;		/* bytes; VMALLOC: of whole pages */
	u64 where;		/* BLOB: offset of its data; KMALLOC: physical
				 * address; VMALLOC: that of KHO's first chunk
				 */
	u32 type;		/* enum ho_item_type */
	u32 crc;		/* VMALLOC: CRC32C of its chunks; else 0 */
	u16 order;		/* VMALLOC: of what KHO preserved; else 0 */
	u16 flags;		/* VMALLOC: KHO's; else 0 */
	u32 reserved;		/* 0 */
} __attribute__((packed));

/*
 * pfn << 24 | order << 18 | (nr - 1): @nr folios of @order, one after the other.
 * Order 0: @nr single pages, preserved and restored in pieces, see ho_piece().
 */
typedef u64 ho_run_record;

#define HO_RUN_MAX_COUNT	(1ul << 18)
#define HO_MAX_ORDER		18
#define HO_MAX_PFN		(1ull << 40)
/* Single pages are preserved in pieces of up to 1 << HO_PIECE_ORDER pages. */
#define HO_PIECE_ORDER		9
/* A block: as many frames, aligned. Sets of them have a bit for each. */
#define HO_BLOCK_PAGES		(1u << HO_PIECE_ORDER)
#define HO_BLOCK_WORDS		(HO_BLOCK_PAGES / 64)

#define HO_TABLE_ROOM		(HO_TABLE_SIZE - sizeof(struct ho_table_head))
#define HO_SESSIONS_PER_PAGE	(HO_TABLE_ROOM / sizeof(struct ho_session_record))
#define HO_ENTRIES_PER_PAGE	(HO_TABLE_ROOM / sizeof(struct ho_entry_record))
#define HO_DIRECTORY_PER_PAGE	(HO_TABLE_ROOM / sizeof(struct ho_directory_record))
#define HO_EXTENTS_PER_PAGE	(HO_TABLE_ROOM / sizeof(struct ho_extent_record))
#define HO_RUNS_PER_PAGE	(HO_TABLE_ROOM / sizeof(ho_run_record))

/* What a run or extent says, unpacked. */
struct ho_run {
	u64 pfn;
	u32 nr;			/* folios, or pages if order is 0 */
	u32 order;
};

struct ho_extent {
	u64 index;
	u64 pfn;
	u64 nr;			/* pages */
};

/* Part of a run that is one preservation: what is restored as one. */
struct ho_piece {
	u64 pfn;
	u64 nr;			/* pages */
	u32 order;		/* of the folio; 0: @nr single pages */
};

/* Packing. The caller keeps to the limits above. */
ho_run_record ho_run_pack(struct ho_run run);
struct ho_run ho_run_unpack(ho_run_record record);
struct ho_extent_record ho_extent_pack(struct ho_extent extent);
struct ho_extent ho_extent_unpack(struct ho_extent_record record);

static inline u64 ho_run_pages(struct ho_run run)
{
	return (u64)run.nr << run.order;
}

/* The piece of @run that contains frame @pfn, which lies in @run. */
struct ho_piece ho_piece(struct ho_run run, u64 pfn);
/* How many pieces @run has. */
u64 ho_run_pieces(struct ho_run run);

/*
 * Frames of a block: the first one in the set, or not in it, from @at on;
 * HO_BLOCK_PAGES if there is none.
 */
u32 ho_block_next(const u64 *set, u32 at);
u32 ho_block_end(const u64 *set, u32 at);
/*
 * The order of the key that begins at @at, if all of the set is preserved: keys
 * are as large as alignment allows, as kho_preserve_pages() makes them of each
 * range that it gets.
 */
u32 ho_block_key(const u64 *set, u32 at);
/* Whether that is one of the set's keys. */
bool ho_block_has_key(const u64 *set, u32 at, u32 order);

/*
 * Writing: an empty page of a type (with count 0; 1 for the root), and the CRC
 * once its records are there.
 */
void ho_table_start(void *page, enum ho_table_type type);
void ho_table_end(void *page);

/*
 * Reading. Each check returns 0, or a negative errno (-EBADMSG: not the page
 * it should be or damaged; -EPROTO: another version of the format), and reads
 * nothing outside the page. What has passed keeps what this header says, as
 * far as one page can show it:
 *  - all: magic, version, type, CRC, count within the page; addresses
 *    page-aligned and of frames below HO_MAX_PFN; a page without records has
 *    no next one, so that a chain is no longer than its records are many
 *  - root, sessions: counts and addresses agree (both 0 or neither); names
 *    ended and not empty
 *  - entries: kind and flags known; size and position fit a loff_t; counts
 *    and addresses of each table agree, and its records with its pages;
 *    extents are no more than the file's pages, and none without runs; runs,
 *    pieces and pages can belong together; no runs if HO_ENTRY_RETRIEVED; a
 *    blob only for HANDOVER_KIND_KERNEL, and none above HO_KERNEL_MAX_SIZE
 *  - directory: addresses not 0, `first` strictly ascending
 *  - extents: at least one, ascending, no overlap, within @limit pages (the
 *    file's size), frames below HO_MAX_PFN
 *  - runs: at least one, ascending, no overlap, order within HO_MAX_ORDER,
 *    folios aligned to their order, frames below HO_MAX_PFN
 * @first is what the directory says of the page (extents and runs).
 */
int ho_table_check(const void *page, enum ho_table_type type);
int ho_root_check(const void *page);
int ho_sessions_check(const void *page);
int ho_entries_check(const void *page);
int ho_directory_check(const void *page);
int ho_extents_check(const void *page, u64 first, u64 limit);
int ho_runs_check(const void *page, u64 first);

/*
 * The same for @size bytes of description. What has passed is as the structures
 * above say: items and their data lie in it, in order and without overlap;
 * sizes are not 0 but for blobs; addresses are of frames below HO_MAX_PFN.
 */
int ho_kernel_check(const void *description, u64 size);

/* Where the next blob's data begins, if one ends at @offset. */
static inline u64 ho_kernel_align(u64 offset)
{
	return (offset + 7) & ~7ull;
}

/*
 * Looking up, in pages that have passed their check; binary searches.
 * ho_directory_find(): the position in @records (@count, ascending) of the last
 * one whose `first` is not above @key, or -1.
 * ho_extents_find(), ho_runs_find(): true and the record that contains the file
 * page @index or frame @pfn.
 */
long ho_directory_find(const struct ho_directory_record *records, u64 count,
		       u64 key);
bool ho_extents_find(const void *page, u64 index, struct ho_extent *found);
bool ho_runs_find(const void *page, u64 pfn, struct ho_run *found);

/* Records of a checked page. */
static inline const void *ho_table_records(const void *page)
{
	return (const char *)page + sizeof(struct ho_table_head);
}

#endif /* HANDOVER_FORMAT_H */
