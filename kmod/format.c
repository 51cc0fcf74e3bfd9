// SPDX-License-Identifier: GPL-2.0
/*
 * Packs, checks and looks up the serialized form, see format.h.
 *
 * The pages were written by another kernel and may be damaged: each check is
 * right for any bytes, and what passes cannot overflow any sum made of it.
 * Nothing here allocates, logs, sleeps or has a state.
 */
#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/stddef.h>
#include <linux/string.h>
#else
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#endif

#include "format.h"
#include "include/uapi/linux/handover.h"

#define PFN_SHIFT	24
#define ORDER_SHIFT	18
#define ORDER_MASK	0x3full

/* What lies in memory between two kernels must not change unnoticed. */
#define FROZEN_SIZE(type, size)	static_assert(sizeof(type) == (size), #type)

FROZEN_SIZE(struct ho_table_head, 24);
FROZEN_SIZE(struct ho_root, 72);
FROZEN_SIZE(struct ho_session_record, 88);
FROZEN_SIZE(struct ho_table_reference, 24);
FROZEN_SIZE(struct ho_entry_record, 112);
FROZEN_SIZE(struct ho_directory_record, 16);
FROZEN_SIZE(struct ho_extent_record, 16);
FROZEN_SIZE(ho_run_record, 8);
FROZEN_SIZE(struct ho_kernel_head, 16);
FROZEN_SIZE(struct ho_item_record, 40);
static_assert(HO_NAME_LENGTH == HANDOVER_NAME_LENGTH, "as user space has it");

ho_run_record ho_run_pack(struct ho_run run)
{
	return run.pfn << PFN_SHIFT | (u64)run.order << ORDER_SHIFT |
	       (u64)(run.nr - 1);
}

struct ho_run ho_run_unpack(ho_run_record record)
{
	struct ho_run run = {
		.pfn = record >> PFN_SHIFT,
		.nr = (u32)(record & (HO_RUN_MAX_COUNT - 1)) + 1,
		.order = (u32)(record >> ORDER_SHIFT & ORDER_MASK),
	};

	return run;
}

struct ho_extent_record ho_extent_pack(struct ho_extent extent)
{
	struct ho_extent_record record = {
		.index = extent.index,
		.where = extent.pfn << PFN_SHIFT | (extent.nr - 1),
	};

	return record;
}

struct ho_extent ho_extent_unpack(struct ho_extent_record record)
{
	struct ho_extent extent = {
		.index = record.index,
		.pfn = record.where >> PFN_SHIFT,
		.nr = (record.where & (HO_EXTENT_MAX_PAGES - 1)) + 1,
	};

	return extent;
}

struct ho_piece ho_piece(struct ho_run run, u64 pfn)
{
	u32 order = run.order ? run.order : HO_PIECE_ORDER;
	u64 start = pfn >> order << order;
	u64 end = start + (1ull << order);

	/* Folios fill their alignment, single pages begin and end anywhere. */
	if (!run.order) {
		if (start < run.pfn)
			start = run.pfn;
		if (end > run.pfn + run.nr)
			end = run.pfn + run.nr;
	}

	return (struct ho_piece){
		.pfn = start,
		.nr = end - start,
		.order = run.order,
	};
}

u64 ho_run_pieces(struct ho_run run)
{
	if (run.order)
		return run.nr;

	return ((run.pfn + run.nr - 1) >> HO_PIECE_ORDER) -
	       (run.pfn >> HO_PIECE_ORDER) + 1;
}

u32 ho_block_next(const u64 *set, u32 at)
{
	while (at < HO_BLOCK_PAGES) {
		u64 word = set[at / 64] >> at % 64;

		if (word)
			return at + (u32)__builtin_ctzll(word);
		at = (at / 64 + 1) * 64;
	}
	return HO_BLOCK_PAGES;
}

u32 ho_block_end(const u64 *set, u32 at)
{
	while (at < HO_BLOCK_PAGES) {
		u64 word = ~set[at / 64] >> at % 64;

		if (word)
			return at + (u32)__builtin_ctzll(word);
		at = (at / 64 + 1) * 64;
	}
	return HO_BLOCK_PAGES;
}

