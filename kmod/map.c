// SPDX-License-Identifier: GPL-2.0
/*
 * The memory of one entry as its tables tell it: look up, preserve with KHO,
 * restore piece by piece, free.
 */
#include <linux/hash.h>
#include <linux/kexec_handover.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "internal.h"
#include "trace.h"

/* Table pages */

void *ho_table_alloc(enum ho_table_type type)
{
	/* Not movable, so never in CMA, which is where KHO's scratch lies. */
	void *page = (void *)get_zeroed_page(GFP_KERNEL);

	if (page)
		ho_table_start(page, type);
	return page;
}

/* There is memory, and it is the kernel's: what a table says need not be so. */
bool ho_frame_exists(u64 pfn)
{
	return pfn < HO_MAX_PFN && pfn_to_online_page(pfn);
}

void *ho_table_adopt(u64 phys)
{
	struct page *page;

	if (!ho_frame_exists(PHYS_PFN(phys)))
		return NULL;
	page = kho_restore_pages(phys, 1);
	return page ? page_address(page) : NULL;
}

int ho_table_preserve(void *page)
{
	return kho_preserve_pages(virt_to_page(page), 1);
}

void ho_table_unpreserve(void *page)
{
	kho_unpreserve_pages(virt_to_page(page), 1);
}

void ho_table_free(void *page)
{
	free_page((unsigned long)page);
}

/* Maps */

struct ho_map *ho_map_new(u64 size)
{
	struct ho_map *map = kzalloc(sizeof(*map), GFP_KERNEL);
	int i;

	if (!map)
		return NULL;
	kref_init(&map->ref);
	map->size = size;
	map->open = true;
	map->extents.type = HO_TABLE_EXTENTS;
	map->runs.type = HO_TABLE_RUNS;
	init_rwsem(&map->sem);
	mutex_init(&map->load_lock);
	for (i = 0; i < HO_PIECE_LOCKS; i++)
		mutex_init(&map->piece_lock[i]);
	xa_init(&map->restored);
	xa_init(&map->taken);
	return map;
}

static void part_adopt(struct ho_part *part, const struct ho_table_reference *reference)
{
	part->directory = reference->directory;
	part->records = reference->records;
	part->pages = reference->pages;
}

struct ho_map *ho_map_adopt(const struct ho_entry_record *record, struct ho_map *joined)
{
	struct ho_map *map = ho_map_new(record->size);

	if (!map)
		return NULL;
	map->incoming = true;
	map->open = false;
	map->nr_pages = record->nr_pages;
	map->nr_pieces = record->nr_pieces;
	part_adopt(&map->extents, &record->extents);
	part_adopt(&map->runs, &record->runs);
	map->joined = joined;
	if (joined)
		ho_map_get(joined);
	return map;
}

static void part_reference(const struct ho_part *part, struct ho_table_reference *reference)
{
	*reference = (struct ho_table_reference){
		.directory = part->directory,
		.records = part->records,
		.pages = part->pages,
	};
}

void ho_map_fill_record(const struct ho_map *map, struct ho_entry_record *record)
{
	record->size = map->size;
	record->nr_pages = map->nr_pages;
	record->nr_pieces = map->nr_pieces;
	part_reference(&map->extents, &record->extents);
	part_reference(&map->runs, &record->runs);
}

static u64 part_directory_pages(const struct ho_part *part)
{
	return DIV_ROUND_UP(part->pages, HO_DIRECTORY_PER_PAGE);
}

u64 ho_map_table_bytes(const struct ho_map *map)
{
	return (map->extents.pages + part_directory_pages(&map->extents) +
		map->runs.pages + part_directory_pages(&map->runs)) * HO_TABLE_SIZE;
}

int ho_map_damaged(struct ho_map *map, const char *what)
{
	if (!map->damaged)
		pr_err("%s left by the earlier kernel is damaged: its memory stays reserved until the next cold boot\n",
		       what);
	map->damaged = true;
	return -ENODATA;
}

/*
 * Reads an incoming part's directory. Its pages, ours from now on, are kept:
 * the map may be preserved again as it is.
 */
