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

struct ho_map *ho_map_adopt(const struct ho_entry_record *record)
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

static int damaged(struct ho_map *map, const char *what)
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
		return part->records || part->directory ? damaged(map, "a table") : 0;
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
	err = damaged(map, "a directory");
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
			err = damaged(map, "a table page");
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
		err = damaged(map, "a table page");
	} else {
		smp_mb__before_atomic(); /* pairs with test_bit_acquire() */
		set_bit(i, part->checked);
	}
unlock:
	mutex_unlock(&map->load_lock);
	return err ? ERR_PTR(err) : page;
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

/* Preserving */

struct piece_walk {
	struct ho_map *map;
	int (*fn)(struct ho_map *map, struct ho_piece piece);
	u64 stop;			/* at this frame; for undoing a part */
};

static int run_pieces(struct ho_run run, void *data)
{
	struct piece_walk *walk = data;
	u64 pfn = run.pfn, end = run.pfn + ho_run_pages(run);
	int err;

	while (pfn < end) {
		struct ho_piece piece = ho_piece(run, pfn);

		if (pfn == walk->stop)
			return 1;
		err = walk->fn(walk->map, piece);
		if (err) {
			walk->stop = pfn;
			return err;
		}
		pfn += piece.nr;
		cond_resched();
	}
	return 0;
}

static int for_each_piece(struct ho_map *map,
			  int (*fn)(struct ho_map *map, struct ho_piece piece), u64 *stop)
{
	struct piece_walk walk = { .map = map, .fn = fn, .stop = stop ? *stop : U64_MAX };
	int err = ho_map_for_each_run(map, run_pieces, &walk);

	if (stop)
		*stop = walk.stop;
	return err;
}

/* As kho_preserve_pages() splits what it gets: for the numbers only. */
static void count_keys(struct ho_map *map, struct ho_piece piece, int one)
{
	u64 pfn = piece.pfn, end = piece.pfn + piece.nr;

	while (pfn < end) {
		unsigned int order = ilog2(end - pfn);

		if (pfn)
			order = min_t(unsigned int, order, __ffs64(pfn));
		map->keys[min_t(unsigned int, order, HANDOVER_ORDERS - 1)] += one;
		pfn += 1ULL << order;
	}
}

/*
 * Folios as well: a folio's key is that of its pages, since both are its frame
 * and order, and a folio that this kernel has not restored has no order yet.
 */
static int piece_preserve(struct ho_map *map, struct ho_piece piece)
{
	int err;

	if (!ho_frame_exists(piece.pfn) || !ho_frame_exists(piece.pfn + piece.nr - 1))
		return damaged(map, "a run");
	err = kho_preserve_pages(pfn_to_page(piece.pfn), piece.nr);
	if (!err)
		count_keys(map, piece, 1);
	return err;
}

static int piece_unpreserve(struct ho_map *map, struct ho_piece piece)
{
	kho_unpreserve_pages(pfn_to_page(piece.pfn), piece.nr);
	count_keys(map, piece, -1);
	return 0;
}

/* Every table page, directories included, up to @stop of them. */
static int for_each_table(struct ho_map *map, int (*fn)(void *page), u64 *stop)
{
	struct ho_part *parts[] = { &map->extents, &map->runs };
	u64 done = 0, phys;
	int err, p;
	u32 i;

	for (p = 0; p < 2; p++) {
		for (i = 0; i < parts[p]->pages; i++) {
			if (done == *stop)
				return 0;
			err = fn(phys_to_virt(parts[p]->index[i].page));
			if (err)
				goto out;
			done++;
		}
		for (phys = parts[p]->directory; phys;) {
			struct ho_table_head *head = phys_to_virt(phys);

			if (done == *stop)
				return 0;
			phys = head->next;
			err = fn(head);
			if (err)
				goto out;
			done++;
		}
	}
	return 0;
out:
	*stop = done;
	return err;
}

static int table_unpreserve(void *page)
{
	ho_table_unpreserve(page);
	return 0;
}

int ho_map_preserve(struct ho_map *map)
{
	u64 stop = U64_MAX, tables = U64_MAX;
	int err;

	err = ho_map_open(map);
	if (err)
		return err;
	down_write(&map->sem);
	err = for_each_piece(map, piece_preserve, &stop);
	if (!err) {
		err = for_each_table(map, ho_table_preserve, &tables);
		if (err)
			for_each_table(map, table_unpreserve, &tables);
	}
	if (err)
		for_each_piece(map, piece_unpreserve, &stop);
	map->preserved = !err;
	up_write(&map->sem);
	return err;
}

