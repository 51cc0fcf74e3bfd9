// SPDX-License-Identifier: GPL-2.0
/*
 * Which frames a file or a range of memory has, and holding them in place:
 * pinned for long, so they leave CMA (where KHO's scratch lies), are brought
 * back from swap, and move no more.
 */
#include <linux/hugetlb.h>
#include <linux/maple_tree.h>
#include <linux/pagemap.h>
#include <linux/rcupdate_wait.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <uapi/linux/memfd.h>
#include <uapi/linux/fcntl.h>

#include "internal.h"

#define PIN_BATCH	512

/*
 * The same frame must not be preserved twice: either end would take the other's
 * mark away. Files say it by themselves (shmem's own flag, which LUO sets too),
 * hugetlb files and the frames of ranges are listed here.
 */
static DEFINE_XARRAY(hugetlb_files);
static DEFINE_MTREE(range_frames);
static DEFINE_MUTEX(range_lock);

static unsigned long hugetlb_key(const struct inode *inode)
{
	return (unsigned long)inode;
}

static bool frames_claimed(u64 pfn, u64 nr)
{
	unsigned long at = pfn;

	return !mtree_empty(&range_frames) &&
	       mt_find(&range_frames, &at, pfn + nr - 1);
}

/* *@taken: the folio is in the builder, which unpins it from now on. */
static int add_folio(struct ho_builder *builder, struct folio *folio, u64 limit, bool *taken)
{
	u64 index = folio->index, nr = folio_nr_pages(folio);
	int err;

	if (!folio_test_uptodate(folio)) {
		/* Allocated by fallocate() and not written so far. */
		folio_lock(folio);
		if (!folio_test_uptodate(folio)) {
			folio_zero_range(folio, 0, folio_size(folio));
			flush_dcache_folio(folio);
			folio_mark_uptodate(folio);
		}
		folio_unlock(folio);
	}
	err = ho_builder_frames(builder, folio_pfn(folio), 1, folio_order(folio));
	*taken = !err;
	if (err)
		return err;
	if (frames_claimed(folio_pfn(folio), nr))
		err = -EBUSY;
	/* A huge folio may reach beyond the end of the file. */
	if (!err && index < limit)
		err = ho_builder_extent(builder, index, folio_pfn(folio),
					min(nr, limit - index));
	return err;
}

static void unpin_frames(struct ho_builder *builder, bool pages)
{
	size_t i;
	u32 j;

	for (i = 0; i < builder->nr_frames; i++) {
		const struct ho_frame *frame = &builder->frames[i];

		for (j = 0; j < frame->nr; j++) {
			struct page *page = pfn_to_page(frame->pfn + ((u64)j << frame->order));

			if (pages)
				unpin_user_page(page);
			else
				unpin_folio(page_folio(page));
		}
		cond_resched();
	}
}

/* The map; after an error, @err or one of the builder's, all is unpinned again. */
static struct ho_map *end_pinning(struct ho_builder *builder, bool pages, int err)
{
	struct ho_map *map = err ? ERR_PTR(err) : ho_builder_end(builder);

	if (IS_ERR(map)) {
		unpin_frames(builder, pages);
		ho_builder_abort(builder);
	}
	return map;
}

/* Pins the file's pages [@start, @end), all of which it has. */
static int pin_segment(struct ho_builder *builder, struct file *file, pgoff_t start, pgoff_t end,
		       u64 limit, struct folio **folios)
{
	while (start < end) {
		loff_t last = min_t(loff_t, (loff_t)end << PAGE_SHIFT,
				    i_size_read(file_inode(file))) - 1;
		pgoff_t offset, next = start;
		bool taken = true;
		long n, i;
		int err = 0;

		if (last < (loff_t)start << PAGE_SHIFT)
			return 0; /* allocated beyond the end of the file */
		n = memfd_pin_folios(file, (loff_t)start << PAGE_SHIFT, last, folios, PIN_BATCH,
				     &offset);
		if (n < 0)
			return n;
		for (i = 0; i < n && !err; i++) {
			next = folios[i]->index + folio_nr_pages(folios[i]);
			err = add_folio(builder, folios[i], limit, &taken);
		}
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		if (err) {
			i -= !taken;
			unpin_folios(folios + i, n - i);
			return err;
		}
		if (next <= start)
			return -EIO;
		start = next;
		cond_resched();
	}
	return 0;
}