static int part_open(struct ho_map *map, struct ho_part *part)
{
	u64 phys = part->directory, bound = 0;
	u32 at = 0;
	int err;

	if (!part->pages)
		return part->records || part->directory ? ho_map_damaged(map, "a table") : 0;
	part->index = kvmalloc_array(part->pages, sizeof(*part->index),
				     GFP_KERNEL | __GFP_NOWARN);
	part->restored = bitmap_zalloc(part->pages, GFP_KERNEL);
	part->checked = bitmap_zalloc(part->pages, GFP_KERNEL);
	if (!part->index || !part->restored || !part->checked) {
		err = -ENOMEM;
		goto undo;
	}
	/* All of the chain is checked before the first page of it is taken. */
	while (phys) {
		const struct ho_table_head *head = phys_to_virt(phys);
		const struct ho_directory_record *records = ho_table_records(head);

		err = ho_frame_exists(PHYS_PFN(phys)) ? ho_directory_check(head) : -EBADMSG;
		if (err || !head->count || head->count > part->pages - at ||
		    (at && records[0].first <= bound))
			goto bad;
		memcpy(part->index + at, records, head->count * sizeof(*records));
		at += head->count;
		bound = part->index[at - 1].first;
		phys = head->next;
		if (phys && at == part->pages)
			goto bad;
	}
	if (at != part->pages)
		goto bad;
	for (phys = part->directory; phys;) {
		const struct ho_table_head *head = ho_table_adopt(phys);

		if (!head)
			goto bad;
		phys = head->next;
	}
	return 0;
bad:
	err = ho_map_damaged(map, "a directory");
undo:
	kvfree(part->index);
	bitmap_free(part->restored);
	bitmap_free(part->checked);
	part->index = NULL;
	part->restored = NULL;
	part->checked = NULL;
	return err;
}

int ho_map_open(struct ho_map *map)
{
	int err = 0;

	/* If it is damaged, what is not in it can be had all the same. */
	if (map->joined && ho_map_open(map->joined) == -ENOMEM)
		return -ENOMEM;
	down_write(&map->sem);
	if (map->damaged) {
		err = -ENODATA;
	} else if (!map->open) {
		if (!map->extents.index)
			err = part_open(map, &map->extents);
		if (!err && !map->runs.index)
			err = part_open(map, &map->runs);
		map->open = !err;
	}
	up_write(&map->sem);
	return err;
}

/* Page @i of @part, checked; ERR_PTR(-ENODATA) if it cannot be trusted. */
static void *part_page(struct ho_map *map, struct ho_part *part, u32 i)
{
	void *page = phys_to_virt(part->index[i].page);
	int err = 0;

	if (!part->checked || test_bit_acquire(i, part->checked))
		return page;
	mutex_lock(&map->load_lock);
	if (test_bit(i, part->checked))
		goto unlock;
	if (!test_bit(i, part->restored)) {
		if (!ho_table_adopt(part->index[i].page)) {
			err = ho_map_damaged(map, "a table page");
			goto unlock;
		}
		set_bit(i, part->restored);
	}
	if (part->type == HO_TABLE_EXTENTS)
		err = ho_extents_check(page, part->index[i].first,
				       DIV_ROUND_UP(map->size, PAGE_SIZE));
	else
		err = ho_runs_check(page, part->index[i].first);
	if (err) {
		err = ho_map_damaged(map, "a table page");
	} else {
		smp_mb__before_atomic(); /* pairs with test_bit_acquire() */
		set_bit(i, part->checked);
	}
unlock:
	mutex_unlock(&map->load_lock);
	return err ? ERR_PTR(err) : page;
}

/* The page of @part that has @key, if any has. ERR_PTR(-ENOENT): none does. */
static void *part_page_of(struct ho_map *map, struct ho_part *part, u64 key)
{
	long i = ho_directory_find(part->index, part->pages, key);

	return i < 0 ? ERR_PTR(-ENOENT) : part_page(map, part, i);
}

int ho_map_for_each_extent(struct ho_map *map,
			   int (*fn)(struct ho_extent extent, void *data), void *data)
{
	u32 i, j;
	int err;

	for (i = 0; i < map->extents.pages; i++) {
		const struct ho_table_head *head = part_page(map, &map->extents, i);
		const struct ho_extent_record *records;

		if (IS_ERR(head))
			return PTR_ERR(head);
		records = ho_table_records(head);
		for (j = 0; j < head->count; j++) {
			err = fn(ho_extent_unpack(records[j]), data);
			if (err)
				return err;
		}
		cond_resched();
	}
	return 0;
}

