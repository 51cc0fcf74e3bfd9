// SPDX-License-Identifier: GPL-2.0
/*
 * Files on preserved memory: what retrieve and allocate give out. They can be
 * mapped, read, written, pinned for long and preserved again. Their size is
 * fixed; holes stay holes until they are written to.
 *
 * The pages are ours alone: not on the LRU, so never moved or swapped, and
 * without a mapping; they are freed with the file, or when the last pin goes.
 */
#include <linux/file.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "internal.h"

#define HO_FS_MAGIC	0x484f5652 /* "HOVR" */
/* Pages mapped by one fault, at most. */
#define HO_FAULT_AROUND	64

struct ho_file {
	struct ho_map *map;
	struct xarray added;		/* file page -> page, in what were holes */
	atomic_long_t nr_added;
	bool read_only;
	bool preserved;
	struct mutex lock;		/* preserved */
};

/* Mounted as long as there is a file; each file's path holds it. */
static struct vfsmount *ho_mount;
static int ho_mount_count;

/* A hole gets a page; there may be another thread that gives it one. */
static struct page *add_page(struct ho_file *file, u64 index)
{
	struct page *page, *old;

	page = alloc_page(GFP_HIGHUSER | __GFP_ZERO | __GFP_NOWARN | __GFP_ACCOUNT |
			  __GFP_RETRY_MAYFAIL);
	if (!page)
		return ERR_PTR(-ENOMEM);
	get_page(page);
	xa_lock(&file->added);
	old = __xa_cmpxchg(&file->added, index, NULL, page, GFP_KERNEL);
	if (!old)
		atomic_long_inc(&file->nr_added);
	else if (!xa_is_err(old))
		get_page(old);
	xa_unlock(&file->added);
	if (!old)
		return page;
	put_page(page);
	put_page(page);
	return xa_is_err(old) ? ERR_PTR(xa_err(old)) : old;
}

/*
 * The page for @index with a reference: NULL if it is in a hole and @create is
 * false. Pages that were added stay as long as the file.
 */
static struct page *file_page(struct ho_file *file, u64 index, bool create)
{
	struct page *page = ho_map_page(file->map, index);

	if (page)
		return page;
	page = xa_load(&file->added, index);
	if (page) {
		get_page(page);
		return page;
	}
	return create ? add_page(file, index) : NULL;
}

/*
 * Maps what comes after the page as well, restored on the way: the kernel does
 * the same for files in the page cache (filemap_map_pages()).
 * Returns false if it is to be done page by page.
 */
static bool fault_around(struct vm_fault *vmf, struct ho_file *file)
{
	struct vm_area_struct *vma = vmf->vma;
	struct page *pages[HO_FAULT_AROUND];
	unsigned long nr = HO_FAULT_AROUND - vmf->pgoff % HO_FAULT_AROUND, i;

	/* A private mapping's copy needs the page itself. */
	if (!(vma->vm_flags & VM_SHARED))
		return false;
	nr = min(nr, (vma->vm_end - vmf->address) >> PAGE_SHIFT);
	nr = ho_map_pages(file->map, vmf->pgoff, pages, nr);
	if (nr < 2)
		return false;
	/* The file keeps the pages; mapping takes its own references. */
	for (i = 0; i < nr; i++) {
		struct vm_fault one = {
			.vma = vma,
			.address = (vmf->address & PAGE_MASK) + i * PAGE_SIZE,
		};

		/* Where another thread's fault was first, this is NOPAGE too. */
		if (vmf_insert_page_mkwrite(&one, pages[i], false) != VM_FAULT_NOPAGE)
			return i > 0;
	}
	return true;
}

static vm_fault_t file_fault(struct vm_fault *vmf)
{
	struct inode *inode = file_inode(vmf->vma->vm_file);
	struct folio *folio;
	struct page *page;

	if (vmf->pgoff >= DIV_ROUND_UP((u64)i_size_read(inode), PAGE_SIZE))
		return VM_FAULT_SIGBUS;
	if (fault_around(vmf, inode->i_private))
		return VM_FAULT_NOPAGE;
	page = file_page(inode->i_private, vmf->pgoff, true);
	if (IS_ERR(page))
		return PTR_ERR(page) == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
	folio = page_folio(page);
	/* By its index the kernel sees whether all of a folio is in the file. */
	if (folio_test_large(folio))
		folio->index = vmf->pgoff - folio_page_idx(folio, page);
	vmf->page = page;
	return 0;
}