/* The first page from @at on, and before @limit, that is in swap; @limit: none. */
static pgoff_t next_in_swap(struct address_space *mapping, pgoff_t at, u64 limit)
{
	XA_STATE(xas, &mapping->i_pages, at);
	pgoff_t found = limit;
	void *entry;

	if (at >= limit || !shmem_mapping(mapping) || !READ_ONCE(SHMEM_I(mapping->host)->swapped))
		return limit;
	rcu_read_lock();
	xas_for_each(&xas, entry, limit - 1) {
		if (!xas_retry(&xas, entry) && xa_is_value(entry)) {
			found = xas.xa_index;
			break;
		}
		if (need_resched()) {
			xas_pause(&xas);
			cond_resched_rcu();
		}
	}
	rcu_read_unlock();
	return found;
}

/* Pages in swap have no folio that pin_present() could find. */
static int swap_in(struct address_space *mapping, u64 limit)
{
	pgoff_t at;

	/* A large entry may come back page by page. */
	for (at = next_in_swap(mapping, 0, limit); at < limit;
	     at = next_in_swap(mapping, at + 1, limit)) {
		struct folio *folio = shmem_read_folio_gfp(mapping, at, mapping_gfp_mask(mapping));

		if (IS_ERR(folio))
			return PTR_ERR(folio);
		folio_put(folio);
		cond_resched();
	}
	return 0;
}

static int pin_present(struct ho_builder *builder, struct file *file, u64 limit,
		       struct folio **folios)
{
	struct address_space *mapping = file->f_mapping;
	pgoff_t at = 0, start = 0, end = 0;
	struct {
		pgoff_t index;
		unsigned long nr;
	} found[FOLIO_BATCH_SIZE];
	struct folio_batch batch;
	unsigned int i, count;
	int err = 0;

	folio_batch_init(&batch);
	while (!err && filemap_get_folios(mapping, &at, limit ? limit - 1 : 0, &batch)) {
		count = folio_batch_count(&batch);
		for (i = 0; i < count; i++) {
			found[i].index = batch.folios[i]->index;
			found[i].nr = folio_nr_pages(batch.folios[i]);
		}
		/* Pinning moves folios out of CMA: none that has another reference. */
		folio_batch_release(&batch);
		for (i = 0; i < count && !err; i++) {
			/* Before the end: collapsed since the last batch, around what waits. */
			if (found[i].index > end) {
				err = pin_segment(builder, file, start, end, limit, folios);
				start = found[i].index;
			}
			end = max(end, found[i].index + found[i].nr);
		}
		cond_resched();
	}
	return err ?: pin_segment(builder, file, start, end, limit, folios);
}

/*
 * Pages that the file has, in memory or in swap: never too few, since a page on
 * its way between the two counts twice. What is pinned can neither be reclaimed
 * nor swapped nor (the file is frozen) truncated: more pages are new pages.
 */
static u64 file_pages(struct file *file)
{
	struct inode *inode = file_inode(file);
	u64 swapped = 0;

	if (shmem_file(file)) {
		swapped = READ_ONCE(SHMEM_I(inode)->swapped);
		smp_rmb(); /* swapped falls after nrpages has grown */
	}
	return swapped + READ_ONCE(inode->i_mapping->nrpages);
}

/* A map of what the file has now, each folio pinned once. */
static struct ho_map *pin_contents(struct file *file)
{
	u64 size = i_size_read(file_inode(file)), limit = DIV_ROUND_UP(size, PAGE_SIZE);
	struct address_space *mapping = file->f_mapping;
	struct ho_builder builder;
	struct folio **folios;
	struct ho_map *map;
	int err, tries = 0;

	folios = kvmalloc_array(PIN_BATCH, sizeof(*folios), GFP_KERNEL);
	if (!folios)
		return ERR_PTR(-ENOMEM);
again:
	err = ho_builder_init(&builder, size);
	map = ERR_PTR(err);
	if (err)
		goto free_folios;
	err = swap_in(mapping, limit);
	if (!err && limit)
		err = pin_present(&builder, file, limit, folios);
	/*
	 * Not all: written to meanwhile (the seal will see it), beyond the end of
	 * the file (of no interest), or out in swap again, which is to be had.
	 */
	if (!err && builder.pages != file_pages(file)) {
		bool swapped = next_in_swap(mapping, 0, limit) < limit;

		if (++tries < 5 && (swapped || tries < 2))
			err = -EAGAIN;
		else if (swapped)
			err = -ENOMEM;
	}
	map = end_pinning(&builder, false, err);
	if (map == ERR_PTR(-EAGAIN))
		goto again;
free_folios:
	kvfree(folios);
	return map;
}