static int runs_page(const struct ho_table_head *head,
		     int (*fn)(struct ho_run run, void *data), void *data)
{
	const ho_run_record *records = ho_table_records(head);
	int err;
	u32 i;

	for (i = 0; i < head->count; i++) {
		err = fn(ho_run_unpack(records[i]), data);
		if (err)
			return err;
	}
	cond_resched();
	return 0;
}

int ho_map_for_each_run(struct ho_map *map,
			int (*fn)(struct ho_run run, void *data), void *data)
{
	int err = 0;
	u32 i;

	for (i = 0; i < map->runs.pages && !err; i++) {
		const struct ho_table_head *head = part_page(map, &map->runs, i);

		err = IS_ERR(head) ? PTR_ERR(head) : runs_page(head, fn, data);
	}
	return err;
}

int ho_map_next_extent(struct ho_map *map, u64 index, struct ho_extent *extent)
{
	struct ho_part *part = &map->extents;
	long at = ho_directory_find(part->index, part->pages, index);
	u32 i;

	for (i = max(at, 0L); i < part->pages; i++) {
		const struct ho_table_head *head = part_page(map, part, i);
		const struct ho_extent_record *records;
		u32 j;

		if (IS_ERR(head))
			return PTR_ERR(head);
		records = ho_table_records(head);
		for (j = 0; j < head->count; j++) {
			*extent = ho_extent_unpack(records[j]);
			if (extent->index + extent->nr > index)
				return 0;
		}
	}
	return -ENOENT;
}

/* Restoring */

/* The run that contains @pfn. -ENOENT: none does. */
static int look_up_run(struct ho_map *map, u64 pfn, struct ho_run *run)
{
	const void *page = part_page_of(map, &map->runs, pfn);

	if (IS_ERR(page))
		return PTR_ERR(page);
	return ho_runs_find(page, pfn, run) ? 0 : -ENOENT;
}

/* The same for a frame of which an extent says that it is there. */
static int find_run(struct ho_map *map, u64 pfn, struct ho_run *run)
{
	int err = look_up_run(map, pfn, run);

	return err == -ENOENT ? ho_map_damaged(map, "an extent") : err;
}

/*
 * What is restored already: for each block the set of its frames, or a value if
 * it is all of them. Of a folio above a block's size the first block counts.
 */
static bool is_restored(struct ho_map *map, u64 pfn)
{
	const unsigned long *set = xa_load(&map->restored, pfn >> HO_PIECE_ORDER);

	if (xa_is_value(set)) {
		smp_rmb(); /* pairs with smp_wmb() in mark_restored() */
		return true;
	}
	return set && test_bit_acquire(pfn % HO_BLOCK_PAGES, set);
}

/* What mark_restored() needs: what is restored must be remembered. */
static int reserve_restored(struct ho_map *map, struct ho_piece piece, gfp_t gfp)
{
	u64 block = piece.pfn >> HO_PIECE_ORDER;
	unsigned long *set;
	int err;

	if (piece.nr >= HO_BLOCK_PAGES)
		return xa_reserve(&map->restored, block, gfp);
	if (xa_load(&map->restored, block))
		return 0;
	set = kzalloc(HO_BLOCK_PAGES / BITS_PER_BYTE, gfp);
	if (!set)
		return -ENOMEM;
	err = xa_err(xa_store(&map->restored, block, set, gfp));
	if (err)
		kfree(set);
	return err;
}

static void mark_restored(struct ho_map *map, struct ho_piece piece)
{
	u64 block = piece.pfn >> HO_PIECE_ORDER, i;
	unsigned long *set;

	smp_wmb(); /* the pages are initialized */
	if (piece.nr >= HO_BLOCK_PAGES) {
		xa_store(&map->restored, block, xa_mk_value(1), GFP_KERNEL);
	} else {
		set = xa_load(&map->restored, block);
		for (i = 0; i < piece.nr; i++)
			set_bit(piece.pfn % HO_BLOCK_PAGES + i, set);
	}
	atomic64_inc(&map->nr_restored);
}

struct restoring {
	gfp_t gfp;
	u64 pages;			/* restored so far */
	u64 start;			/* somebody waits for it since then; ns */
	u64 pieces;			/* restored for him */
};

static int piece_restore(struct ho_map *map, struct ho_piece piece, struct restoring *restoring);