u32 ho_block_key(const u64 *set, u32 at)
{
	u32 end = ho_block_end(set, at);
	u32 order = 0;

	while (order < HO_PIECE_ORDER && !(at & 1u << order) &&
	       at + (2u << order) <= end)
		order++;
	return order;
}

bool ho_block_has_key(const u64 *set, u32 at, u32 order)
{
	u32 twice = at & ~((2u << order) - 1);

	if (ho_block_end(set, at) == at || ho_block_key(set, at) != order)
		return false;
	/* It is not a part of one that begins before it. */
	return twice == at || order == HO_PIECE_ORDER ||
	       ho_block_end(set, twice) < twice + (2u << order);
}

/* The CRC of a page whose fields that are not under it are taken as 0. */
static u32 page_crc(const u8 *page, bool root)
{
	static const u8 zeros[sizeof(u32)];
	size_t end = offsetof(struct ho_table_head, crc);
	u32 crc = crc32c(~0u, page, end);

	crc = crc32c(crc, zeros, sizeof(zeros));
	page += end + sizeof(zeros);
	end = HO_TABLE_SIZE - end - sizeof(zeros);
	if (root) {
		size_t part = offsetof(struct ho_root, consumed) -
			      (HO_TABLE_SIZE - end);

		crc = crc32c(crc, page, part);
		crc = crc32c(crc, zeros, sizeof(zeros));
		page += part + sizeof(zeros);
		end -= part + sizeof(zeros);
	}

	return crc32c(crc, page, end);
}

void ho_table_start(void *page, enum ho_table_type type)
{
	struct ho_table_head *head = page;

	memset(page, 0, HO_TABLE_SIZE);
	head->magic = HO_TABLE_MAGIC;
	head->version = HO_FORMAT_VERSION;
	head->type = type;
	head->count = type == HO_TABLE_ROOT ? 1 : 0;
}

void ho_table_end(void *page)
{
	struct ho_table_head *head = page;

	head->crc = page_crc(page, head->type == HO_TABLE_ROOT);
}

/* How many records fit on a page; 0: no such type. */
static u32 page_room(enum ho_table_type type)
{
	switch (type) {
	case HO_TABLE_ROOT:
		return 1;
	case HO_TABLE_SESSIONS:
		return HO_SESSIONS_PER_PAGE;
	case HO_TABLE_ENTRIES:
		return HO_ENTRIES_PER_PAGE;
	case HO_TABLE_DIRECTORY:
		return HO_DIRECTORY_PER_PAGE;
	case HO_TABLE_EXTENTS:
		return HO_EXTENTS_PER_PAGE;
	case HO_TABLE_RUNS:
		return HO_RUNS_PER_PAGE;
	case HO_TABLE_BLOB:
		return HO_TABLE_ROOM;
	case HO_TABLE_TYPES:
		break;
	}
	return 0;
}

static u32 page_count(const void *page)
{
	const struct ho_table_head *head = page;

	return head->count;
}

/* Could be a table page's physical address, or is 0. */
static bool is_address(u64 address)
{
	return !(address & (HO_TABLE_SIZE - 1)) &&
	       address >> HO_PAGE_SHIFT < HO_MAX_PFN;
}

/* @address is of the first of @count things: there is one if there are any. */
static bool is_address_of(u64 address, u64 count)
{
	return is_address(address) && !address == !count;
}

int ho_table_check(const void *page, enum ho_table_type type)
{
	const struct ho_table_head *head = page;
	u32 room = page_room(type);

	if (head->magic != HO_TABLE_MAGIC)
		return -EBADMSG;
	if (head->version != HO_FORMAT_VERSION)
		return -EPROTO;
	if (!room || head->type != type || head->count > room)
		return -EBADMSG;
	if (head->crc != page_crc(page, type == HO_TABLE_ROOT))
		return -EBADMSG;
	if (head->reserved || !is_address(head->next))
		return -EBADMSG;
	/* So that a chain is never longer than it has records. */
	if (head->next && !head->count)
		return -EBADMSG;
	return 0;
}

/* Every listed page has a record, and none has more than @per_page. */
static bool is_reference(struct ho_table_reference table, u64 per_page)
{
	return !table.reserved &&
	       is_address_of(table.directory, table.records) &&
	       table.records >= table.pages &&
	       table.records <= table.pages * per_page;
}