void ho_map_unpreserve(struct ho_map *map)
{
	u64 all = U64_MAX;

	down_write(&map->sem);
	if (map->preserved) {
		for_each_table(map, table_unpreserve, &all);
		for_each_piece(map, piece_unpreserve, NULL);
		map->preserved = false;
	}
	up_write(&map->sem);
}

/* Restoring */

static int piece_restore(struct ho_map *map, struct ho_piece piece)
{
	struct mutex *lock = &map->piece_lock[hash_64(piece.pfn, ilog2(HO_PIECE_LOCKS))];
	int err = 0;

	if (!map->incoming)
		return 0;
	if (xa_load(&map->restored, piece.pfn)) {
		smp_rmb(); /* the pages were initialized before the store */
		return 0;
	}
	mutex_lock(lock);
	if (xa_load(&map->restored, piece.pfn))
		goto unlock;
	/* Room first: what is restored must be remembered. */
	err = xa_reserve(&map->restored, piece.pfn, GFP_KERNEL);
	if (err)
		goto unlock;
	if (!ho_frame_exists(piece.pfn) || !ho_frame_exists(piece.pfn + piece.nr - 1)) {
		err = damaged(map, "a run");
	} else if (piece.order) {
		struct folio *folio = kho_restore_folio(PFN_PHYS(piece.pfn));

		if (!folio || folio_order(folio) != piece.order)
			err = damaged(map, "a folio");
	} else if (!kho_restore_pages(PFN_PHYS(piece.pfn), piece.nr)) {
		err = damaged(map, "a run");
	}
	if (err) {
		xa_release(&map->restored, piece.pfn);
	} else {
		smp_wmb(); /* pairs with smp_rmb() above */
		xa_store(&map->restored, piece.pfn, xa_mk_value(1), GFP_KERNEL);
		atomic64_inc(&map->nr_restored);
		atomic64_inc(&ho_counters.pieces_restored);
	}
unlock:
	mutex_unlock(lock);
	return err;
}

/* The run that contains @pfn. */
static int find_run(struct ho_map *map, u64 pfn, struct ho_run *run)
{
	struct ho_part *part = &map->runs;
	long i = ho_directory_find(part->index, part->pages, pfn);
	const void *page;

	if (i < 0)
		return damaged(map, "an extent");
	page = part_page(map, part, i);
	if (IS_ERR(page))
		return PTR_ERR(page);
	return ho_runs_find(page, pfn, run) ? 0 : damaged(map, "an extent");
}

/* @fault: somebody waits for the page; what was restored for it is added. */
static struct page *frame_restore(struct ho_map *map, u64 pfn, struct ho_piece *piece, u64 *fault)
{
	u64 start = ktime_get_ns();
	struct ho_run run;
	int err;

	err = find_run(map, pfn, &run);
	if (err)
		return ERR_PTR(err);
	*piece = ho_piece(run, pfn);
	if (map->incoming && !xa_load(&map->restored, piece->pfn)) {
		err = piece_restore(map, *piece);
		if (err)
			return ERR_PTR(err);
		if (fault) {
			*fault += piece->nr;
			atomic64_inc(&map->faults);
			atomic64_inc(&ho_counters.faults);
			atomic64_add(ktime_get_ns() - start, &ho_counters.fault_ns);
			trace_handover_fault(piece->pfn, piece->nr);
		}
	} else {
		smp_rmb(); /* as in piece_restore() */
	}
	return pfn_to_page(pfn);
}

/* The frames from file page @index on. 0 and *pfn, *nr; -ENOENT: a hole. */
static int find_frames(struct ho_map *map, u64 index, u64 *pfn, u64 *nr)
{
	struct ho_part *part = &map->extents;
	long i = ho_directory_find(part->index, part->pages, index);
	struct ho_extent extent;
	const void *page;

	if (i < 0)
		return -ENOENT;
	page = part_page(map, part, i);
	if (IS_ERR(page))
		return PTR_ERR(page);
	if (!ho_extents_find(page, index, &extent))
		return -ENOENT;
	*pfn = extent.pfn + (index - extent.index);
	*nr = extent.nr - (index - extent.index);
	return 0;
}