static vm_fault_t file_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct inode *inode = file_inode(vma->vm_file);
	struct ho_file *file = inode->i_private;
	unsigned long start = vmf->address & PMD_MASK;
	struct folio *folio;
	vm_fault_t ret;
	u64 index;

	if (order != PMD_ORDER || !(vma->vm_flags & VM_SHARED) || !ho_map_huge_enabled ||
	    start < vma->vm_start || start + PMD_SIZE > vma->vm_end)
		return VM_FAULT_FALLBACK;
	index = linear_page_index(vma, start);
	if ((index << PAGE_SHIFT) + PMD_SIZE > i_size_read(inode))
		return VM_FAULT_FALLBACK;
	folio = ho_map_huge(file->map, index);
	if (!folio)
		return VM_FAULT_FALLBACK;
	ret = vmf_insert_folio_pmd(vmf, folio, vmf->flags & FAULT_FLAG_WRITE);
	folio_put(folio);
	return ret;
}

static const struct vm_operations_struct file_vm_ops = {
	.fault = file_fault,
	.huge_fault = file_huge_fault,
};

static int file_mmap(struct file *file, struct vm_area_struct *vma)
{
	/*
	 * Not VM_MIXEDMAP: the kernel takes huge mappings there for ones without
	 * a reference, and splitting one would lose the folio's.
	 */
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_HUGEPAGE);
	vma->vm_ops = &file_vm_ops;
	return 0;
}

/* Takes the reference on @page; NULL: a hole, of which there is only reading. */
static size_t copy_part(struct page *page, size_t offset, size_t bytes, struct iov_iter *iter,
			bool write)
{
	size_t copied;

	if (!page)
		return iov_iter_zero(bytes, iter);
	copied = write ? copy_page_from_iter(page, offset, bytes, iter) :
			 copy_page_to_iter(page, offset, bytes, iter);
	put_page(page);
	return copied;
}

/* Reads or writes up to the end of the file. */
static ssize_t transfer(struct kiocb *kiocb, struct iov_iter *iter, bool write)
{
	struct inode *inode = file_inode(kiocb->ki_filp);
	loff_t size = i_size_read(inode);
	ssize_t done = 0;

	while (iov_iter_count(iter) && kiocb->ki_pos < size) {
		size_t offset = offset_in_page(kiocb->ki_pos), copied;
		size_t bytes = min3((u64)iov_iter_count(iter), (u64)(PAGE_SIZE - offset),
				    (u64)(size - kiocb->ki_pos));
		struct page *page;

		page = file_page(inode->i_private, kiocb->ki_pos >> PAGE_SHIFT, write);
		if (IS_ERR(page))
			return done ?: PTR_ERR(page) == -ENOMEM ? -ENOMEM : -EIO;
		copied = copy_part(page, offset, bytes, iter, write);
		kiocb->ki_pos += copied;
		done += copied;
		if (copied < bytes)
			return done ?: -EFAULT;
		if (fatal_signal_pending(current))
			return done ?: -EINTR;
		cond_resched();
	}
	return done;
}

static ssize_t file_read(struct kiocb *kiocb, struct iov_iter *to)
{
	return transfer(kiocb, to, false);
}

static ssize_t file_write(struct kiocb *kiocb, struct iov_iter *from)
{
	ssize_t done;

	if (kiocb->ki_flags & IOCB_APPEND)
		kiocb->ki_pos = i_size_read(file_inode(kiocb->ki_filp));
	done = transfer(kiocb, from, true);
	if (!done && iov_iter_count(from))
		return -ENOSPC; /* the size is fixed */
	return done;
}

/* The first page at or after @index that has memory; U64_MAX: none. */
static u64 next_data(struct ho_file *file, u64 index)
{
	unsigned long added = index;
	struct ho_extent extent;
	u64 next = U64_MAX;

	if (!ho_map_next_extent(file->map, index, &extent))
		next = max(index, extent.index);
	if (xa_find(&file->added, &added, ULONG_MAX, XA_PRESENT))
		next = min_t(u64, next, added);
	return next;
}

static u64 next_hole(struct ho_file *file, u64 index)
{
	struct ho_extent extent;

	for (;;) {
		if (!ho_map_next_extent(file->map, index, &extent) && extent.index <= index)
			index = extent.index + extent.nr;
		else if (xa_load(&file->added, index))
			index++;
		else
			return index;
		cond_resched();
	}
}

static loff_t file_llseek(struct file *filp, loff_t offset, int whence)
{
	struct inode *inode = file_inode(filp);
	loff_t size = i_size_read(inode);
	u64 page;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return fixed_size_llseek(filp, offset, whence, size);
	if (offset < 0 || offset >= size)
		return -ENXIO;
	page = offset >> PAGE_SHIFT;
	page = whence == SEEK_DATA ? next_data(inode->i_private, page) :
				     next_hole(inode->i_private, page);
	if (page >= DIV_ROUND_UP((u64)size, PAGE_SIZE)) {
		if (whence == SEEK_DATA)
			return -ENXIO;
		offset = size;
	} else {
		offset = max_t(loff_t, offset, page << PAGE_SHIFT);
	}
	return vfs_setpos(filp, offset, size);
}