static int unpin_run(struct ho_run run, void *data)
{
	u32 i;

	for (i = 0; i < run.nr; i++)
		unpin_folio(pfn_folio(run.pfn + ((u64)i << run.order)));
	return 0;
}

static int unpin_extent(struct ho_extent extent, void *data)
{
	u64 i;

	for (i = 0; i < extent.nr; i++)
		unpin_user_page(pfn_to_page(extent.pfn + i));
	return 0;
}

static int unclaim_run(struct ho_run run, void *data)
{
	mtree_erase(&range_frames, run.pfn);
	return 0;
}

static bool sealed_against_writing(struct file *file)
{
	struct inode *inode = file_inode(file);
	unsigned int seals = is_file_hugepages(file) ? HUGETLBFS_I(inode)->seals :
						       SHMEM_I(inode)->seals;

	return seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE);
}

/* Its size stays as it is, as with shmem_freeze(); holes can still be punched. */
static void hugetlb_freeze(struct ho_entry *entry, struct inode *inode, bool freeze)
{
	unsigned int *seals = &HUGETLBFS_I(inode)->seals;

	if (freeze) {
		entry->seals = *seals;
		*seals |= F_SEAL_SHRINK | F_SEAL_GROW;
	} else {
		*seals = entry->seals;
	}
}

static int freeze_file(struct ho_entry *entry, struct file *file)
{
	struct inode *inode = file_inode(file);
	int err;

	if (!is_file_hugepages(file)) {
		if (SHMEM_I(inode)->flags & SHMEM_F_MAPPING_FROZEN)
			return -EBUSY;
		shmem_freeze(inode, true);
	} else {
		err = xa_insert(&hugetlb_files, hugetlb_key(inode), inode, GFP_KERNEL);
		if (err)
			return err;
		hugetlb_freeze(entry, inode, true);
	}
	smp_mb(); /* before frames_claimed(); pairs with the one in ho_pin_range() */
	return 0;
}

static void thaw_file(struct ho_entry *entry, struct file *file)
{
	struct inode *inode = file_inode(file);

	if (!is_file_hugepages(file)) {
		shmem_freeze(inode, false);
	} else {
		hugetlb_freeze(entry, inode, false);
		xa_erase(&hugetlb_files, hugetlb_key(inode));
	}
}

static int pin_foreign(struct ho_entry *entry, struct file *file)
{
	struct inode *inode = file_inode(file);
	/* Before ours are put on it. */
	bool read_only = !(file->f_mode & FMODE_WRITE) || sealed_against_writing(file);
	struct ho_map *map;
	int err;

	inode_lock(inode);
	err = freeze_file(entry, file);
	if (err)
		goto unlock;
	map = pin_contents(file);
	if (IS_ERR(map)) {
		err = PTR_ERR(map);
		thaw_file(entry, file);
		goto unlock;
	}
	entry->kind = is_file_hugepages(file) ? HANDOVER_KIND_HUGETLB : HANDOVER_KIND_SHMEM;
	entry->read_only = read_only;
	entry->map = map;
	entry->file = get_file(file);
	entry->pinned = true;
unlock:
	inode_unlock(inode);
	return err;
}

static int pin_ours(struct ho_entry *entry, struct file *file)
{
	struct ho_map *map;

	if (!ho_file_mark(file, true))
		return -EBUSY;
	entry->stamp = ho_file_added(file);
	map = ho_file_snapshot(file);
	if (IS_ERR(map)) {
		ho_file_mark(file, false);
		return PTR_ERR(map);
	}
	entry->kind = HANDOVER_KIND_RETRIEVED;
	entry->read_only = !(file->f_mode & FMODE_WRITE);
	entry->map = map;
	entry->file = get_file(file);
	entry->pinned = true;
	return 0;
}

int ho_pin_file(struct ho_entry *entry, struct file *file)
{
	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (ho_file_is_ours(file))
		return pin_ours(entry, file);
	if (shmem_file(file) || is_file_hugepages(file))
		return pin_foreign(entry, file);
	return -EOPNOTSUPP;
}