/* -ENOENT: it was not preserved together with others. */
static int restore_joined(struct ho_map *map, struct ho_piece piece,
			  struct restoring *restoring)
{
	struct ho_piece whole;
	struct ho_run run;
	int err;

	if (!map->joined || piece.order || piece.nr >= HO_BLOCK_PAGES)
		return -ENOENT;
	/* It may be damaged elsewhere: that is no damage here. */
	err = map->joined->open ? look_up_run(map->joined, piece.pfn, &run) : -ENODATA;
	if (!err) {
		whole = ho_piece(run, piece.pfn);
		if (run.order || piece.pfn + piece.nr > whole.pfn + whole.nr)
			err = -ENODATA;
		else
			err = piece_restore(map->joined, whole, restoring);
	}
	return err == -ENODATA ? ho_map_damaged(map, "what is shared with others") : err;
}

static int restore_now(struct ho_map *map, struct ho_piece piece)
{
	struct folio *folio;

	if (!ho_frame_exists(piece.pfn) || !ho_frame_exists(piece.pfn + piece.nr - 1))
		return ho_map_damaged(map, "a run");
	if (!piece.order)
		return kho_restore_pages(PFN_PHYS(piece.pfn), piece.nr) ?
			       0 :
			       ho_map_damaged(map, "a run");
	folio = kho_restore_folio(PFN_PHYS(piece.pfn));
	return folio && folio_order(folio) == piece.order ? 0 : ho_map_damaged(map, "a folio");
}

static int piece_restore(struct ho_map *map, struct ho_piece piece, struct restoring *restoring)
{
	u64 block = piece.pfn >> HO_PIECE_ORDER;
	struct mutex *lock = &map->piece_lock[hash_64(block, ilog2(HO_PIECE_LOCKS))];
	int err = 0;

	if (!map->incoming || is_restored(map, piece.pfn))
		return 0;
	/* What is joined has nothing joined itself. */
	mutex_lock_nested(lock, map->joined ? 0 : SINGLE_DEPTH_NESTING);
	if (is_restored(map, piece.pfn))
		goto unlock;
	err = reserve_restored(map, piece, restoring->gfp);
	if (err)
		goto unlock;
	err = restore_joined(map, piece, restoring);
	if (err == -ENOENT) {
		err = restore_now(map, piece);
		restoring->pages += piece.nr;
	}
	if (!err) {
		mark_restored(map, piece);
		atomic64_inc(&ho_counters.pieces_restored);
	} else if (piece.nr >= HO_BLOCK_PAGES) {
		xa_release(&map->restored, block);
	}
unlock:
	mutex_unlock(lock);
	return err;
}

/* For somebody who waits for it, between these two. */
static void fault_begin(struct restoring *fault)
{
	*fault = (struct restoring){ .gfp = GFP_KERNEL, .start = ktime_get_ns() };
}

static void fault_end(struct ho_map *map, const struct restoring *fault)
{
	if (!fault->pieces)
		return;
	atomic64_add(fault->pieces, &map->faults);
	atomic64_add(fault->pieces, &ho_counters.faults);
	atomic64_add(ktime_get_ns() - fault->start, &ho_counters.fault_ns);
}

static struct page *frame_restore(struct ho_map *map, u64 pfn, struct ho_piece *piece,
				  struct restoring *fault)
{
	struct ho_run run;
	int err;

	err = find_run(map, pfn, &run);
	if (err)
		return ERR_PTR(err);
	*piece = ho_piece(run, pfn);
	if (map->incoming && !is_restored(map, piece->pfn)) {
		err = piece_restore(map, *piece, fault);
		if (err)
			return ERR_PTR(err);
		fault->pieces++;
		trace_handover_fault(piece->pfn, piece->nr);
	}
	return pfn_to_page(pfn);
}

/* The frames from file page @index on. 0 and *pfn, *nr; -ENOENT: a hole. */
static int find_frames(struct ho_map *map, u64 index, u64 *pfn, u64 *nr)
{
	const void *page = part_page_of(map, &map->extents, index);
	struct ho_extent extent;

	if (IS_ERR(page))
		return PTR_ERR(page);
	if (!ho_extents_find(page, index, &extent))
		return -ENOENT;
	*pfn = extent.pfn + (index - extent.index);
	*nr = extent.nr - (index - extent.index);
	return 0;
}

