/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of handover.ko know of each other.
 *
 *   main.c     device, module, reboot notifier
 *   session.c  sessions and their ioctls
 *   pin.c      which frames a file or range has; holds them in place
 *   build.c    from frames to tables
 *   map.c      tables: look up, restore, free
 *   preserve.c what a map has, told to KHO
 *   block.c    single pages of several maps, preserved together
 *   file.c     files on preserved memory: mapped, read, written
 *   kapi.c     sets: other modules' memory, see include/linux/handover.h;
 *              set.h, set.c and area.c are behind it
 *   seal.c     from sessions to the serialized form, and back
 *   format.c   the serialized form itself
 *
 * Locks, outer to inner: ho_sessions_lock, session->lock, map->sem, a
 * map->piece_lock, one of map->joined, map->load_lock or block.c's own.
 * inode_lock of a foreign file is taken under session->lock.
 */
#undef pr_fmt
#define pr_fmt(fmt) "handover: " fmt

#ifndef HANDOVER_INTERNAL_H
#define HANDOVER_INTERNAL_H

#include <linux/fs.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/types.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <uapi/linux/handover.h>

#include "format.h"

#define HO_PIECE_LOCKS	16

/* A table in parts: extents or runs of one map. */
struct ho_part {
	enum ho_table_type type;
	u32 pages;
	u32 room;			/* elements allocated in @index */
	u64 records;
	u64 directory;			/* first directory page; 0: none */
	struct ho_directory_record *index;	/* one for each page */
	/* Incoming: pages that are ours by now, and those that are checked. */
	unsigned long *restored;
	unsigned long *checked;
};

/*
 * The memory of one entry: where each part of the file lies, and which frames
 * it has. Its tables are written once, in their serialized form.
 *
 * A map does not own the frames: an entry's pins, a struct ho_file or an
 * incoming entry does, and calls ho_map_free_frames() in the end.
 */
struct ho_map {
	struct kref ref;
	u64 size;			/* bytes of the file */
	u64 nr_pages;			/* of memory */
	u64 nr_pieces;
	/* Under the session's lock: as they were at keys_stamp. */
	u64 keys[HANDOVER_ORDERS];
	u64 keys_stamp;
	u32 nodes;
	bool incoming;			/* pieces have to be restored */
	bool open;			/* directories are read */
	bool preserved;
	bool gone;			/* the frames are freed */
	bool damaged;
	struct ho_part extents;
	struct ho_part runs;
	struct rw_semaphore sem;	/* writers: open, preserve, free */
	struct mutex load_lock;		/* restoring and checking table pages */
	struct mutex piece_lock[HO_PIECE_LOCKS];
	/* Incoming: what is preserved together with other maps' memory, or NULL. */
	struct ho_map *joined;
	struct xarray restored;		/* block -> frames, see map.c */
	struct xarray taken;		/* first pfn of folios given away */
	u64 taken_pages;		/* under the session's lock */
	atomic64_t nr_restored;
	atomic64_t faults;
	atomic_t cursor;		/* next page of runs to restore in the background */
};

/* build.c: frames in any order, extents ascending; then a map of them. */
struct ho_frame {
	u64 pfn;
	u32 nr;				/* folios, or pages if order is 0 */
	u32 order;
};

struct ho_builder {
	struct ho_map *map;
	struct ho_frame *frames;
	size_t nr_frames;
	size_t room;
	u64 pages;			/* in all frames */
	bool sorted;
	struct ho_extent extent;	/* still growing */
};

int ho_builder_init(struct ho_builder *builder, u64 size);
int ho_builder_extent(struct ho_builder *builder, u64 index, u64 pfn, u64 nr);
int ho_builder_frames(struct ho_builder *builder, u64 pfn, u32 nr, u32 order);
/*
 * Takes the map out and leaves the builder empty. After an error the builder
 * still has its frames, so that their pins can be dropped, and is to be aborted.
 */
struct ho_map *ho_builder_end(struct ho_builder *builder);
/* The same records; of maps that were built here. */
bool ho_part_equal(const struct ho_part *a, const struct ho_part *b);
void ho_builder_abort(struct ho_builder *builder);