/* Errors that GUP alone would all call EFAULT. */
static int check_range(u64 address, u64 length)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	u64 at = address;
	int err = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while (!err && at < address + length) {
		vma = find_vma(mm, at);
		if (!vma || vma->vm_start > at || !(vma->vm_flags & VM_WRITE)) {
			err = -EFAULT;
			break;
		}
		if (vma->vm_flags & (VM_IO | VM_PFNMAP))
			err = -EOPNOTSUPP;
		else if (vma->vm_file && vma->vm_flags & VM_SHARED &&
			 !shmem_mapping(vma->vm_file->f_mapping) &&
			 !is_file_hugepages(vma->vm_file))
			err = -EOPNOTSUPP; /* written back to a disk, or our own: by its fd */
		at = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return err;
}

/* True if the page is part of a file that is preserved as such. */
static bool page_in_preserved_file(struct page *page)
{
	struct folio *folio = page_folio(page);
	struct address_space *mapping;
	bool preserved = true;

	if (folio_test_anon(folio))
		return false;
	rcu_read_lock(); /* the file may be going; its inode is freed after us */
	mapping = READ_ONCE(folio->mapping);
	/* Without one it is a driver's, one of our own files', or truncated. */
	if (mapping && shmem_mapping(mapping))
		preserved = SHMEM_I(mapping->host)->flags & SHMEM_F_MAPPING_FROZEN;
	else if (mapping)
		preserved = xa_load(&hugetlb_files, hugetlb_key(mapping->host));
	rcu_read_unlock();
	return preserved;
}

static int claim_run(struct ho_run run, void *data)
{
	u64 *stop = data;
	int err = mtree_insert_range(&range_frames, run.pfn, run.pfn + ho_run_pages(run) - 1,
				     xa_mk_value(1), GFP_KERNEL);

	if (err)
		*stop = run.pfn;
	return err == -EEXIST ? -EBUSY : err;
}

static int unclaim_until(struct ho_run run, void *data)
{
	u64 *stop = data;

	if (run.pfn == *stop)
		return 1;
	return unclaim_run(run, NULL);
}

static int claim_range(struct ho_map *map)
{
	u64 stop = U64_MAX;
	int err;

	mutex_lock(&range_lock);
	err = ho_map_for_each_run(map, claim_run, &stop);
	if (err)
		ho_map_for_each_run(map, unclaim_until, &stop);
	mutex_unlock(&range_lock);
	return err;
}

static int file_preserved_extent(struct ho_extent extent, void *data)
{
	u64 i;

	for (i = 0; i < extent.nr; i++)
		if (page_in_preserved_file(pfn_to_page(extent.pfn + i)))
			return -EBUSY;
	return 0;
}

/* The builder takes over the pins of those pages that it takes; the others' are dropped. */
static int add_pages(struct ho_builder *builder, u64 index, struct page **pages, int nr)
{
	int err = 0, i;

	for (i = 0; i < nr && !err; i++) {
		err = ho_builder_frames(builder, page_to_pfn(pages[i]), 1, 0);
		if (err)
			break;
		err = ho_builder_extent(builder, index + i, page_to_pfn(pages[i]), 1);
	}
	if (err)
		unpin_user_pages(pages + i, nr - i);
	return err;
}

/* A map of this process's pages, each pinned. */
static struct ho_map *pin_pages(u64 address, u64 length)
{
	u64 pages = length >> PAGE_SHIFT, done = 0;
	struct ho_builder builder;
	struct ho_map *map;
	struct page **batch;
	int err, n;

	batch = kvmalloc_array(PIN_BATCH, sizeof(*batch), GFP_KERNEL);
	if (!batch)
		return ERR_PTR(-ENOMEM);
	err = ho_builder_init(&builder, length);
	map = ERR_PTR(err);
	if (err)
		goto free_batch;
	for (; !err && done < pages; done += n) {
		n = pin_user_pages_fast(address + (done << PAGE_SHIFT),
					min_t(u64, pages - done, PIN_BATCH),
					FOLL_WRITE | FOLL_LONGTERM, batch);
		if (n <= 0) {
			err = n ?: -EFAULT;
			break;
		}
		err = add_pages(&builder, done, batch, n);
		cond_resched();
	}
	map = end_pinning(&builder, true, err);
free_batch:
	kvfree(batch);
	return map;
}

