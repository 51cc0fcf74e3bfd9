// SPDX-License-Identifier: GPL-2.0
/*
 * The interface for other modules; include/linux/handover.h says what it is
 * about, set.h what is behind it.
 */
#include <linux/export.h>
#include <linux/kexec_handover.h>
#include <linux/ktime.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "set.h"
#include "trace.h"

/* Locks the set, which has to be one of the earlier kernel's or one for the next. */
static int set_lock(struct handover_set *set, bool incoming)
{
	int err = 0;

	mutex_lock(&set->session->lock);
	if (WARN_ON_ONCE(set->session->incoming != incoming))
		err = -EINVAL;
	else if (set->session->sealed)
		err = -EBUSY;
	if (err)
		mutex_unlock(&set->session->lock);
	return err;
}

static void set_unlock(struct handover_set *set)
{
	mutex_unlock(&set->session->lock);
}

/* Under the lock: the session shows what the set holds. */
static void set_grew(struct handover_set *set, u64 *pages, s64 by)
{
	*pages += by;
	set->session->bytes += by << PAGE_SHIFT;
	if (by > 0)
		atomic64_add(by, &ho_counters.preserved_pages);
}

/**
 * handover_set_create - makes a set that the next kernel is to get
 * @name:	1 to 63 bytes; user space sees it as a session's name
 *
 * The set is the caller's until handover_set_destroy(); it holds handover.ko.
 *
 * Context: may sleep.
 * Return: the set, or an ERR_PTR():
 *  -EINVAL: the name is empty or too long;
 *  -EOPNOTSUPP: KHO is off;
 *  -EEXIST: a session has this name, maybe one of the earlier kernel;
 *  -EBUSY: sealed;
 *  -ENOMEM.
 */
struct handover_set *handover_set_create(const char *name)
{
	struct ho_session *session;
	struct ho_entry *entry;
	int err;