/* map.c */
struct ho_map *ho_map_new(u64 size);
struct ho_map *ho_map_adopt(const struct ho_entry_record *record, struct ho_map *joined);
void ho_map_get(struct ho_map *map);
void ho_map_put(struct ho_map *map);
int ho_map_open(struct ho_map *map);
/* Says so in the log, once; -ENODATA. */
int ho_map_damaged(struct ho_map *map, const char *what);
/* The page for file page @index, restored, with a reference; NULL: a hole. */
struct page *ho_map_page(struct ho_map *map, u64 index);
/*
 * Up to @max pages from @index on, restored, up to the first hole, and none of
 * folios that the kernel maps as a whole; without references. 0: also an error.
 */
unsigned long ho_map_pages(struct ho_map *map, u64 index, struct page **pages,
			   unsigned long max);
/* As ho_map_page(), for the whole folio of PMD size at @index; NULL: none. */
struct folio *ho_map_huge(struct ho_map *map, u64 index);
/* The first extent that ends after file page @index. -ENOENT: none. */
int ho_map_next_extent(struct ho_map *map, u64 index, struct ho_extent *extent);
int ho_map_for_each_extent(struct ho_map *map,
			   int (*fn)(struct ho_extent extent, void *data), void *data);
int ho_map_for_each_run(struct ho_map *map,
			int (*fn)(struct ho_run run, void *data), void *data);
/* Restores one page of runs' worth of pieces. -ENOENT: nothing is left. */
int ho_map_restore_some(struct ho_map *map);
/*
 * Restores the folio that begins at @pfn and gives it away, with its reference.
 * -ENOENT: there is none; -EALREADY: given away before. Of one map, one call at
 * a time.
 */
struct folio *ho_map_take(struct ho_map *map, u64 pfn);
/* Takes it back: as if it had not been given away. */
void ho_map_give_back(struct ho_map *map, struct folio *folio);
/* Restores what is not, and drops the reference on each. Returns pages. */
u64 ho_map_free_frames(struct ho_map *map);
u64 ho_map_table_bytes(const struct ho_map *map);
void ho_map_fill_record(const struct ho_map *map, struct ho_entry_record *record);

bool ho_frame_exists(u64 pfn);
/* Table pages: zeroed, never in KHO's scratch. */
void *ho_table_alloc(enum ho_table_type type);
/* Takes over a page that the earlier kernel left; NULL: there is none. */
void *ho_table_adopt(u64 phys);
int ho_table_preserve(void *page);
void ho_table_unpreserve(void *page);
void ho_table_free(void *page);

/* preserve.c */
int ho_map_preserve(struct ho_map *map);
void ho_map_unpreserve(struct ho_map *map);
/* Its tables alone. */
int ho_map_preserve_tables(struct ho_map *map);
void ho_map_unpreserve_tables(struct ho_map *map);
/* Brings @keys up to date. A key of several maps is the one's with its first page. */
void ho_map_count_keys(struct ho_map *map);

/*
 * block.c: a map's single pages in block @number (frames from @number <<
 * HO_PIECE_ORDER on), as a set of HO_BLOCK_PAGES bits. They are preserved as one
 * with what other maps have there. Adding may fail and changes nothing then.
 */
int ho_block_add(u64 number, const u64 *pages);
void ho_block_remove(u64 number, const u64 *pages);
/* Adds the keys whose first page is one of @pages, by order. */
void ho_block_count_keys(u64 number, const u64 *pages, u64 *keys);
/* Another number after each change. */
u64 ho_blocks_stamp(void);
/* Runs of what several maps have together, without extents; NULL: nothing. */
struct ho_map *ho_blocks_joined(void);

/* pin.c */
struct ho_entry;
int ho_pin_file(struct ho_entry *entry, struct file *file);
int ho_pin_range(struct ho_entry *entry, u64 address, u64 length);
void ho_unpin(struct ho_entry *entry);
/* True if the entry's file got pages that its map does not have. */
bool ho_pin_changed(const struct ho_entry *entry);
/* 1: it had changed, and its map is up to date again. After an error it is as it was. */
int ho_pin_update(struct ho_entry *entry);
void ho_pin_exit(void);

/* file.c */
/* Takes over the reference on the map, and its frames. */
struct file *ho_file_create(struct ho_map *map, bool read_only, u64 position);
struct file *ho_file_allocate(u64 length, int node);
bool ho_file_is_ours(const struct file *file);
struct ho_map *ho_file_map(const struct file *file);
/* Pages written into holes so far. */
unsigned long ho_file_added(const struct file *file);
/* The file's memory as one map, for preserving; a reference on it. */
struct ho_map *ho_file_snapshot(struct file *file);
/* False: it is marked already. */
bool ho_file_mark(struct file *file, bool preserved);

/* session.c */
struct handover_set;