/* Called when the file is opened again, through /proc/PID/fd. */
static int file_open(struct inode *inode, struct file *filp)
{
	const struct ho_file *file = inode->i_private;

	return filp->f_mode & FMODE_WRITE && file->read_only ? -EPERM : 0;
}

static const struct file_operations file_operations = {
	.owner = THIS_MODULE,
	.open = file_open,
	.llseek = file_llseek,
	.read_iter = file_read,
	.write_iter = file_write,
	.mmap = file_mmap,
	.fsync = noop_fsync,
	.splice_read = copy_splice_read,
	.splice_write = iter_file_splice_write,
	.get_unmapped_area = thp_get_unmapped_area,
};

static int file_setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	int err = setattr_prepare(idmap, dentry, attr);

	if (err)
		return err;
	if (attr->ia_valid & ATTR_SIZE)
		return -EPERM;
	setattr_copy(idmap, d_inode(dentry), attr);
	return 0;
}

static const struct inode_operations file_inode_operations = {
	.setattr = file_setattr,
};

static void file_evict(struct inode *inode)
{
	struct ho_file *file = inode->i_private;
	unsigned long index;
	struct page *page;

	clear_inode(inode);
	if (!file)
		return;
	xa_for_each(&file->added, index, page)
		put_page(page);
	xa_destroy(&file->added);
	ho_map_free_frames(file->map);
	ho_map_put(file->map);
	kfree(file);
}

static const struct super_operations file_super_operations = {
	.statfs = simple_statfs,
	.drop_inode = inode_just_drop,
	.evict_inode = file_evict,
};

static int file_init_context(struct fs_context *context)
{
	struct pseudo_fs_context *pseudo = init_pseudo(context, HO_FS_MAGIC);

	if (!pseudo)
		return -ENOMEM;
	pseudo->ops = &file_super_operations;
	return 0;
}

/*
 * The mount holds the module until the last file is evicted: the reference that
 * struct file has goes before that.
 */
static struct file_system_type file_system = {
	.name = "handover",
	.owner = THIS_MODULE,
	.init_fs_context = file_init_context,
	.kill_sb = kill_anon_super,
};

static void inode_set_up(struct inode *inode, const struct ho_map *map)
{
	inode->i_ino = get_next_ino();
	inode->i_mode = S_IFREG | 0600;
	inode->i_uid = current_fsuid();
	inode->i_gid = current_fsgid();
	simple_inode_init_ts(inode);
	inode->i_op = &file_inode_operations;
	inode->i_fop = &file_operations;
	i_size_write(inode, map->size);
	inode->i_blocks = map->nr_pages << (PAGE_SHIFT - 9);
	mapping_set_unevictable(inode->i_mapping);
}

struct file *ho_file_create(struct ho_map *map, bool read_only, u64 position)
{
	struct file *filp = ERR_PTR(-ENOMEM);
	struct ho_file *file;
	struct inode *inode;
	int err;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return ERR_PTR(-ENOMEM);
	err = simple_pin_fs(&file_system, &ho_mount, &ho_mount_count);
	if (err) {
		kfree(file);
		return ERR_PTR(err);
	}
	xa_init(&file->added);
	mutex_init(&file->lock);
	file->read_only = read_only;
	file->map = map;
	inode = new_inode(ho_mount->mnt_sb);
	if (inode) {
		inode_set_up(inode, map);
		filp = alloc_file_pseudo(inode, ho_mount, "handover",
					 (read_only ? O_RDONLY : O_RDWR) | O_LARGEFILE,
					 &file_operations);
		/* Without i_private: the frames stay with the caller. */
		if (IS_ERR(filp))
			iput(inode);
	}
	if (IS_ERR(filp)) {
		kfree(file);
	} else {
		/* alloc_file_pseudo() does not take it, and fput() gives it back. */
		__module_get(THIS_MODULE);
		inode->i_private = file;
		filp->f_pos = min_t(u64, position, MAX_LFS_FILESIZE);
		filp->f_mode |= FMODE_LSEEK | FMODE_PREAD | (read_only ? 0 : FMODE_PWRITE);
	}
	simple_release_fs(&ho_mount, &ho_mount_count);
	return filp;
}