	err = ho_check_name((const u8 *)name);
	if (err)
		return ERR_PTR(err);
	if (!kho_is_enabled())
		return ERR_PTR(-EOPNOTSUPP);
	session = ho_session_new(name, false);
	entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	if (session && entry)
		entry->set = ho_set_new(session, entry);
	if (!session || !entry || !entry->set) {
		err = -ENOMEM;
		goto free;
	}
	entry->token = HO_SET_TOKEN;
	entry->kind = HANDOVER_KIND_KERNEL;
	session->held = true;
	mutex_lock(&ho_sessions_lock);
	if (ho_sealed)
		err = -EBUSY;
	else if (ho_session_find(name))
		err = -EEXIST;
	mutex_lock(&session->lock);
	if (!err)
		err = ho_session_add(session, entry);
	mutex_unlock(&session->lock);
	if (!err)
		ho_session_publish(session);
	mutex_unlock(&ho_sessions_lock);
	if (err)
		goto free;
	ho_session_put(session);
	return entry->set;
free:
	if (entry)
		ho_entry_free(entry);
	if (session)
		ho_session_put(session);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(handover_set_create);

/**
 * handover_set_destroy - drops a set and all that it preserves
 * @set:	a set that handover_set_create() made
 *
 * The memory stays the caller's and may be freed from now on; @set is gone.
 *
 * Context: may sleep.
 * Return: 0; or -EBUSY: sealed. The set is still there then, and its memory
 * must neither be freed nor reused: a kexec may be under way.
 */
int handover_set_destroy(struct handover_set *set)
{
	u64 freed;

	if (WARN_ON_ONCE(set->session->incoming))
		return -EINVAL;
	return ho_session_end(set->session, HO_END_DISCARD | HO_END_BY_HOLDER, &freed);
}
EXPORT_SYMBOL_GPL(handover_set_destroy);

/* Frames that nobody but the caller uses, where they can stay. */
static int check_folio(const struct handover_set *set, struct folio *folio)
{
	const char *what = NULL;

	/*
	 * Whether a folio lies in CMA, where KHO's scratch is, cannot be asked by
	 * a module; but there is none but of movable memory, unless pinned.
	 */
	if (folio_is_zone_movable(folio) || folio_is_zone_device(folio))
		what = "in a zone that cannot be preserved";
	else if (is_zero_folio(folio) || folio_test_slab(folio))
		what = "not its own";
	else if ((folio_test_lru(folio) || folio_mapping(folio) || folio_test_anon(folio)) &&
		 !folio_maybe_dma_pinned(folio))
		what = "movable and not pinned";
	else if (folio_order(folio) > HO_MAX_ORDER)
		what = "too large";
	if (!what)
		return 0;
	pr_notice_ratelimited("session %s: a folio of order %u is %s\n", set->session->name,
			      folio_order(folio), what);
	return -EINVAL;
}

static int set_add_folio(struct handover_set *set, u64 pfn, u64 value)
{
	int err = xa_insert(&set->folios, pfn, xa_mk_value(value), GFP_KERNEL);

	if (!err)
		set_grew(set, &set->folio_pages, 1LL << FIELD_GET(HO_FOLIO_ORDER, value));
	return err;
}

static void set_remove_folio(struct handover_set *set, u64 pfn, u64 value)
{
	xa_erase(&set->folios, pfn);
	set_grew(set, &set->folio_pages, -(1LL << FIELD_GET(HO_FOLIO_ORDER, value)));
}

/**
 * handover_preserve_folio - adds a folio to a set
 * @set:	an outgoing set
 * @folio:	of any order, order 0 included
 *
 * The caller keeps its reference until the folio is unpreserved, and its order
 * must not change. In the next kernel it is found by its physical address,
 * PFN_PHYS(folio_pfn(folio)). It must not be preserved by anybody else: that is
 * only noticed within one set.
 *
 * Context: may sleep.
 * Return: 0, or
 *  -EINVAL: it cannot stay where it is (it is in a movable zone, or it is a page
 *  of a file or of a process that is not pinned with FOLL_LONGTERM), or is not
 *  the caller's own (slab, zero page); the kernel log tells which;
 *  -EBUSY: it is in the set, or sealed;
 *  -ENOMEM.
 */
int handover_preserve_folio(struct handover_set *set, struct folio *folio)
{
	int err = check_folio(set, folio);

	if (!err)
		err = set_lock(set, false);
	if (err)
		return err;
	err = set_add_folio(set, folio_pfn(folio),
			    FIELD_PREP(HO_FOLIO_ORDER, folio_order(folio)));
	set_unlock(set);
	return err;
}
EXPORT_SYMBOL_GPL(handover_preserve_folio);

/**
 * handover_unpreserve_folio - takes a folio out of a set
 * @set:	an outgoing set
 * @folio:	as given to handover_preserve_folio()
 *
 * Context: may sleep.
 * Return: 0; -ENOENT: it is not in the set; -EBUSY: sealed, and the caller must
 * leave the folio alone.
 */
int handover_unpreserve_folio(struct handover_set *set, struct folio *folio)
{
	u64 value = FIELD_PREP(HO_FOLIO_ORDER, folio_order(folio));
	int err = set_lock(set, false);

	if (err)
		return err;
	if (xa_load(&set->folios, folio_pfn(folio)) == xa_mk_value(value))
		set_remove_folio(set, folio_pfn(folio), value);
	else
		err = -ENOENT;
	set_unlock(set);
	return err;
}
EXPORT_SYMBOL_GPL(handover_unpreserve_folio);

/**
 * handover_preserve_vmalloc - adds a vmalloc area to a set
 * @set:	an outgoing set
 * @id:		any number that the set does not have yet
 * @ptr:	what vmalloc() or vmalloc_huge() returned
 *
 * The caller does not free the area until it is unpreserved.
 *
 * Context: may sleep.
 * Return: 0, or
 *  -EINVAL: @ptr is not the start of a vmalloc area;
 *  -EOPNOTSUPP: an area of another kind (vmap(), vmalloc_user(), ioremap());
 *  -EEXIST: the set has the id; -E2BIG: it has too many items (see
 *  handover_preserve_blob()); -EBUSY: sealed; -ENOMEM.
 */
int handover_preserve_vmalloc(struct handover_set *set, u64 id, void *ptr)
{
	struct ho_item *item;
	int err;

	if (!is_vmalloc_addr(ptr) || !PAGE_ALIGNED(ptr))
		return -EINVAL;
	item = ho_item_new(HO_ITEM_VMALLOC, 0);
	if (!item)
		return -ENOMEM;
	err = kho_preserve_vmalloc(ptr, &item->vmalloc);
	if (err) {
		ho_item_free(item);
		return err;
	}
	item->size = (u64)item->vmalloc.total_pages << PAGE_SHIFT;
	err = ho_area_begins_at(item, ptr) ? ho_area_crc(item, &item->crc) : -EINVAL;
	if (!err)
		err = set_lock(set, false);
	if (!err) {
		err = ho_set_add_item(set, id, item);
		if (!err)
			set_grew(set, &set->vmalloc_pages, item->vmalloc.total_pages);
		set_unlock(set);
	}
	if (err) {
		kho_unpreserve_vmalloc(&item->vmalloc);
		ho_item_free(item);
	}
	return err;
}
EXPORT_SYMBOL_GPL(handover_preserve_vmalloc);

/* The buffer's order if it has whole pages to itself; else a negative errno. */
static int kmalloc_order(const void *ptr, size_t size)
{
	const struct folio *folio;
	unsigned int order;

	if (!size || is_vmalloc_addr(ptr) || !virt_addr_valid(ptr) || !PAGE_ALIGNED(ptr))
		return -EINVAL;
	order = get_order(size);
	folio = virt_to_folio(ptr);
	if (folio_test_large_kmalloc(folio))
		return ptr == folio_address(folio) && order <= folio_order(folio) ?
			       folio_order(folio) : -EINVAL;
	/*
	 * Of a slab, but a power of two that is a page or more: it lies at a
	 * multiple of its size (see kmalloc()) and shares its pages with nobody.
	 */
	if (folio_test_slab(folio) && size == PAGE_SIZE << order &&
	    IS_ALIGNED((unsigned long)ptr, size) && ksize(ptr) >= size)
		return order;
	return -EINVAL;
}

/**
 * handover_preserve_kmalloc - adds a kmalloc'ed buffer to a set
 * @set:	an outgoing set
 * @id:		any number that the set does not have yet
 * @ptr:	what kmalloc() returned
 * @size:	bytes that the next kernel is to see, not above the buffer's
 *
 * For buffers that share their pages with nobody: those that kmalloc() takes
 * from the page allocator (above KMALLOC_MAX_CACHE_SIZE, which is two pages),
 * of any size, and smaller ones of a page or two exactly. The caller does not
 * free the buffer until it is unpreserved.
 *
 * Context: may sleep.
 * Return: 0, or
 *  -EINVAL: not such a buffer (a smaller one: see handover_preserve_blob());
 *  -EEXIST: the set has the id; -E2BIG: it has too many items;
 *  -EBUSY: the buffer is in the set, or sealed; -ENOMEM.
 */
int handover_preserve_kmalloc(struct handover_set *set, u64 id, void *ptr, size_t size)
{
	struct ho_item *item;
	int order, err;
	u64 value, pfn;

	order = kmalloc_order(ptr, size);
	if (order < 0) {
		pr_notice_ratelimited("session %s: a buffer of %zu bytes does not have its pages to itself\n",
				      set->session->name, size);
		return order;
	}
	item = ho_item_new(HO_ITEM_KMALLOC, size);
	if (!item)
		return -ENOMEM;
	item->where = virt_to_phys(ptr);
	value = HO_FOLIO_KMALLOC | FIELD_PREP(HO_FOLIO_ORDER, order);
	pfn = PHYS_PFN(item->where);
	err = set_lock(set, false);
	if (err)
		goto free;
	err = set_add_folio(set, pfn, value);
	if (!err) {
		err = ho_set_add_item(set, id, item);
		if (err)
			set_remove_folio(set, pfn, value);
	}
	set_unlock(set);
free:
	if (err)
		ho_item_free(item);
	return err;
}
EXPORT_SYMBOL_GPL(handover_preserve_kmalloc);

/**
 * handover_preserve_blob - adds a few bytes to a set
 * @set:	an outgoing set
 * @id:		any number that the set does not have yet
 * @data:	the bytes; they are copied
 * @size:	how many; may be 0
 *
 * To change it, handover_unpreserve() it and preserve it anew. All blobs of a
 * set, with 40 bytes for each item, have up to 16 MiB in all.
 *
 * Context: may sleep.
 * Return: 0; -EEXIST: the set has the id; -E2BIG: more than 16 MiB in all;
 * -EBUSY: sealed; -ENOMEM.
 */
int handover_preserve_blob(struct handover_set *set, u64 id, const void *data, size_t size)
{
	struct ho_item *item;
	int err;

	if (size > HO_KERNEL_MAX_SIZE)
		return -E2BIG;
	item = ho_item_new(HO_ITEM_BLOB, size);
	if (!item)
		return -ENOMEM;
	item->data = kvmemdup(data, size, GFP_KERNEL);
	if (!item->data) {
		ho_item_free(item);
		return -ENOMEM;
	}
	err = set_lock(set, false);
	if (!err) {
		err = ho_set_add_item(set, id, item);
		set_unlock(set);
	}
	if (err)
		ho_item_free(item);
	return err;
}
EXPORT_SYMBOL_GPL(handover_preserve_blob);

/**
 * handover_unpreserve - takes a vmalloc area, a buffer or a blob out of a set
 * @set:	an outgoing set
 * @id:		as given when it was preserved
 *
 * Context: may sleep.
 * Return: 0; -ENOENT: the set does not have the id; -EBUSY: sealed, and the
 * caller must leave the memory alone.
 */
int handover_unpreserve(struct handover_set *set, u64 id)
{
	int err = set_lock(set, false);
	struct ho_item *item;

	if (err)
		return err;
	item = xa_erase(&set->items, id);
	if (item) {
		u64 pfn = PHYS_PFN(item->where);

		set->description -= ho_item_bytes(item);
		if (item->type == HO_ITEM_VMALLOC) {
			set_grew(set, &set->vmalloc_pages, -(s64)(item->size >> PAGE_SHIFT));
			kho_unpreserve_vmalloc(&item->vmalloc);
		} else if (item->type == HO_ITEM_KMALLOC) {
			set_remove_folio(set, pfn, xa_to_value(xa_load(&set->folios, pfn)));
		}
		ho_item_free(item);
	} else {
		err = -ENOENT;
	}
	set_unlock(set);
	return err;
}
EXPORT_SYMBOL_GPL(handover_unpreserve);

/* The set of a session, if it is one. */
static struct handover_set *session_set(struct ho_session *session)
{
	struct ho_entry *entry = xa_load(&session->entries, HO_SET_TOKEN);