int ho_pin_range(struct ho_entry *entry, u64 address, u64 length)
{
	struct ho_map *map;
	int err;

	err = check_range(address, length);
	if (err)
		return err;
	map = pin_pages(address, length);
	if (IS_ERR(map))
		return PTR_ERR(map);
	entry->kind = HANDOVER_KIND_RANGE;
	entry->map = map;
	entry->pinned = true;
	/* First claimed, then looked at: pin_foreign() goes the other way. */
	err = claim_range(map);
	if (!err) {
		entry->range_claimed = true;
		smp_mb(); /* pairs with the one in freeze_file() */
		err = ho_map_for_each_extent(map, file_preserved_extent, NULL);
	}
	if (err)
		ho_unpin(entry);
	return err;
}

void ho_unpin(struct ho_entry *entry)
{
	struct inode *inode;

	if (!entry->pinned)
		return;
	entry->pinned = false;
	switch (entry->kind) {
	case HANDOVER_KIND_SHMEM:
	case HANDOVER_KIND_HUGETLB:
		ho_map_for_each_run(entry->map, unpin_run, NULL);
		inode = file_inode(entry->file);
		inode_lock(inode);
		thaw_file(entry, entry->file);
		inode_unlock(inode);
		break;
	case HANDOVER_KIND_RANGE:
		if (entry->range_claimed)
			ho_map_for_each_run(entry->map, unclaim_run, NULL);
		entry->range_claimed = false;
		ho_map_for_each_extent(entry->map, unpin_extent, NULL);
		break;
	case HANDOVER_KIND_ALLOCATED:
	case HANDOVER_KIND_RETRIEVED:
		ho_file_mark(entry->file, false);
		break;
	}
	ho_map_put(entry->map);
	entry->map = NULL;
	if (entry->file)
		fput(entry->file);
	entry->file = NULL;
}

/* On a file of this module's; what it has stays without pins. */
static bool is_ours(const struct ho_entry *entry)
{
	return entry->kind == HANDOVER_KIND_ALLOCATED || entry->kind == HANDOVER_KIND_RETRIEVED;
}

/* Drops a map that was made for the entry by pin_contents() or ho_file_snapshot(). */
static void drop_map(const struct ho_entry *entry, struct ho_map *map)
{
	if (!is_ours(entry))
		ho_map_for_each_run(map, unpin_run, NULL);
	ho_map_put(map);
}

/* Puts @map, preserved, in the place of the entry's. */
static int replace_map(struct ho_entry *entry, struct ho_map *map)
{
	int err;

	ho_map_unpreserve(entry->map);
	err = ho_map_preserve(map);
	if (err) {
		/* KHO keeps its nodes when marks go, so this needs no memory. */
		WARN_ON_ONCE(ho_map_preserve(entry->map));
		return err;
	}
	swap(entry->map, map);
	drop_map(entry, map);
	return 0;
}

bool ho_pin_changed(const struct ho_entry *entry)
{
	switch (entry->kind) {
	case HANDOVER_KIND_SHMEM:
		return file_pages(entry->file) != entry->map->nr_pages;
	case HANDOVER_KIND_HUGETLB:
		/* A page may have been punched out and another one put in. */
		return true;
	case HANDOVER_KIND_ALLOCATED:
	case HANDOVER_KIND_RETRIEVED:
		return ho_file_added(entry->file) != entry->stamp;
	default:
		return false;
	}
}

static bool same_tables(const struct ho_map *a, const struct ho_map *b)
{
	return a->nr_pages == b->nr_pages && ho_part_equal(&a->extents, &b->extents) &&
	       ho_part_equal(&a->runs, &b->runs);
}

int ho_pin_update(struct ho_entry *entry)
{
	struct ho_map *map;
	u64 stamp = 0;
	int err = 0;

	if (!ho_pin_changed(entry))
		return 0;
	if (is_ours(entry)) {
		stamp = ho_file_added(entry->file);
		map = ho_file_snapshot(entry->file);
	} else {
		map = pin_contents(entry->file);
	}
	if (IS_ERR(map))
		return PTR_ERR(map);
	if (!same_tables(map, entry->map)) {
		err = replace_map(entry, map);
		if (!err) {
			entry->stamp = stamp;
			return 1;
		}
	}
	drop_map(entry, map);
	return err;
}

void ho_pin_exit(void)
{
	mtree_destroy(&range_frames);
	xa_destroy(&hugetlb_files);
}