/* Largest folios first, as long as there are some. */
static int allocate_frames(struct ho_builder *builder, u64 pages, int node)
{
	unsigned int order = HO_PIECE_ORDER;
	u64 done = 0;

	while (done < pages) {
		struct page *page;
		int err;

		while (order && (1ULL << order) > pages - done)
			order--;
		page = alloc_pages_node(node,
					GFP_HIGHUSER | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN |
						__GFP_ACCOUNT |
						(order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL),
					order);
		if (!page) {
			if (!order)
				return -ENOMEM;
			order--;
			continue;
		}
		err = ho_builder_frames(builder, page_to_pfn(page), 1, order);
		if (err) {
			__free_pages(page, order);
			return err;
		}
		err = ho_builder_extent(builder, done, page_to_pfn(page), 1ULL << order);
		if (err)
			return err;
		done += 1ULL << order;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static void free_frames(struct ho_builder *builder)
{
	size_t i;
	u32 j;

	for (i = 0; i < builder->nr_frames; i++) {
		const struct ho_frame *frame = &builder->frames[i];

		for (j = 0; j < frame->nr; j++)
			__free_pages(pfn_to_page(frame->pfn + ((u64)j << frame->order)),
				     frame->order);
	}
}

struct file *ho_file_allocate(u64 length, int node)
{
	u64 pages = DIV_ROUND_UP(length, PAGE_SIZE);
	struct ho_builder builder;
	struct ho_map *map;
	struct file *file;
	int err;

	err = ho_builder_init(&builder, pages << PAGE_SHIFT);
	if (err)
		return ERR_PTR(err);
	err = allocate_frames(&builder, pages, node);
	if (!err) {
		map = ho_builder_end(&builder);
		err = PTR_ERR_OR_ZERO(map);
	}
	if (err) {
		free_frames(&builder);
		ho_builder_abort(&builder);
		return ERR_PTR(err);
	}
	file = ho_file_create(map, false, 0);
	if (IS_ERR(file)) {
		ho_map_free_frames(map);
		ho_map_put(map);
	}
	return file;
}

bool ho_file_is_ours(const struct file *file)
{
	return file->f_op == &file_operations;
}

static struct ho_file *to_ours(const struct file *file)
{
	return file_inode(file)->i_private;
}

struct ho_map *ho_file_map(const struct file *file)
{
	return to_ours(file)->map;
}

unsigned long ho_file_added(const struct file *file)
{
	return atomic_long_read(&to_ours(file)->nr_added);
}

bool ho_file_mark(struct file *filp, bool preserved)
{
	struct ho_file *file = to_ours(filp);
	bool changed;

	mutex_lock(&file->lock);
	changed = file->preserved != preserved;
	file->preserved = preserved;
	mutex_unlock(&file->lock);
	return changed;
}

struct snapshot {
	struct ho_builder builder;
	struct ho_file *file;
	unsigned long next;		/* added pages from here on are not in yet */
};

static int snapshot_added(struct snapshot *snapshot, u64 until)
{
	struct page *page;
	unsigned long index;
	int err;

	if (until <= snapshot->next)
		return 0;
	xa_for_each_range(&snapshot->file->added, index, page, snapshot->next, until - 1) {
		err = ho_builder_extent(&snapshot->builder, index, page_to_pfn(page), 1);
		if (!err)
			err = ho_builder_frames(&snapshot->builder, page_to_pfn(page), 1, 0);
		if (err)
			return err;
	}
	snapshot->next = until;
	return 0;
}

static int snapshot_extent(struct ho_extent extent, void *data)
{
	struct snapshot *snapshot = data;
	int err = snapshot_added(snapshot, extent.index);

	return err ?: ho_builder_extent(&snapshot->builder, extent.index, extent.pfn, extent.nr);
}

static int snapshot_run(struct ho_run run, void *data)
{
	struct snapshot *snapshot = data;

	return ho_builder_frames(&snapshot->builder, run.pfn, run.nr, run.order);
}

struct ho_map *ho_file_snapshot(struct file *filp)
{
	struct ho_file *file = to_ours(filp);
	struct snapshot snapshot = { .file = file };
	struct ho_map *map;
	int err;

	if (!atomic_long_read(&file->nr_added)) {
		/* Nothing new: its tables serve as they are. */
		ho_map_get(file->map);
		return file->map;
	}
	err = ho_builder_init(&snapshot.builder, file->map->size);
	if (err)
		return ERR_PTR(err);
	err = ho_map_for_each_extent(file->map, snapshot_extent, &snapshot);
	if (!err)
		err = snapshot_added(&snapshot, DIV_ROUND_UP(file->map->size, PAGE_SIZE));
	if (!err)
		err = ho_map_for_each_run(file->map, snapshot_run, &snapshot);
	if (!err) {
		map = ho_builder_end(&snapshot.builder);
		err = PTR_ERR_OR_ZERO(map);
	}
	if (err) {
		ho_builder_abort(&snapshot.builder);
		return ERR_PTR(err);
	}
	return map;
}