	return entry ? entry->set : NULL;
}

static struct handover_set *set_claim(struct ho_session *session)
{
	struct handover_set *set = session_set(session);
	int err;

	lockdep_assert_held(&session->lock);
	if (!session->incoming || !set)
		return ERR_PTR(-EINVAL);
	if (session->held || session->sealed)
		return ERR_PTR(-EBUSY);
	err = ho_map_open(set->entry->map);
	if (err)
		return ERR_PTR(err);
	session->held = true;
	return set;
}

/**
 * handover_set_retrieve - finds a set of the earlier kernel
 * @name:	as given to handover_set_create() there
 *
 * The set is the caller's alone until handover_set_finish(); it holds
 * handover.ko. Nothing of its memory is restored so far, so this takes the same
 * time for any set.
 *
 * Context: may sleep.
 * Return: the set, or an ERR_PTR():
 *  -ENOENT: the earlier kernel left none of this name;
 *  -EINVAL: it is a session of user space, or not of the earlier kernel;
 *  -EBUSY: somebody else holds it, or sealed;
 *  -ENODATA: its tables are damaged; what is left of it is lost;
 *  -ENOMEM.
 */
struct handover_set *handover_set_retrieve(const char *name)
{
	struct handover_set *set = ERR_PTR(-ENOENT);
	u64 start = ktime_get_ns();
	struct ho_session *session;