struct ho_entry {
	u64 token;
	u32 kind;			/* HANDOVER_KIND_* */
	bool read_only;
	bool retrieved;			/* incoming: given out */
	bool pinned;
	bool range_claimed;
	u64 stamp;			/* pages added to a file of ours by then */
	unsigned int seals;		/* of a hugetlb file, before it was pinned */
	u64 position;			/* incoming: file position */
	struct ho_map *map;
	struct file *file;		/* outgoing */
	struct handover_set *set;	/* HANDOVER_KIND_KERNEL, and for it alone: */
	struct ho_map *sealed_map;	/* while sealed: what goes on, for @map */
	void *blob;			/* while sealed: kvmalloc'ed */
	u64 blob_size;
};

static inline struct ho_map *ho_entry_map(const struct ho_entry *entry)
{
	return entry->sealed_map ?: entry->map;
}

struct ho_session {
	struct kref ref;
	struct list_head node;		/* in ho_sessions, until it is dead */
	char name[HO_NAME_LENGTH];
	struct mutex lock;		/* everything below */
	bool incoming;
	bool sealed;
	bool dead;
	bool held;			/* by a module, as a set */
	u64 max_bytes;
	u32 max_entries;
	u32 nr_entries;
	u64 bytes;
	struct xarray entries;		/* token -> struct ho_entry */
	atomic_t restoring;
};

extern struct mutex ho_sessions_lock;
extern struct list_head ho_sessions;

struct ho_session *ho_session_new(const char *name, bool incoming);
void ho_session_get(struct ho_session *session);
void ho_session_put(struct ho_session *session);
/* Under ho_sessions_lock. */
struct ho_session *ho_session_find(const char *name);
void ho_session_publish(struct ho_session *session);
int ho_session_fd(struct ho_session *session);
/* Under session->lock: adds, or frees nothing and returns why not. */
int ho_session_add(struct ho_session *session, struct ho_entry *entry);
void ho_entry_free(struct ho_entry *entry);
#define HO_END_DISCARD		BIT(0)	/* an outgoing one as well */
#define HO_END_BY_HOLDER	BIT(1)	/* the module that holds its set */
/* Ends a session; returns the bytes that went back. */
int ho_session_end(struct ho_session *session, unsigned int how, u64 *freed);

typedef int (*ho_ioctl_fn)(void *context, void *argument);
struct ho_ioctl {
	unsigned int cmd;
	u32 size;			/* of the structure as it is now */
	u32 least;			/* of its first published version */
	ho_ioctl_fn fn;
};

/* @last: the last member that the first published version of @type has. */
#define HO_IOCTL(number, type, last, call)				\
	{ number, sizeof(struct type), offsetofend(struct type, last), call }

long ho_ioctl_dispatch(const struct ho_ioctl *table, size_t count, void *context,
		       unsigned int cmd, unsigned long argument);
int ho_check_name(const u8 *name);

/* set.c: under session->lock. */
/* Fills entry->sealed_map and entry->blob; after an error, too, unseal it. */
int ho_set_seal(struct ho_entry *entry);
void ho_set_unseal(struct ho_entry *entry);
/* Makes entry->set from entry->blob. */
int ho_set_adopt(struct ho_session *session, struct ho_entry *entry);
u64 ho_set_bytes(const struct handover_set *set);
/* Incoming: frees what is not in entry->map. Returns pages. */
u64 ho_set_free_memory(struct handover_set *set);
void ho_set_free(struct handover_set *set);

/* seal.c */
extern bool ho_sealed;
extern u64 ho_generation;
extern u32 ho_lost;
/*
 * @last_resort: what cannot be brought up to date goes as it was preserved, and
 * what was sealed before is looked at again.
 */
int ho_seal(u64 *table_bytes, u32 *updated, bool last_resort);
void ho_unseal(void);
void ho_adopt(void);

/* main.c: counters since the module was loaded; shown in debugfs. */
struct ho_counters {
	atomic64_t preserved_pages;
	atomic64_t preserve_ns;
	atomic64_t seal_ns;
	atomic64_t retrieve_ns;
	atomic64_t pieces_restored;
	atomic64_t faults;
	atomic64_t fault_ns;
	atomic64_t freed_pages;
};

extern struct ho_counters ho_counters;
extern bool ho_map_huge_enabled;
extern struct workqueue_struct *ho_workqueue;

void ho_debugfs_init(void);
void ho_debugfs_exit(void);

#endif /* HANDOVER_INTERNAL_H */
