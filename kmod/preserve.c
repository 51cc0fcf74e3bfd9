// SPDX-License-Identifier: GPL-2.0
/* A map's memory and tables, told to KHO and taken back. */
#include <linux/kexec_handover.h>

#include "internal.h"

/* What is preserved at once: a piece, or all of a map's small pieces in a block. */
struct unit {
	struct ho_piece piece;		/* nr 0: the pages of the block */
	u64 block;			/* number of the block */
	u64 pages[HO_BLOCK_WORDS];
};

struct unit_walk {
	struct ho_map *map;
	int (*fn)(struct ho_map *map, const struct unit *unit);
	u64 done;			/* units */
	u64 stop;			/* after so many; for undoing a part */
	bool filled;			/* @unit has pages that @fn has not seen */
	struct unit unit;
};

static int walk_unit(struct unit_walk *walk, const struct unit *unit)
{
	int err;

	if (walk->done == walk->stop)
		return 1;
	err = walk->fn(walk->map, unit);
	if (!err)
		walk->done++;
	return err;
}

static int walk_block(struct unit_walk *walk)
{
	if (!walk->filled)
		return 0;
	walk->filled = false;
	return walk_unit(walk, &walk->unit);
}

/*
 * Of single pages, and small enough for others to lie between. Not if two nodes
 * meet in the block, where KHO splits keys otherwise.
 */
static bool is_shared_piece(struct ho_piece piece)
{
	u64 first = round_down(piece.pfn, HO_BLOCK_PAGES), last = first + HO_BLOCK_PAGES - 1;

	return !piece.order && piece.nr < HO_BLOCK_PAGES && ho_frame_exists(first) &&
	       ho_frame_exists(last) && pfn_to_nid(first) == pfn_to_nid(last);
}

static int walk_piece(struct unit_walk *walk, struct ho_piece piece)
{
	u64 block = piece.pfn >> HO_PIECE_ORDER, i;
	int err;

	if (walk->filled && walk->unit.block != block) {
		err = walk_block(walk);
		if (err)
			return err;
	}
	if (!is_shared_piece(piece))
		return walk_unit(walk, &(struct unit){ .piece = piece });
	if (!walk->filled)
		walk->unit = (struct unit){ .block = block };
	walk->filled = true;
	for (i = piece.pfn % HO_BLOCK_PAGES; piece.nr--; i++)
		walk->unit.pages[i / 64] |= 1ull << i % 64;
	return 0;
}

static int walk_run(struct ho_run run, void *data)
{
	u64 pfn = run.pfn, end = run.pfn + ho_run_pages(run);
	int err;

	while (pfn < end) {
		struct ho_piece piece = ho_piece(run, pfn);

		err = walk_piece(data, piece);
		if (err)
			return err;
		pfn += piece.nr;
		cond_resched();
	}
	return 0;
}

/* Up to @stop units, or all; says how many there were. */
static int for_each_unit(struct ho_map *map, int (*fn)(struct ho_map *map, const struct unit *unit),
			 u64 *stop)
{
	struct unit_walk walk = { .map = map, .fn = fn, .stop = *stop };
	int err = ho_map_for_each_run(map, walk_run, &walk);

	if (!err)
		err = walk_block(&walk);
	*stop = walk.done;
	return err;
}

/*
 * Folios as well: a folio's key is that of its pages, since both are its frame
 * and order, and a folio that this kernel has not restored has no order yet.
 */
static int unit_preserve(struct ho_map *map, const struct unit *unit)
{
	struct ho_piece piece = unit->piece;

	if (!piece.nr)
		return ho_block_add(unit->block, unit->pages);
	if (!ho_frame_exists(piece.pfn) || !ho_frame_exists(piece.pfn + piece.nr - 1))
		return ho_map_damaged(map, "a run");
	return kho_preserve_pages(pfn_to_page(piece.pfn), piece.nr);
}

static int unit_unpreserve(struct ho_map *map, const struct unit *unit)
{
	if (unit->piece.nr)
		kho_unpreserve_pages(pfn_to_page(unit->piece.pfn), unit->piece.nr);
	else
		ho_block_remove(unit->block, unit->pages);
	return 0;
}

/* As kho_preserve_pages() splits what it gets; a shared key is its first page's. */
static int unit_count_keys(struct ho_map *map, const struct unit *unit)
{
	u64 pfn = unit->piece.pfn, end = unit->piece.pfn + unit->piece.nr;

	if (!unit->piece.nr)
		ho_block_count_keys(unit->block, unit->pages, map->keys);
	while (pfn < end) {
		unsigned int order = ilog2(end - pfn);

		if (pfn)
			order = min_t(unsigned int, order, __ffs64(pfn));
		map->keys[min_t(unsigned int, order, HANDOVER_ORDERS - 1)]++;
		pfn += 1ULL << order;
	}
	return 0;
}

void ho_map_count_keys(struct ho_map *map)
{
	u64 stamp = ho_blocks_stamp(), all = U64_MAX;

	down_read(&map->sem);
	if (map->preserved && map->keys_stamp != stamp) {
		memset(map->keys, 0, sizeof(map->keys));
		for_each_unit(map, unit_count_keys, &all);
		map->keys_stamp = stamp;
	}
	up_read(&map->sem);
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

int ho_map_preserve_tables(struct ho_map *map)
{
	u64 done = U64_MAX;
	int err = for_each_table(map, ho_table_preserve, &done);

	if (err)
		for_each_table(map, table_unpreserve, &done);
	return err;
}

void ho_map_unpreserve_tables(struct ho_map *map)
{
	u64 all = U64_MAX;

	for_each_table(map, table_unpreserve, &all);
}

int ho_map_preserve(struct ho_map *map)
{
	u64 done = U64_MAX;
	int err;

	err = ho_map_open(map);
	if (err)
		return err;
	down_write(&map->sem);
	err = for_each_unit(map, unit_preserve, &done);
	if (!err)
		err = ho_map_preserve_tables(map);
	if (err)
		for_each_unit(map, unit_unpreserve, &done);
	map->preserved = !err;
	map->keys_stamp = 0;
	up_write(&map->sem);
	return err;
}

void ho_map_unpreserve(struct ho_map *map)
{
	u64 all = U64_MAX;

	down_write(&map->sem);
	if (map->preserved) {
		ho_map_unpreserve_tables(map);
		for_each_unit(map, unit_unpreserve, &all);
		map->preserved = false;
	}
	up_write(&map->sem);
}