	mutex_lock(&ho_sessions_lock);
	session = ho_session_find(name);
	if (session) {
		mutex_lock(&session->lock);
		set = set_claim(session);
		mutex_unlock(&session->lock);
		trace_handover_retrieve(session->name, HO_SET_TOKEN, ktime_get_ns() - start,
					PTR_ERR_OR_ZERO(set));
	}
	mutex_unlock(&ho_sessions_lock);
	return set;
}
EXPORT_SYMBOL_GPL(handover_set_retrieve);

/**
 * handover_restore_folio - takes over a folio from the earlier kernel
 * @set:	an incoming set
 * @phys:	physical address of the folio's first byte; it may come from data
 *		that is not trusted
 *
 * Context: may sleep.
 * Return: the folio, of the order that it had, with one reference that is the
 * caller's (folio_put() frees it); no mapping, flags or private data of before
 * are left. Or an ERR_PTR():
 *  -ENOENT: the set has no folio there;
 *  -EALREADY: taken before;
 *  -ENODATA: damaged;
 *  -EBUSY: sealed; -ENOMEM.
 */
struct folio *handover_restore_folio(struct handover_set *set, phys_addr_t phys)
{
	struct folio *folio;
	int err;

	if (!PAGE_ALIGNED(phys))
		return ERR_PTR(-ENOENT);
	err = set_lock(set, true);
	if (err)
		return ERR_PTR(err);
	folio = ho_map_take(set->entry->map, PHYS_PFN(phys));
	set_unlock(set);
	return folio;
}
EXPORT_SYMBOL_GPL(handover_restore_folio);

/* The item, if it can be taken; under the lock. */
static struct ho_item *find_item(struct handover_set *set, u64 id, enum ho_item_type type)
{
	struct ho_item *item = xa_load(&set->items, id);

