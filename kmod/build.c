// SPDX-License-Identifier: GPL-2.0
/*
 * From frames in the order of the file to tables: extents as they come, runs
 * sorted by frame, so that neighbours from anywhere in the file become one key.
 */
#include <linux/mmzone.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "internal.h"

#define RADIX_BITS	11
#define RADIX_SIZE	(1u << RADIX_BITS)

int ho_builder_init(struct ho_builder *builder, u64 size)
{
	memset(builder, 0, sizeof(*builder));
	builder->sorted = true;
	builder->map = ho_map_new(size);
	return builder->map ? 0 : -ENOMEM;
}

void ho_builder_abort(struct ho_builder *builder)
{
	if (builder->map)
		ho_map_put(builder->map);
	kvfree(builder->frames);
	memset(builder, 0, sizeof(*builder));
}

static int part_append(struct ho_part *part, const void *record, size_t size,
		       u32 per_page, u64 first)
{
	struct ho_table_head *head = NULL;

	if (part->pages) {
		head = phys_to_virt(part->index[part->pages - 1].page);
		if (head->count == per_page)
			head = NULL;
	}
	if (!head) {
		if (part->pages == part->room) {
			u32 room = part->room ? 2 * part->room : 8;
			void *index = kvrealloc(part->index,
						(size_t)room * sizeof(*part->index),
						GFP_KERNEL | __GFP_NOWARN);

			if (!index)
				return -ENOMEM;
			part->index = index;
			part->room = room;
		}
		head = ho_table_alloc(part->type);
		if (!head)
			return -ENOMEM;
		part->index[part->pages].page = virt_to_phys(head);
		part->index[part->pages].first = first;
		part->pages++;
	}
	memcpy((char *)(head + 1) + head->count * size, record, size);
	head->count++;
	part->records++;
	return 0;
}

/* The directory's pages, and every page's CRC. */
static int part_end(struct ho_part *part)
{
	struct ho_table_head *last = NULL;
	u32 i;

	for (i = 0; i < part->pages; i++) {
		struct ho_directory_record *records;

		if (i % HO_DIRECTORY_PER_PAGE == 0) {
			struct ho_table_head *next = ho_table_alloc(HO_TABLE_DIRECTORY);

			if (!next)
				return -ENOMEM;
			if (last) {
				last->next = virt_to_phys(next);
				ho_table_end(last);
			} else {
				part->directory = virt_to_phys(next);
			}
			last = next;
		}
		records = (void *)(last + 1);
		records[last->count++] = part->index[i];
		ho_table_end(phys_to_virt(part->index[i].page));
		cond_resched();
	}
	if (last)
		ho_table_end(last);
	return 0;
}

static int extent_flush(struct ho_builder *builder)
{
	struct ho_extent *extent = &builder->extent;
	struct ho_extent_record record;

	if (!extent->nr)
		return 0;
	record = ho_extent_pack(*extent);
	return part_append(&builder->map->extents, &record, sizeof(record),
			   HO_EXTENTS_PER_PAGE, extent->index);
}

int ho_builder_extent(struct ho_builder *builder, u64 index, u64 pfn, u64 nr)
{
	struct ho_extent *extent = &builder->extent;
	int err;

	while (nr) {
		u64 more;

		if (extent->nr && extent->nr < HO_EXTENT_MAX_PAGES &&
		    extent->index + extent->nr == index && extent->pfn + extent->nr == pfn) {
			more = min_t(u64, nr, HO_EXTENT_MAX_PAGES - extent->nr);
			extent->nr += more;
		} else {
			err = extent_flush(builder);
			if (err)
				return err;
			more = min_t(u64, nr, HO_EXTENT_MAX_PAGES);
			*extent = (struct ho_extent){ .index = index, .pfn = pfn, .nr = more };
		}
		index += more;
		pfn += more;
		nr -= more;
	}
	return 0;
}

int ho_builder_frames(struct ho_builder *builder, u64 pfn, u32 nr, u32 order)
{
	struct ho_frame *last = builder->nr_frames ? &builder->frames[builder->nr_frames - 1] :
						     NULL;

	builder->pages += (u64)nr << order;
	if (last && last->order == order && last->pfn + ((u64)last->nr << order) == pfn &&
	    last->nr + nr <= HO_RUN_MAX_COUNT && pfn_to_nid(last->pfn) == pfn_to_nid(pfn)) {
		last->nr += nr;
		return 0;
	}
	if (last && pfn < last->pfn + ((u64)last->nr << last->order))
		builder->sorted = false;
	if (builder->nr_frames == builder->room) {
		size_t room = builder->room ? 2 * builder->room : 64;
		void *frames = kvrealloc(builder->frames, room * sizeof(*builder->frames),
					 GFP_KERNEL | __GFP_NOWARN);

		if (!frames) {
			builder->pages -= (u64)nr << order;
			return -ENOMEM;
		}
		builder->frames = frames;
		builder->room = room;
	}
	builder->frames[builder->nr_frames++] =
		(struct ho_frame){ .pfn = pfn, .nr = nr, .order = order };
	return 0;
}

