/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In-kernel interface of handover.ko: other modules preserve their own memory
 * across a kexec.
 */
#ifndef _LINUX_HANDOVER_H
#define _LINUX_HANDOVER_H

#include <linux/compiler_types.h>
#include <linux/mm.h>
#include <linux/types.h>

/**
 * DOC: Sets
 *
 * A set is memory with a name. Before the kexec a module makes one
 * (handover_set_create()), adds folios, vmalloc areas, kmalloc'ed buffers and
 * small blobs to it, and takes them out again as it likes. After the kexec the
 * module asks for the set by its name (handover_set_retrieve()), takes over
 * what it finds by physical address (folios) or by id (the rest), and ends it
 * (handover_set_finish()), which frees what it has not taken.
 *
 * User space sees a set as a session of that name with one token of kind
 * HANDOVER_KIND_KERNEL. It can neither retrieve its memory nor end it (EBUSY)
 * while a module holds it; one that no module asks for in the new kernel can be
 * finished or discarded, which frees all of it.
 *
 * Memory is preserved where it is: its contents may change up to the kexec, its
 * owner may not free it. What is added is written down when handoverd seals, or
 * by a reboot notifier that runs after all others. From then on until it is
 * unsealed nothing can be added, taken out or destroyed (-EBUSY): the next
 * kernel gets it as it is, and its owner must leave the memory alone, if need
 * be by leaking it.
 *
 * Whatever a module must find again by itself (the root of a tree, say) goes
 * into a blob. Ids are the module's own; each is used for one thing in a set.
 *
 * Context: every function may sleep. Calls on one set may come from any thread,
 * but none may run beside or after the one that ends the set. No function
 * takes a lock that a caller could hold, but session->lock and those below it
 * (kmod/internal.h); memory is allocated with GFP_KERNEL.
 *
 * A module that uses these functions holds handover.ko, and both must be there
 * in the next kernel.
 */

struct handover_set;

/* Before the kexec */
struct handover_set *handover_set_create(const char *name);
int __must_check handover_set_destroy(struct handover_set *set);
int __must_check handover_preserve_folio(struct handover_set *set, struct folio *folio);
int __must_check handover_unpreserve_folio(struct handover_set *set, struct folio *folio);
int __must_check handover_preserve_vmalloc(struct handover_set *set, u64 id, void *ptr);
int __must_check handover_preserve_kmalloc(struct handover_set *set, u64 id, void *ptr,
					   size_t size);
int __must_check handover_preserve_blob(struct handover_set *set, u64 id, const void *data,
					size_t size);
int __must_check handover_unpreserve(struct handover_set *set, u64 id);

/* After it */
struct handover_set *handover_set_retrieve(const char *name);
struct folio *handover_restore_folio(struct handover_set *set, phys_addr_t phys);
void *handover_restore_vmalloc(struct handover_set *set, u64 id);
void *handover_restore_kmalloc(struct handover_set *set, u64 id, size_t *size);
void *handover_restore_blob(struct handover_set *set, u64 id, size_t *size);
int __must_check handover_set_finish(struct handover_set *set);

/**
 * handover_free_restored - frees what handover_restore_kmalloc() gave out
 * @buffer:	the buffer, or NULL
 *
 * It is a folio by now, and no longer known to the slab allocator: kfree() will
 * not do.
 */
static inline void handover_free_restored(void *buffer)
{
	if (buffer)
		folio_put(virt_to_folio(buffer));
}

#endif /* _LINUX_HANDOVER_H */