unsigned long ho_map_pages(struct ho_map *map, u64 index, struct page **pages,
			   unsigned long max)
{
	u64 pfn, nr, restored = 0;
	unsigned long done = 0;

	down_read(&map->sem);
	/* Where pieces are small, many; never much more than one of full size. */
	while (!map->gone && done < max && restored < 1u << HO_PIECE_ORDER &&
	       !find_frames(map, index + done, &pfn, &nr)) {
		struct ho_piece piece;
		struct page *page = frame_restore(map, pfn, &piece, &restored);

		/* A folio up to PMD size is mapped by the kernel, as a whole. */
		if (IS_ERR(page) || (piece.order && piece.order <= HO_PIECE_ORDER))
			break;
		nr = min3(nr, piece.pfn + piece.nr - pfn, (u64)max - done);
		while (nr--)
			pages[done++] = page++;
	}
	up_read(&map->sem);
	return done;
}

struct page *ho_map_page(struct ho_map *map, u64 index, bool fault)
{
	u64 pfn, nr, restored = 0;
	struct ho_piece piece;
	struct page *page;
	int err;

	down_read(&map->sem);
	err = map->gone ? -ENODATA : find_frames(map, index, &pfn, &nr);
	if (err == -ENOENT)
		page = NULL;
	else if (err)
		page = ERR_PTR(err);
	else
		page = frame_restore(map, pfn, &piece, fault ? &restored : NULL);
	if (!IS_ERR_OR_NULL(page))
		get_page(page);
	up_read(&map->sem);
	return page;
}

struct folio *ho_map_huge(struct ho_map *map, u64 index)
{
	u64 pfn, nr, restored = 0;
	struct folio *folio = NULL;
	struct ho_piece piece;

	down_read(&map->sem);
	if (!map->gone && !find_frames(map, index, &pfn, &nr) &&
	    nr >= 1u << HO_PIECE_ORDER &&
	    !IS_ERR(frame_restore(map, pfn, &piece, &restored)) &&
	    piece.order == HO_PIECE_ORDER && piece.pfn == pfn) {
		folio = pfn_folio(pfn);
		folio_get(folio);
	}
	up_read(&map->sem);
	return folio;
}

/* Not by way of extents: @pfn may come from anywhere, and finding nothing is no damage. */
static struct folio *folio_take(struct ho_map *map, u64 pfn)
{
	struct ho_part *part = &map->runs;
	long i = ho_directory_find(part->index, part->pages, pfn);
	struct ho_piece piece;
	struct ho_run run;
	const void *page;
	int err;

	if (i < 0)
		return ERR_PTR(-ENOENT);
	page = part_page(map, part, i);
	if (IS_ERR(page))
		return ERR_CAST(page);
	if (!ho_runs_find(page, pfn, &run))
		return ERR_PTR(-ENOENT);
	piece = ho_piece(run, pfn);
	if (run.order && piece.pfn != pfn)
		return ERR_PTR(-ENOENT);
	if (xa_load(&map->taken, pfn))
		return ERR_PTR(-EALREADY);
	err = piece_restore(map, piece);
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

static int restore_run(struct ho_run run, void *data)
{
	struct piece_walk walk = { .map = data, .fn = piece_restore, .stop = U64_MAX };

	return run_pieces(run, &walk);
}

int ho_map_restore_some(struct ho_map *map)
{
	const struct ho_table_head *head;
	int err = -ENOENT;
	u32 at;

	down_read(&map->sem);
	if (!map->gone && !map->damaged && map->open) {
		at = atomic_fetch_add_unless(&map->cursor, 1, map->runs.pages);
		if (at < map->runs.pages) {
			head = part_page(map, &map->runs, at);
			err = IS_ERR(head) ? PTR_ERR(head) :
					     runs_page(head, restore_run, map);
		}
	}
	up_read(&map->sem);
	return err;
}

/* Freeing */

static int piece_free(struct ho_map *map, struct ho_piece piece)
{
	u64 i;
	int err;

	err = piece_restore(map, piece);
	if (err == -ENOMEM)
		err = 0; /* no room to remember it: not needed any more, see below */
	if (err)
		return 0; /* said so; the others are freed all the same */
	if (map->incoming && !xa_load(&map->restored, piece.pfn)) {
		if (piece.order ? !kho_restore_folio(PFN_PHYS(piece.pfn)) :
				  !kho_restore_pages(PFN_PHYS(piece.pfn), piece.nr))
			return 0;
	}
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
		struct piece_walk walk = { .map = map, .fn = piece_free, .stop = U64_MAX };
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

static void map_release(struct kref *ref)
{
	struct ho_map *map = container_of(ref, struct ho_map, ref);

	WARN_ON_ONCE(map->preserved);
	if (map->incoming && !map->damaged)
		ho_map_open(map);
	part_free(map, &map->extents);
	part_free(map, &map->runs);
	xa_destroy(&map->restored);
	xa_destroy(&map->taken);
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