	if (!item || item->type != type)
		return ERR_PTR(-ENOENT);
	return item->restored ? ERR_PTR(-EALREADY) : item;
}

static void *area_take(struct handover_set *set, struct ho_item *item)
{
	void *area;
	int err = ho_area_check(item);

	if (err)
		return ERR_PTR(err);
	area = kho_restore_vmalloc(&item->vmalloc);
	/* It has taken some of the pages at least: there is no second try. */
	item->restored = true;
	if (!area)
		pr_err("session %s: a vmalloc area of %llu bytes cannot be restored and is lost\n",
		       set->session->name, item->size);
	return area ?: ERR_PTR(-ENOMEM);
}

/**
 * handover_restore_vmalloc - takes over a vmalloc area from the earlier kernel
 * @set:	an incoming set
 * @id:		as given to handover_preserve_vmalloc()
 *
 * Context: may sleep.
 * Return: the area, with the contents, size and kind of before, at another
 * address; it is the caller's (vfree() frees it). Or an ERR_PTR():
 *  -ENOENT: the set has no vmalloc area of this id;
 *  -EALREADY: taken before;
 *  -ENODATA: damaged;
 *  -ENOMEM: and the area is lost, since KHO cannot restore a page twice;
 *  -EBUSY: sealed.
 */
void *handover_restore_vmalloc(struct handover_set *set, u64 id)
{
	struct ho_item *item;
	void *area;
	int err;

	err = set_lock(set, true);
	if (err)
		return ERR_PTR(err);
	item = find_item(set, id, HO_ITEM_VMALLOC);
	area = IS_ERR(item) ? item : area_take(set, item);
	set_unlock(set);
	return area;
}
EXPORT_SYMBOL_GPL(handover_restore_vmalloc);

/**
 * handover_restore_kmalloc - takes over a buffer from the earlier kernel
 * @set:	an incoming set
 * @id:		as given to handover_preserve_kmalloc()
 * @size:	out, if not NULL: the size given there
 *
 * Context: may sleep.
 * Return: the buffer, at the same physical address, the caller's from now on.
 * It is a folio and not known to the slab allocator: handover_free_restored(),
 * folio_put(virt_to_folio()) or free_pages() with get_order() of the size free
 * it; kfree() and free_pages_exact() must not be used. Or an ERR_PTR():
 *  -ENOENT: the set has no buffer of this id;
 *  -EALREADY: taken before;
 *  -ENODATA: damaged;
 *  -EBUSY: sealed; -ENOMEM.
 */
void *handover_restore_kmalloc(struct handover_set *set, u64 id, size_t *size)
{
	void *buffer = NULL;
	struct folio *folio;
	struct ho_item *item;
	int err;

	err = set_lock(set, true);
	if (err)
		return ERR_PTR(err);
	item = find_item(set, id, HO_ITEM_KMALLOC);
	err = PTR_ERR_OR_ZERO(item);
	if (!err) {
		folio = ho_map_take(set->entry->map, PHYS_PFN(item->where));
		err = PTR_ERR_OR_ZERO(folio);
	}
	if (!err && folio_size(folio) < item->size) {
		/* Never so if both tables are of one writer. The set keeps it. */
		ho_map_give_back(set->entry->map, folio);
		err = -ENODATA;
	}
	if (!err) {
		item->restored = true;
		buffer = folio_address(folio);
		if (size)
			*size = item->size;
	}
	set_unlock(set);
	return err ? ERR_PTR(err) : buffer;
}
EXPORT_SYMBOL_GPL(handover_restore_kmalloc);

/**
 * handover_restore_blob - copies a blob of the earlier kernel
 * @set:	an incoming set
 * @id:		as given to handover_preserve_blob()
 * @size:	out, if not NULL: its size
 *
 * Context: may sleep.
 * Return: a copy, the caller's (kvfree() frees it); any number of times. Or an
 * ERR_PTR(): -ENOENT: the set has no blob of this id; -EBUSY: sealed; -ENOMEM.
 */
void *handover_restore_blob(struct handover_set *set, u64 id, size_t *size)
{
	struct ho_item *item;
	void *copy;
	int err;

	err = set_lock(set, true);
	if (err)
		return ERR_PTR(err);
	item = find_item(set, id, HO_ITEM_BLOB);
	if (IS_ERR(item)) {
		copy = item;
	} else {
		copy = kvmemdup(item->data, item->size, GFP_KERNEL) ?: ERR_PTR(-ENOMEM);
		if (!IS_ERR(copy) && size)
			*size = item->size;
	}
	set_unlock(set);
	return copy;
}
EXPORT_SYMBOL_GPL(handover_restore_blob);

/**
 * handover_set_finish - ends a set of the earlier kernel
 * @set:	an incoming set
 *
 * What was taken stays the caller's, everything else is freed; @set is gone and
 * its name is free.
 *
 * Context: may sleep; takes time with the memory that is left.
 * Return: 0; or -EBUSY: sealed. The set is still there then, and what is left
 * of it goes on to the next kernel, without what was taken.
 */
int handover_set_finish(struct handover_set *set)
{
	u64 freed;

	if (WARN_ON_ONCE(!set->session->incoming))
		return -EINVAL;
	return ho_session_end(set->session, HO_END_DISCARD | HO_END_BY_HOLDER, &freed);
}
EXPORT_SYMBOL_GPL(handover_set_finish);
