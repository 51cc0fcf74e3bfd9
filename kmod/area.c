// SPDX-License-Identifier: GPL-2.0
/*
 * vmalloc areas of other modules. KHO preserves them in its own form, since
 * nothing else can tell their size: a chain of pages (chunks) that list physical
 * addresses. KHO does not check what it reads of that form, so we do: a set's
 * description has a CRC of the chunks.
 */
#include <linux/crc32.h>
#include <linux/kexec_handover.h>

#include "set.h"

struct area_walk {
	int (*fn)(u64 phys, u64 nr);
	u64 stop;			/* after so many calls; for undoing a part */
	u64 done;
};

static int area_call(struct area_walk *walk, u64 phys, u64 nr)
{
	int err;

	if (walk->done == walk->stop)
		return 1;
	err = walk->fn(phys, nr);
	if (!err)
		walk->done++;
	return err;
}

/* Each block of the area's memory, and each page that lists them after these. */
static int area_walk(const struct ho_item *item, struct area_walk *walk)
{
	u64 phys = item->vmalloc.first.phys;
	int err;
	u32 i;

	while (phys) {
		const struct kho_vmalloc_chunk *chunk = phys_to_virt(phys);
		u64 next = chunk->hdr.next.phys;

		for (i = 0; i < KHO_VMALLOC_SIZE && chunk->phys[i]; i++) {
			err = area_call(walk, chunk->phys[i], 1ULL << item->vmalloc.order);
			if (err)
				return err;
		}
		err = area_call(walk, phys, 1);
		if (err)
			return err;
		phys = next;
		cond_resched();
	}
	return 0;
}

static bool is_memory(u64 phys, unsigned int order)
{
	u64 pfn = PHYS_PFN(phys);

	return !(phys & ((PAGE_SIZE << order) - 1)) && ho_frame_exists(pfn) &&
	       ho_frame_exists(pfn + (1ULL << order) - 1);
}

/* KHO takes any address within the area. */
bool ho_area_begins_at(const struct ho_item *item, const void *ptr)
{
	const struct kho_vmalloc_chunk *chunk = phys_to_virt(item->vmalloc.first.phys);

	return chunk->phys[0] == page_to_phys(vmalloc_to_page(ptr));
}

int ho_area_crc(const struct ho_item *item, u32 *crc)
{
	u64 left = item->size >> (PAGE_SHIFT + item->vmalloc.order);
	/* KHO begins a chunk whenever one is full, needed or not. */
	u64 chunks = left / KHO_VMALLOC_SIZE + 1;
	u64 phys = item->vmalloc.first.phys;
	u32 i;

	*crc = ~0u;
	while (phys) {
		const struct kho_vmalloc_chunk *chunk = phys_to_virt(phys);

		if (!chunks-- || !is_memory(phys, 0))
			return -ENODATA;
		*crc = crc32c(*crc, chunk, PAGE_SIZE);
		for (i = 0; i < KHO_VMALLOC_SIZE && chunk->phys[i]; i++)
			if (!left-- || !is_memory(chunk->phys[i], item->vmalloc.order))
				return -ENODATA;
		phys = chunk->hdr.next.phys;
		cond_resched();
	}
	return left ? -ENODATA : 0;
}

int ho_area_check(struct ho_item *item)
{
	u32 crc;

	if (item->restored)
		return -ENODATA;
	if (item->checked)
		return 0;
	if (ho_area_crc(item, &crc) || crc != item->crc) {
		pr_err("a vmalloc area left by the earlier kernel is damaged: its memory stays reserved until the next cold boot\n");
		item->restored = true;
		return -ENODATA;
	}
	item->checked = true;
	return 0;
}

static int area_preserve_pages(u64 phys, u64 nr)
{
	return kho_preserve_pages(pfn_to_page(PHYS_PFN(phys)), nr);
}

static int area_unpreserve_pages(u64 phys, u64 nr)
{
	kho_unpreserve_pages(pfn_to_page(PHYS_PFN(phys)), nr);
	return 0;
}

int ho_area_preserve(struct ho_item *item)
{
	struct area_walk walk = { .fn = area_preserve_pages, .stop = U64_MAX };
	struct area_walk undo = { .fn = area_unpreserve_pages };
	int err;

	err = area_walk(item, &walk);
	if (err) {
		undo.stop = walk.done;
		area_walk(item, &undo);
	}
	item->preserved = !err;
	return err;
}

void ho_area_unpreserve(struct ho_item *item)
{
	struct area_walk walk = { .fn = area_unpreserve_pages, .stop = U64_MAX };

	if (item->preserved)
		area_walk(item, &walk);
	item->preserved = false;
}

static int area_free_pages(u64 phys, u64 nr)
{
	struct page *page = kho_restore_pages(phys, nr);
	u64 i;

	/* KHO has said what is wrong; the others are freed all the same. */
	for (i = 0; page && i < nr; i++)
		__free_page(page + i);
	return 0;
}

u64 ho_area_free(struct ho_item *item)
{
	struct area_walk walk = { .fn = area_free_pages, .stop = U64_MAX };

	if (ho_area_check(item))
		return 0;
	item->restored = true;
	area_walk(item, &walk);
	return item->size >> PAGE_SHIFT;
}
