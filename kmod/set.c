// SPDX-License-Identifier: GPL-2.0
/* Sets, serialized and back: what seal.c calls for entries that are one. */
#include <linux/kexec_handover.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "set.h"

struct handover_set *ho_set_new(struct ho_session *session, struct ho_entry *entry)
{
	struct handover_set *set = kzalloc(sizeof(*set), GFP_KERNEL);

	if (!set)
		return NULL;
	set->session = session;
	set->entry = entry;
	xa_init(&set->folios);
	xa_init(&set->items);
	set->description = sizeof(struct ho_kernel_head);
	return set;
}

u64 ho_set_bytes(const struct handover_set *set)
{
	return (set->folio_pages + set->vmalloc_pages) << PAGE_SHIFT;
}

/* Items */

struct ho_item *ho_item_new(enum ho_item_type type, u64 size)
{
	struct ho_item *item = kzalloc(sizeof(*item), GFP_KERNEL);

	if (item) {
		item->type = type;
		item->size = size;
	}
	return item;
}

void ho_item_free(struct ho_item *item)
{
	kvfree(item->data);
	kfree(item);
}

u64 ho_item_bytes(const struct ho_item *item)
{
	return sizeof(struct ho_item_record) +
	       (item->type == HO_ITEM_BLOB ? ho_kernel_align(item->size) : 0);
}

