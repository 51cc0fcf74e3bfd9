/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a set (include/linux/handover.h) is made of: kapi.c, set.c and area.c.
 *
 * A set is the one entry of a session. While it is outgoing, its folios are
 * listed by frame; sealing makes a map of them, so that neighbours become one
 * key, and writes a description of the rest (format.h). While it is incoming,
 * its frames are the map's, each until somebody takes it.
 *
 * All of a set is under its session's lock. session->held says that a module
 * has the pointer: nobody else may end the session then.
 */
#ifndef HANDOVER_SET_H
#define HANDOVER_SET_H

#include <linux/bitfield.h>
#include <linux/handover.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/xarray.h>

#include "internal.h"

/* The token of a session's set. */
#define HO_SET_TOKEN	0

/* In @folios: an order, and whether the folio is that of a kmalloc'ed buffer. */
#define HO_FOLIO_ORDER		GENMASK(5, 0)
#define HO_FOLIO_KMALLOC	BIT(6)

struct ho_item {
	enum ho_item_type type;
	bool restored;			/* incoming: taken, or lost */
	bool checked;			/* incoming VMALLOC: its chunks are good */
	bool preserved;			/* incoming VMALLOC: while sealed */
	u64 size;
	void *data;			/* BLOB: kvmalloc'ed */
	u64 where;			/* KMALLOC: physical address */
	struct kho_vmalloc vmalloc;
	u32 crc;			/* VMALLOC: of the chunks */
};

struct handover_set {
	struct ho_session *session;
	struct ho_entry *entry;
	struct xarray folios;		/* outgoing: first pfn -> HO_FOLIO_* */
	struct xarray items;		/* id -> struct ho_item */
	u64 folio_pages;
	u64 vmalloc_pages;
	u64 description;		/* bytes */
};

/* set.c */
struct handover_set *ho_set_new(struct ho_session *session, struct ho_entry *entry);
struct ho_item *ho_item_new(enum ho_item_type type, u64 size);
void ho_item_free(struct ho_item *item);
/* In the description: its record, and its data. */
u64 ho_item_bytes(const struct ho_item *item);
int ho_set_add_item(struct handover_set *set, u64 id, struct ho_item *item);

/* area.c: an item's vmalloc area, as KHO has written it down. */
/* Whether @ptr is its first byte; outgoing. */
bool ho_area_begins_at(const struct ho_item *item, const void *ptr);
/* The CRC of its chunks; -ENODATA: they cannot be what KHO wrote. */
int ho_area_crc(const struct ho_item *item, u32 *crc);
/* Of the earlier kernel: nothing of it is used before this has passed. */
int ho_area_check(struct ho_item *item);
/* Incoming, and nobody has taken it: it goes on to the next kernel. */
int ho_area_preserve(struct ho_item *item);
void ho_area_unpreserve(struct ho_item *item);
/* Restores and frees an incoming one. Returns pages. */
u64 ho_area_free(struct ho_item *item);

#endif /* HANDOVER_SET_H */