int ho_root_check(const void *page)
{
	const struct ho_root *root = page;
	int error = ho_table_check(page, HO_TABLE_ROOT);

	if (error)
		return error;
	if (root->head.count != 1 || root->head.next ||
	    !is_address_of(root->sessions, root->nr_sessions) ||
	    !is_reference(root->joined, HO_RUNS_PER_PAGE))
		return -EBADMSG;
	return 0;
}

int ho_sessions_check(const void *page)
{
	const struct ho_session_record *record = ho_table_records(page);
	int error = ho_table_check(page, HO_TABLE_SESSIONS);
	u32 i;

	if (error)
		return error;
	for (i = 0; i < page_count(page); i++, record++) {
		if (!record->name[0] ||
		    !memchr(record->name, 0, HO_NAME_LENGTH) ||
		    !is_address_of(record->entries, record->nr_entries))
			return -EBADMSG;
	}
	return 0;
}

/*
 * Memory beyond the file's size is counted (a folio may reach over its end),
 * and a range may show one frame twice: the size says nothing of the pages.
 */
static bool is_entry(const struct ho_entry_record *entry)
{
	u64 runs = entry->runs.records;
	u64 pieces = entry->nr_pieces;
	u64 pages = entry->nr_pages;

	if (entry->kind < HANDOVER_KIND_SHMEM ||
	    entry->kind > HANDOVER_KIND_KERNEL ||
	    entry->flags &
		    ~(HO_ENTRY_READ_ONLY | HO_ENTRY_RETRIEVED | HO_ENTRY_DAMAGED))
		return false;
	/* Both are a loff_t. */
	if (entry->size >> 63 || entry->position >> 63)
		return false;

	if (!is_reference(entry->extents, HO_EXTENTS_PER_PAGE) ||
	    !is_reference(entry->runs, HO_RUNS_PER_PAGE))
		return false;
	/* An extent shows a page of the file, and memory that a run has. */
	if (entry->extents.records >
	    (entry->size + HO_TABLE_SIZE - 1) >> HO_PAGE_SHIFT)
		return false;
	if (entry->extents.records && !runs)
		return false;
	if (runs && entry->flags & (HO_ENTRY_RETRIEVED | HO_ENTRY_DAMAGED))
		return false;

	/* One piece a run at least, one page a piece at least, and no more. */
	if (pieces < runs || pages < pieces || pages > HO_MAX_PFN)
		return false;
	if (pieces > runs * HO_RUN_MAX_COUNT ||
	    pages > pieces << HO_MAX_ORDER)
		return false;

	if (!is_address_of(entry->blob, entry->blob_size) ||
	    entry->blob_size > HO_KERNEL_MAX_SIZE)
		return false;
	return !entry->blob || entry->kind == HANDOVER_KIND_KERNEL;
}

int ho_entries_check(const void *page)
{
	const struct ho_entry_record *record = ho_table_records(page);
	int error = ho_table_check(page, HO_TABLE_ENTRIES);
	u32 i;

	if (error)
		return error;
	for (i = 0; i < page_count(page); i++)
		if (!is_entry(record + i))
			return -EBADMSG;
	return 0;
}

int ho_directory_check(const void *page)
{
	const struct ho_directory_record *record = ho_table_records(page);
	int error = ho_table_check(page, HO_TABLE_DIRECTORY);
	u32 i;

	if (error)
		return error;
	for (i = 0; i < page_count(page); i++, record++) {
		if (!record->page || !is_address(record->page))
			return -EBADMSG;
		if (i && record->first <= record[-1].first)
			return -EBADMSG;
	}
	return 0;
}

int ho_extents_check(const void *page, u64 first, u64 limit)
{
	const struct ho_extent_record *records = ho_table_records(page);
	int error = ho_table_check(page, HO_TABLE_EXTENTS);
	u64 end = first;
	u32 i;

	if (error)
		return error;
	/* What a directory lists has a first record. */
	if (!page_count(page) || records->index != first)
		return -EBADMSG;
	for (i = 0; i < page_count(page); i++) {
		struct ho_extent extent = ho_extent_unpack(records[i]);

		if (extent.index < end || extent.index >= limit ||
		    extent.nr > limit - extent.index ||
		    extent.pfn + extent.nr > HO_MAX_PFN)
			return -EBADMSG;
		end = extent.index + extent.nr;
	}
	return 0;
}

