// SPDX-License-Identifier: GPL-2.0
/*
 * Single pages of several maps, preserved together.
 *
 * Where files were filled at the same time, each has every few pages only. KHO
 * would need a key for each, and the next kernel reserves memory key by key
 * before it does anything else. So the keys are those of all maps' single pages
 * in a block (HO_BLOCK_PAGES frames), made anew whenever a map comes or goes.
 * They are in KHO at any time, not just after the seal, which is when everything
 * stands still.
 */
#include <linux/kexec_handover.h>
#include <linux/slab.h>

#include "internal.h"

struct ho_block {
	u64 pages[HO_BLOCK_WORDS];	/* of all maps */
	u32 maps;			/* that have some */
};

static DEFINE_XARRAY(blocks);		/* frame >> HO_PIECE_ORDER -> struct ho_block */
static DEFINE_MUTEX(blocks_lock);	/* innermost */
static u64 blocks_stamp = 1;		/* of what the keys are now */

/* Keys of @of that @but does not have, up to the one at @end. */
static void delete_keys(u64 first, const u64 *of, const u64 *but, u32 end)
{
	u32 at, order;

	for (at = ho_block_next(of, 0); at < end; at = ho_block_next(of, at + (1u << order))) {
		order = ho_block_key(of, at);
		if (!ho_block_has_key(but, at, order))
			kho_unpreserve_pages(pfn_to_page(first + at), 1ul << order);
	}
}

/* KHO never has less than both sets' common pages; after an error it has @from. */
static int change_keys(u64 first, const u64 *from, const u64 *to)
{
	u32 at, order;
	int err;

	for (at = ho_block_next(to, 0); at < HO_BLOCK_PAGES;
	     at = ho_block_next(to, at + (1u << order))) {
		order = ho_block_key(to, at);
		if (ho_block_has_key(from, at, order))
			continue;
		err = kho_preserve_pages(pfn_to_page(first + at), 1ul << order);
		if (err) {
			delete_keys(first, to, from, at);
			return err;
		}
	}
	delete_keys(first, from, to, HO_BLOCK_PAGES);
	return 0;
}

/*
 * A map that goes must not fail for want of memory, though others' keys get
 * smaller then. KHO's tree of keys keeps its nodes, and those for all keys of an
 * order in a block are the same (a leaf covers 128 MiB and more): have them made.
 * By keys with a page of @pages in it, so that nobody else has them.
 */
static int make_room(u64 first, const u64 *pages)
{
	u32 ours = ho_block_next(pages, 0), order;
	int err;

	for (order = 0; order <= HO_PIECE_ORDER; order++) {
		u32 at = round_down(ours, 1u << order);

		if (ho_block_has_key(pages, at, order))
			continue;
		err = kho_preserve_pages(pfn_to_page(first + at), 1ul << order);
		if (err)
			return err;
		kho_unpreserve_pages(pfn_to_page(first + at), 1ul << order);
	}
	return 0;
}

/* Never fails: what is put back after an error must not meet another one. */
static struct ho_block *block_get(u64 number)
{
	struct ho_block *block = xa_load(&blocks, number);

	if (!block) {
		block = kzalloc(sizeof(*block), GFP_KERNEL | __GFP_NOFAIL);
		xa_store(&blocks, number, block, GFP_KERNEL | __GFP_NOFAIL);
	}
	return block;
}

static void block_put(u64 number, struct ho_block *block)
{
	if (!block->maps) {
		xa_erase(&blocks, number);
		kfree(block);
	}
}

static int block_add(u64 first, struct ho_block *block, const u64 *pages)
{
	u64 all[HO_BLOCK_WORDS];
	int err = 0;
	u32 i;

	for (i = 0; i < HO_BLOCK_WORDS; i++) {
		/* Of user memory, claiming it has seen to that. */
		if (block->pages[i] & pages[i])
			return -EBUSY;
		all[i] = block->pages[i] | pages[i];
	}
	if (block->maps == 1)
		err = make_room(first, block->pages);
	if (!err)
		err = change_keys(first, block->pages, all);
	if (err)
		return err;
	memcpy(block->pages, all, sizeof(all));
	block->maps++;
	return 0;
}

int ho_block_add(u64 number, const u64 *pages)
{
	struct ho_block *block;
	int err;

	mutex_lock(&blocks_lock);
	block = block_get(number);
	err = block_add(number << HO_PIECE_ORDER, block, pages);
	block_put(number, block);
	blocks_stamp++;
	mutex_unlock(&blocks_lock);
	return err;
}

void ho_block_remove(u64 number, const u64 *pages)
{
	u64 rest[HO_BLOCK_WORDS];
	struct ho_block *block;
	u32 i;

	mutex_lock(&blocks_lock);
	block = xa_load(&blocks, number);
	if (!WARN_ON_ONCE(!block)) {
		for (i = 0; i < HO_BLOCK_WORDS; i++)
			rest[i] = block->pages[i] & ~pages[i];
		WARN_ON_ONCE(change_keys(number << HO_PIECE_ORDER, block->pages, rest));
		memcpy(block->pages, rest, sizeof(rest));
		block->maps--;
		block_put(number, block);
		blocks_stamp++;
	}
	mutex_unlock(&blocks_lock);
}

u64 ho_blocks_stamp(void)
{
	u64 stamp;

	mutex_lock(&blocks_lock);
	stamp = blocks_stamp;
	mutex_unlock(&blocks_lock);
	return stamp;
}

void ho_block_count_keys(u64 number, const u64 *pages, u64 *keys)
{
	struct ho_block *block;
	u32 at, order;

	mutex_lock(&blocks_lock);
	block = xa_load(&blocks, number);
	for (at = 0; block && at < HO_BLOCK_PAGES; at += 1u << order) {
		at = ho_block_next(block->pages, at);
		if (at == HO_BLOCK_PAGES)
			break;
		order = ho_block_key(block->pages, at);
		if (ho_block_end(pages, at) > at)
			keys[order]++;
	}
	mutex_unlock(&blocks_lock);
}

static int build_block(struct ho_builder *builder, u64 number, const struct ho_block *block)
{
	u32 at, end;
	int err;

	for (at = ho_block_next(block->pages, 0); at < HO_BLOCK_PAGES;
	     at = ho_block_next(block->pages, end)) {
		end = ho_block_end(block->pages, at);
		err = ho_builder_frames(builder, (number << HO_PIECE_ORDER) + at, end - at, 0);
		if (err)
			return err;
	}
	return 0;
}

struct ho_map *ho_blocks_joined(void)
{
	struct ho_map *map = NULL;
	struct ho_builder builder;
	struct ho_block *block;
	unsigned long number;
	int err;

	err = ho_builder_init(&builder, 0);
	if (err)
		return ERR_PTR(err);
	mutex_lock(&blocks_lock);
	xa_for_each(&blocks, number, block) {
		if (block->maps < 2)
			continue;
		err = build_block(&builder, number, block);
		if (err)
			break;
		cond_resched();
	}
	mutex_unlock(&blocks_lock);
	if (err)
		map = ERR_PTR(err);
	else if (builder.nr_frames)
		map = ho_builder_end(&builder);
	ho_builder_abort(&builder);
	return map;
}