/* A folio up to PMD size is mapped by the kernel, as a whole. */
static bool is_mapped_whole(unsigned int order)
{
	return order && order <= HO_PIECE_ORDER;
}

/* Pages that lie one after the other, of one piece; 0: none, as ho_map_pages() says. */
static u64 next_pages(struct ho_map *map, u64 pfn, struct restoring *fault)
{
	struct ho_piece piece;

	/* Seen without a search of the runs, which are many if pieces are small. */
	if (map->incoming && is_restored(map, pfn))
		return !is_mapped_whole(folio_order(pfn_folio(pfn)));
	if (IS_ERR(frame_restore(map, pfn, &piece, fault)) || is_mapped_whole(piece.order))
		return 0;
	return piece.pfn + piece.nr - pfn;
}

unsigned long ho_map_pages(struct ho_map *map, u64 index, struct page **pages,
			   unsigned long max)
{
	unsigned long done = 0;
	struct restoring fault;
	u64 pfn, nr = 0, more;

	fault_begin(&fault);
	down_read(&map->sem);
	/* Where pieces are small, many; never much more than one of full size. */
	while (!map->gone && done < max && fault.pages < HO_BLOCK_PAGES &&
	       (nr || !find_frames(map, index + done, &pfn, &nr))) {
		more = min3(next_pages(map, pfn, &fault), nr, (u64)max - done);
		if (!more)
			break;
		nr -= more;
		while (more--)
			pages[done++] = pfn_to_page(pfn++);
	}
	up_read(&map->sem);
	fault_end(map, &fault);
	return done;
}

struct page *ho_map_page(struct ho_map *map, u64 index)
{
	struct restoring fault;
	struct ho_piece piece;
	struct page *page;
	u64 pfn, nr;
	int err;

	fault_begin(&fault);
	down_read(&map->sem);
	err = map->gone ? -ENODATA : find_frames(map, index, &pfn, &nr);
	if (err == -ENOENT)
		page = NULL;
	else if (err)
		page = ERR_PTR(err);
	else
		page = frame_restore(map, pfn, &piece, &fault);
	if (!IS_ERR_OR_NULL(page))
		get_page(page);
	up_read(&map->sem);
	fault_end(map, &fault);
	return page;
}

struct folio *ho_map_huge(struct ho_map *map, u64 index)
{
	struct folio *folio = NULL;
	struct restoring fault;
	struct ho_piece piece;
	u64 pfn, nr;

	fault_begin(&fault);
	down_read(&map->sem);
	if (!map->gone && !find_frames(map, index, &pfn, &nr) &&
	    nr >= 1u << HO_PIECE_ORDER &&
	    !IS_ERR(frame_restore(map, pfn, &piece, &fault)) &&
	    piece.order == HO_PIECE_ORDER && piece.pfn == pfn) {
		folio = pfn_folio(pfn);
		folio_get(folio);
	}
	up_read(&map->sem);
	fault_end(map, &fault);
	return folio;
}

/* Not by way of extents: @pfn may come from anywhere, and finding nothing is no damage. */
static struct folio *folio_take(struct ho_map *map, u64 pfn)
{
	struct restoring restoring = { .gfp = GFP_KERNEL };
	struct ho_piece piece;
	struct ho_run run;
	int err;

	err = look_up_run(map, pfn, &run);
	if (err)
		return ERR_PTR(err);
	piece = ho_piece(run, pfn);
	if (run.order && piece.pfn != pfn)
		return ERR_PTR(-ENOENT);
	if (xa_load(&map->taken, pfn))
		return ERR_PTR(-EALREADY);
	err = piece_restore(map, piece, &restoring);
	if (!err)
		err = xa_err(xa_store(&map->taken, pfn, xa_mk_value(1), GFP_KERNEL));
	if (err)
		return ERR_PTR(err);
	map->taken_pages += 1ULL << run.order;
	return pfn_folio(pfn);
}

struct folio *ho_map_take(struct ho_map *map, u64 pfn)
{
	struct folio *folio;

	down_read(&map->sem);
	folio = map->gone || !map->open ? ERR_PTR(-ENODATA) : folio_take(map, pfn);
	up_read(&map->sem);
	return folio;
}

void ho_map_give_back(struct ho_map *map, struct folio *folio)
{
	xa_erase(&map->taken, folio_pfn(folio));
	map->taken_pages -= folio_nr_pages(folio);
}