static struct ho_run page_run(const void *page, u32 i)
{
	const char *records = ho_table_records(page);
	ho_run_record record;

	/* Unlike the records in packed structs, it would have to be aligned. */
	memcpy(&record, records + i * sizeof(record), sizeof(record));
	return ho_run_unpack(record);
}

int ho_runs_check(const void *page, u64 first)
{
	int error = ho_table_check(page, HO_TABLE_RUNS);
	u64 end = first;
	u32 i;

	if (error)
		return error;
	if (!page_count(page) || page_run(page, 0).pfn != first)
		return -EBADMSG;
	for (i = 0; i < page_count(page); i++) {
		struct ho_run run = page_run(page, i);

		if (run.order > HO_MAX_ORDER || run.pfn < end ||
		    run.pfn & ((1ull << run.order) - 1) ||
		    run.pfn + ho_run_pages(run) > HO_MAX_PFN)
			return -EBADMSG;
		end = run.pfn + ho_run_pages(run);
	}
	return 0;
}

/* Memory of @size bytes at a frame that there may be. */
static bool is_memory(u64 address, u64 size)
{
	return address && is_address(address) && size &&
	       size <= (1ull << HO_MAX_ORDER) << HO_PAGE_SHIFT;
}

/* One item; @data is where the next blob's has to be, and moves on. */
static bool is_item(const struct ho_item_record *item, u64 *data, u64 end)
{
	u64 pages = item->size >> HO_PAGE_SHIFT;

	if (item->reserved)
		return false;
	switch (item->type) {
	case HO_ITEM_BLOB:
		if (item->crc || item->order || item->flags ||
		    item->where != *data || item->size > end - *data)
			return false;
		*data = ho_kernel_align(*data + item->size);
		/* The last one's padding is there as well. */
		return *data <= end;
	case HO_ITEM_KMALLOC:
		return !item->crc && !item->order && !item->flags &&
		       is_memory(item->where, item->size);
	case HO_ITEM_VMALLOC:
		return item->where && is_address(item->where) && pages &&
		       !(item->size & (HO_TABLE_SIZE - 1)) &&
		       pages <= ~0u && item->order <= HO_MAX_ORDER &&
		       !(pages & ((1ull << item->order) - 1));
	default:
		return false;
	}
}

int ho_kernel_check(const void *description, u64 size)
{
	const struct ho_kernel_head *head = description;
	const struct ho_item_record *items = (const void *)(head + 1);
	u64 data;
	u32 i;

	if (size < sizeof(*head) || head->magic != HO_KERNEL_MAGIC)
		return -EBADMSG;
	if (head->version != HO_KERNEL_VERSION)
		return -EPROTO;
	if (head->reserved || head->size != size || size > HO_KERNEL_MAX_SIZE ||
	    head->count > (size - sizeof(*head)) / sizeof(*items))
		return -EBADMSG;
	data = sizeof(*head) + head->count * (u64)sizeof(*items);
	for (i = 0; i < head->count; i++)
		if ((i && items[i].id <= items[i - 1].id) ||
		    !is_item(&items[i], &data, size))
			return -EBADMSG;
	return data == size ? 0 : -EBADMSG;
}

long ho_directory_find(const struct ho_directory_record *records, u64 count,
		       u64 key)
{
	u64 low = 0, high = count;

	/* Those before @low are not above the key, those from @high on are. */
	while (low < high) {
		u64 middle = low + (high - low) / 2;

		if (records[middle].first <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return (long)low - 1;
}

bool ho_extents_find(const void *page, u64 index, struct ho_extent *found)
{
	const struct ho_extent_record *records = ho_table_records(page);
	u32 low = 0, high = page_count(page);

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (records[middle].index <= index)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	*found = ho_extent_unpack(records[low - 1]);
	return index - found->index < found->nr;
}

bool ho_runs_find(const void *page, u64 pfn, struct ho_run *found)
{
	u32 low = 0, high = page_count(page);

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (page_run(page, middle).pfn <= pfn)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	*found = page_run(page, low - 1);
	return pfn - found->pfn < ho_run_pages(*found);
}