int ho_set_add_item(struct handover_set *set, u64 id, struct ho_item *item)
{
	u64 bytes = set->description + ho_item_bytes(item);
	int err;

	if (bytes > HO_KERNEL_MAX_SIZE)
		return -E2BIG;
	err = xa_insert(&set->items, id, item, GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -EEXIST : err;
	set->description = bytes;
	return 0;
}

static void item_record(const struct ho_item *item, u64 id, struct ho_item_record *record)
{
	*record = (struct ho_item_record){
		.id = id,
		.size = item->size,
		.where = item->where,
		.type = item->type,
	};
	if (item->type == HO_ITEM_VMALLOC) {
		record->where = item->vmalloc.first.phys;
		record->crc = item->crc;
		record->order = item->vmalloc.order;
		record->flags = item->vmalloc.flags;
	}
}

static struct ho_item *item_adopt(const struct ho_item_record *record, const void *description)
{
	struct ho_item *item = ho_item_new(record->type, record->size);

	if (!item)
		return NULL;
	switch (item->type) {
	case HO_ITEM_BLOB:
		item->data = kvmemdup(description + record->where, record->size, GFP_KERNEL);
		if (!item->data) {
			ho_item_free(item);
			return NULL;
		}
		break;
	case HO_ITEM_VMALLOC:
		item->vmalloc.first.phys = record->where;
		item->vmalloc.total_pages = record->size >> PAGE_SHIFT;
		item->vmalloc.order = record->order;
		item->vmalloc.flags = record->flags;
		item->crc = record->crc;
		break;
	default:
		item->where = record->where;
	}
	return item;
}

/* Sealing */

/* What is not taken, in a serialized form that ends up in entry->blob. */
static int set_describe(struct handover_set *set)
{
	u64 count = 0, size = sizeof(struct ho_kernel_head), data;
	struct ho_item_record *record;
	struct ho_kernel_head *head;
	struct ho_item *item;
	unsigned long id;

	xa_for_each(&set->items, id, item) {
		if (item->restored)
			continue;
		count++;
		size += ho_item_bytes(item);
	}
	head = kvzalloc(size, GFP_KERNEL);
	if (!head)
		return -ENOMEM;
	head->magic = HO_KERNEL_MAGIC;
	head->version = HO_KERNEL_VERSION;
	head->count = count;
	head->size = size;
	record = (void *)(head + 1);
	data = sizeof(*head) + count * sizeof(*record);
	xa_for_each(&set->items, id, item) {
		if (item->restored)
			continue;
		item_record(item, id, record);
		if (item->type == HO_ITEM_BLOB) {
			record->where = data;
			memcpy((void *)head + data, item->data, item->size);
			data = ho_kernel_align(data + item->size);
		}
		record++;
	}
	WARN_ON_ONCE(ho_kernel_check(head, size));
	set->entry->blob = head;
	set->entry->blob_size = size;
	return 0;
}

static int build_folios(struct handover_set *set, struct ho_builder *builder)
{
	unsigned long pfn;
	void *value;
	int err;

	xa_for_each(&set->folios, pfn, value) {
		err = ho_builder_frames(builder, pfn, 1,
					FIELD_GET(HO_FOLIO_ORDER, xa_to_value(value)));
		if (err)
			return err;
	}
	return 0;
}

struct rest {
	struct ho_builder *builder;
	struct ho_map *map;
};

static int build_rest(struct ho_run run, void *data)
{
	struct rest *rest = data;
	int err;
	u32 i;

	for (i = 0; i < run.nr; i++) {
		u64 pfn = run.pfn + ((u64)i << run.order);

		if (xa_load(&rest->map->taken, pfn))
			continue;
		err = ho_builder_frames(rest->builder, pfn, 1, run.order);
		if (err)
			return err;
	}
	return 0;
}

/* The folios that the next kernel is to get. */
static struct ho_map *set_map(struct handover_set *set)
{
	struct ho_map *map = set->entry->map;
	struct ho_builder builder;
	int err;

	if (map && xa_empty(&map->taken)) {
		ho_map_get(map);
		return map;
	}
	err = ho_builder_init(&builder, 0);
	if (err)
		return ERR_PTR(err);
	if (map) {
		struct rest rest = { .builder = &builder, .map = map };

		err = ho_map_for_each_run(map, build_rest, &rest);
	} else {
		err = build_folios(set, &builder);
	}
	if (!err) {
		map = ho_builder_end(&builder);
		err = PTR_ERR_OR_ZERO(map);
	}
	if (err) {
		ho_builder_abort(&builder);
		return ERR_PTR(err);
	}
	return map;
}

int ho_set_seal(struct ho_entry *entry)
{
	struct handover_set *set = entry->set;
	struct ho_item *item;
	struct ho_map *map;
	unsigned long id;
	int err;

	map = set_map(set);
	if (IS_ERR(map))
		return PTR_ERR(map);
	err = ho_map_preserve(map);
	if (err) {
		ho_map_put(map);
		return err;
	}
	entry->sealed_map = map;
	/* Outgoing areas are preserved already, taken ones are not ours. */
	xa_for_each(&set->items, id, item) {
		if (!set->session->incoming || item->type != HO_ITEM_VMALLOC ||
		    ho_area_check(item))
			continue;
		err = ho_area_preserve(item);
		if (err)
			return err;
	}
	return set_describe(set);
}

/* Also after an error of ho_set_seal(), and if there was none. */
void ho_set_unseal(struct ho_entry *entry)
{
	struct ho_item *item;
	unsigned long id;

	kvfree(entry->blob);
	entry->blob = NULL;
	entry->blob_size = 0;
	if (entry->set->session->incoming)
		xa_for_each(&entry->set->items, id, item)
			ho_area_unpreserve(item);
	if (!entry->sealed_map)
		return;
	ho_map_unpreserve(entry->sealed_map);
	ho_map_put(entry->sealed_map);
	entry->sealed_map = NULL;
}

/* The set in an entry of the earlier kernel, out of its blob. */
int ho_set_adopt(struct ho_session *session, struct ho_entry *entry)
{
	const struct ho_kernel_head *head = entry->blob;
	const struct ho_item_record *records;
	u32 i;
	int err;

	if (!entry->map)
		return -ENODATA;
	/* One that was found damaged has none: an empty set is left of it. */
	err = head ? ho_kernel_check(head, entry->blob_size) :
	      entry->map->damaged ? 0 : -ENODATA;
	if (err)
		return err;
	entry->set = ho_set_new(session, entry);
	if (!entry->set)
		return -ENOMEM;
	entry->set->folio_pages = entry->map->nr_pages;
	if (!head)
		return 0;
	records = (const void *)(head + 1);
	for (i = 0; i < head->count; i++) {
		struct ho_item *item = item_adopt(&records[i], head);

		if (!item)
			return -ENOMEM;
		err = ho_set_add_item(entry->set, records[i].id, item);
		if (err) {
			ho_item_free(item);
			return err;
		}
		if (item->type == HO_ITEM_VMALLOC)
			entry->set->vmalloc_pages += item->size >> PAGE_SHIFT;
	}
	kvfree(entry->blob);
	entry->blob = NULL;
	entry->blob_size = 0;
	return 0;
}

u64 ho_set_free_memory(struct handover_set *set)
{
	struct ho_item *item;
	unsigned long id;
	u64 pages = 0;

	xa_for_each(&set->items, id, item)
		if (item->type == HO_ITEM_VMALLOC && !item->restored)
			pages += ho_area_free(item);
	atomic64_add(pages, &ho_counters.freed_pages);
	return pages;
}

void ho_set_free(struct handover_set *set)
{
	struct ho_item *item;
	unsigned long id;

	xa_for_each(&set->items, id, item) {
		if (item->type == HO_ITEM_VMALLOC && !set->session->incoming)
			kho_unpreserve_vmalloc(&item->vmalloc);
		ho_item_free(item);
		cond_resched();
	}
	xa_destroy(&set->items);
	xa_destroy(&set->folios);
	kfree(set);
}