struct piece_walk {
	struct ho_map *map;
	int (*fn)(struct ho_map *map, struct ho_piece piece, struct restoring *restoring);
	struct restoring restoring;
};

static int run_pieces(struct ho_run run, void *data)
{
	u64 pfn = run.pfn, end = run.pfn + ho_run_pages(run);
	struct piece_walk *walk = data;
	int err;

	while (pfn < end) {
		struct ho_piece piece = ho_piece(run, pfn);

		err = walk->fn(walk->map, piece, &walk->restoring);
		if (err)
			return err;
		pfn += piece.nr;
		cond_resched();
	}
	return 0;
}

int ho_map_restore_some(struct ho_map *map)
{
	struct piece_walk walk = { .map = map, .fn = piece_restore,
				   .restoring.gfp = GFP_KERNEL };
	const struct ho_table_head *head;
	int err = -ENOENT;
	u32 at;

	down_read(&map->sem);
	if (!map->gone && !map->damaged && map->open) {
		at = atomic_fetch_add_unless(&map->cursor, 1, map->runs.pages);
		if (at < map->runs.pages) {
			head = part_page(map, &map->runs, at);
			err = IS_ERR(head) ? PTR_ERR(head) :
					     runs_page(head, run_pieces, &walk);
		}
	}
	up_read(&map->sem);
	return err;
}

/* Freeing */

static int piece_free(struct ho_map *map, struct ho_piece piece, struct restoring *restoring)
{
	u64 i;

	if (piece_restore(map, piece, restoring))
		return 0; /* said so; the others are freed all the same */
	if (piece.order) {
		if (!xa_load(&map->taken, piece.pfn))
			folio_put(pfn_folio(piece.pfn));
		return 0;
	}
	for (i = 0; i < piece.nr; i++)
		if (!xa_load(&map->taken, piece.pfn + i))
			put_page(pfn_to_page(piece.pfn + i));
	return 0;
}

u64 ho_map_free_frames(struct ho_map *map)
{
	if (ho_map_open(map))
		return 0;
	down_write(&map->sem);
	if (!map->gone) {
		/* A few bytes a piece, without which its memory would be lost. */
		struct piece_walk walk = { .map = map, .fn = piece_free,
					   .restoring.gfp = GFP_KERNEL | __GFP_NOFAIL };
		u32 i;

		/* Past a damaged page of runs, too. */
		for (i = 0; i < map->runs.pages; i++) {
			const struct ho_table_head *head = part_page(map, &map->runs, i);

			if (!IS_ERR(head))
				runs_page(head, run_pieces, &walk);
		}
		map->gone = true;
		atomic64_add(map->nr_pages - map->taken_pages, &ho_counters.freed_pages);
	}
	up_write(&map->sem);
	return map->nr_pages - map->taken_pages;
}

static void part_free(struct ho_map *map, struct ho_part *part)
{
	u64 phys;
	u32 i;

	if (map->incoming && !part->index)
		return; /* never opened, or damaged */
	for (i = 0; i < part->pages; i++) {
		void *page = phys_to_virt(part->index[i].page);

		if (part->restored && !test_bit(i, part->restored) &&
		    !ho_table_adopt(part->index[i].page))
			continue;
		ho_table_free(page);
	}
	for (phys = part->directory; phys;) {
		struct ho_table_head *head = phys_to_virt(phys);

		phys = head->next;
		ho_table_free(head);
	}
	kvfree(part->index);
	bitmap_free(part->restored);
	bitmap_free(part->checked);
}

static void free_restored(struct ho_map *map)
{
	unsigned long block;
	void *set;

	xa_for_each(&map->restored, block, set)
		if (!xa_is_value(set))
			kfree(set);
	xa_destroy(&map->restored);
}

static void map_release(struct kref *ref)
{
	struct ho_map *map = container_of(ref, struct ho_map, ref);

	WARN_ON_ONCE(map->preserved);
	if (map->incoming && !map->damaged)
		ho_map_open(map);
	part_free(map, &map->extents);
	part_free(map, &map->runs);
	free_restored(map);
	xa_destroy(&map->taken);
	if (map->joined)
		ho_map_put(map->joined);
	kfree(map);
}

void ho_map_get(struct ho_map *map)
{
	kref_get(&map->ref);
}

void ho_map_put(struct ho_map *map)
{
	kref_put(&map->ref, map_release);
}