/* By pfn, in time that grows with the number only: there may be millions. */
static int frames_sort(struct ho_builder *builder)
{
	struct ho_frame *from = builder->frames, *to;
	size_t n = builder->nr_frames, i;
	unsigned int shift;
	size_t *place;
	u64 all = 0;

	to = kvmalloc_array(n, sizeof(*to), GFP_KERNEL | __GFP_NOWARN);
	place = kvmalloc_array(RADIX_SIZE, sizeof(*place), GFP_KERNEL);
	if (!to || !place) {
		kvfree(to);
		kvfree(place);
		return -ENOMEM;
	}
	for (i = 0; i < n; i++)
		all |= from[i].pfn;
	for (shift = 0; shift < 64 && all >> shift; shift += RADIX_BITS) {
		size_t sum = 0;

		memset(place, 0, RADIX_SIZE * sizeof(*place));
		for (i = 0; i < n; i++)
			place[(from[i].pfn >> shift) % RADIX_SIZE]++;
		for (i = 0; i < RADIX_SIZE; i++) {
			size_t count = place[i];

			place[i] = sum;
			sum += count;
		}
		for (i = 0; i < n; i++)
			to[place[(from[i].pfn >> shift) % RADIX_SIZE]++] = from[i];
		swap(from, to);
		cond_resched();
	}
	builder->frames = from;
	builder->room = n;
	kvfree(to);
	kvfree(place);
	return 0;
}

static int run_flush(struct ho_map *map, struct ho_run *run)
{
	ho_run_record record;

	if (!run->nr)
		return 0;
	record = ho_run_pack(*run);
	map->nr_pages += ho_run_pages(*run);
	map->nr_pieces += ho_run_pieces(*run);
	map->nodes |= 1u << min(pfn_to_nid(run->pfn), 31);
	return part_append(&map->runs, &record, sizeof(record), HO_RUNS_PER_PAGE, run->pfn);
}

/*
 * How many more may follow in the run. One that goes on in the next run ends with
 * a block: a block's pages that lie one after the other are one piece, since they
 * are preserved as one (preserve.c).
 */
static u32 run_room(const struct ho_run *run)
{
	u32 room = HO_RUN_MAX_COUNT - run->nr;

	return run->order ? room : room - run->pfn % HO_BLOCK_PAGES;
}

/* Adds frames behind the run, or begins another one with them. */
static int run_add(struct ho_map *map, struct ho_run *run, struct ho_frame frame)
{
	int err;

	while (frame.nr) {
		u32 nr = 0;

		if (run->nr && run->order == frame.order &&
		    run->pfn + ho_run_pages(*run) == frame.pfn &&
		    pfn_to_nid(run->pfn) == pfn_to_nid(frame.pfn))
			nr = min(frame.nr, run_room(run));
		if (!nr) {
			err = run_flush(map, run);
			if (err)
				return err;
			*run = (struct ho_run){ .pfn = frame.pfn, .order = frame.order };
			nr = min(frame.nr, run_room(run));
		}
		run->nr += nr;
		frame.pfn += (u64)nr << frame.order;
		frame.nr -= nr;
	}
	return 0;
}

/* Adjacent frames become one run; a frame that is there twice counts once. */
static int runs_write(struct ho_builder *builder)
{
	struct ho_run run = {};
	u64 end = 0;
	size_t i;
	int err;

	for (i = 0; i < builder->nr_frames; i++) {
		struct ho_frame frame = builder->frames[i];

		if (frame.pfn < end) {
			/* Mapped twice in a range: single pages only. */
			u64 twice = min_t(u64, end - frame.pfn, frame.nr);

			if (frame.order || run.order)
				return -EBUSY;
			frame.pfn += twice;
			frame.nr -= twice;
			if (!frame.nr)
				continue;
		}
		end = frame.pfn + ((u64)frame.nr << frame.order);
		err = run_add(builder->map, &run, frame);
		if (err)
			return err;
		cond_resched();
	}
	return run_flush(builder->map, &run);
}

struct ho_map *ho_builder_end(struct ho_builder *builder)
{
	struct ho_map *map = builder->map;
	int err;

	err = extent_flush(builder);
	if (!err && !builder->sorted)
		err = frames_sort(builder);
	if (!err)
		err = runs_write(builder);
	if (!err)
		err = part_end(&map->extents);
	if (!err)
		err = part_end(&map->runs);
	if (err)
		return ERR_PTR(err);
	builder->map = NULL;
	ho_builder_abort(builder);
	return map;
}

bool ho_part_equal(const struct ho_part *a, const struct ho_part *b)
{
	u32 i;

	if (a->pages != b->pages || a->records != b->records)
		return false;
	for (i = 0; i < a->pages; i++)
		if (memcmp(phys_to_virt(a->index[i].page), phys_to_virt(b->index[i].page),
			   HO_TABLE_SIZE))
			return false;
	return true;
}
