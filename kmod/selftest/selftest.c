// SPDX-License-Identifier: GPL-2.0
/*
 * Tries the in-kernel interface of handover.ko as an IOMMU driver would use it.
 *
 * mode=save builds a translation tree of single pages: four levels of tables of
 * 512 entries of 8 bytes, each a physical address with flags, as a device reads
 * them, and @pages single data pages at the leaves. Every page is preserved by
 * itself, with a vmalloc area, buffers and a blob that says where the root is.
 *
 * mode=check, in the next kernel, takes everything over, starting from the
 * root's physical address, and compares every entry and every byte. Loading the
 * module fails if anything is wrong.
 */
#include <linux/bitfield.h>
#include <linux/bits.h>
#include <linux/handover.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#define SET_NAME	"handover-selftest"

#define LEVELS		4
#define LEVEL_BITS	9
#define ENTRIES		(1u << LEVEL_BITS)

/* An entry, much as VT-d's second-level tables have it. */
#define ENTRY_READ	BIT_ULL(0)
#define ENTRY_WRITE	BIT_ULL(1)
#define ENTRY_LEVEL	GENMASK_ULL(10, 8)	/* ignored by hardware: of what it points to */
#define ENTRY_ADDRESS	GENMASK_ULL(51, 12)

enum {
	ID_ROOT = 1,			/* blob: struct root */
	ID_EMPTY,			/* blob of no bytes */
	ID_AREA,			/* vmalloc */
	ID_BUFFER,			/* kmalloc of several pages */
	ID_PAGE,			/* kmalloc of one page: of a slab */
};

#define AREA_PAGES	1030		/* more than two of KHO's chunks list */
#define BUFFER_SIZE	(5 * PAGE_SIZE)	/* not a power of two */

struct root {
	u64 phys;
	u64 tables;
	u64 pages;
	u64 seed;
};

static char *mode = "save";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode, "save (before the kexec) or check (after it)");

static unsigned long pages = 20000;
module_param(pages, ulong, 0444);
MODULE_PARM_DESC(pages, "save: number of data pages, 1 to 16777216");

static unsigned long seed = 1;
module_param(seed, ulong, 0444);
MODULE_PARM_DESC(seed, "save: of the patterns that the memory is filled with");

#define MAX_PAGES	(1ul << 24)

static struct handover_set *set;
static struct root tree;
static u64 *root_table;
static void *area;
static void *buffer;
static void *page_buffer;

/* Patterns */

static u64 mix(u64 a, u64 b, u64 c)
{
	u64 x = a * 0x9e3779b97f4a7c15ULL ^ b * 0xbf58476d1ce4e5b9ULL ^ c;

	x ^= x >> 31;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 29;
}

static void fill(void *memory, size_t size, u64 which)
{
	u64 *words = memory;
	size_t i;

	for (i = 0; i < size / sizeof(*words); i++)
		words[i] = mix(tree.seed, which, i);
}

static bool is_filled(const void *memory, size_t size, u64 which)
{
	const u64 *words = memory;
	size_t i;

	for (i = 0; i < size / sizeof(*words); i++)
		if (words[i] != mix(tree.seed, which, i))
			return false;
	return true;
}

/* What is not a data page, by id; data pages count from 0. */
static u64 pattern_of(unsigned int id)
{
	return ~(u64)id;
}

/* The tree */

/*
 * Which page of the 48-bit address space data page @i is at: some in a row, then
 * far away, so that there are many tables on each level. Each in its own place:
 * the factor is odd.
 */
static u64 place(u64 i)
{
	u64 group = i / 61;

	return (group % 4) << 3 * LEVEL_BITS |
	       (group / 4 * 521 % (1u << 2 * LEVEL_BITS)) << LEVEL_BITS |
	       (i % 61) * 8;
}

static unsigned int index_at(u64 at, unsigned int level)
{
	return at >> (level - 1) * LEVEL_BITS & (ENTRIES - 1);
}

static u64 entry_of(void *memory, unsigned int level)
{
	return virt_to_phys(memory) | FIELD_PREP(ENTRY_LEVEL, level) | ENTRY_READ | ENTRY_WRITE;
}

/* A zeroed page that is preserved. */
static void *new_page(void)
{
	struct folio *folio = folio_alloc(GFP_KERNEL | __GFP_ZERO, 0);
	int err;

	if (!folio)
		return ERR_PTR(-ENOMEM);
	err = handover_preserve_folio(set, folio);
	if (err) {
		folio_put(folio);
		return ERR_PTR(err);
	}
	return folio_address(folio);
}

static int map_page(u64 i)
{
	u64 *table = root_table, at = place(i);
	unsigned int level;
	void *page;

	for (level = LEVELS; level > 1; level--) {
		u64 *entry = &table[index_at(at, level)];

		if (!*entry) {
			page = new_page();
			if (IS_ERR(page))
				return PTR_ERR(page);
			*entry = entry_of(page, level - 1);
			tree.tables++;
		}
		table = phys_to_virt(*entry & ENTRY_ADDRESS);
	}
	page = new_page();
	if (IS_ERR(page))
		return PTR_ERR(page);
	fill(page, PAGE_SIZE, i);
	table[index_at(at, 1)] = entry_of(page, 0);
	return 0;
}

/* Once nobody preserves it, or all of it is restored. */
static void free_tree(u64 *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; level && i < ENTRIES; i++)
		if (table[i])
			free_tree(phys_to_virt(table[i] & ENTRY_ADDRESS), level - 1);
	folio_put(virt_to_folio(table));
	cond_resched();
}

static int build_tree(void)
{
	LIST_HEAD(holes);
	struct page *hole, *next;
	int err = 0;
	u64 i;

	root_table = new_page();
	if (IS_ERR(root_table)) {
		err = PTR_ERR(root_table);
		root_table = NULL;
		return err;
	}
	tree.phys = virt_to_phys(root_table);
	tree.tables = 1;
	for (i = 0; i < tree.pages && !err; i++) {
		/* So that the frames do not all lie side by side. */
		if (get_random_u32_below(9) == 0) {
			hole = alloc_page(GFP_KERNEL);
			if (hole)
				list_add(&hole->lru, &holes);
		}
		err = map_page(i);
		if (fatal_signal_pending(current))
			err = -EINTR;
		cond_resched();
	}
	list_for_each_entry_safe(hole, next, &holes, lru) {
		list_del(&hole->lru);
		__free_page(hole);
	}
	return err;
}

/* Saving */

/* What must be refused, without an effect. */
static int check_refusals(void)
{
	void *small = kmalloc(PAGE_SIZE / 2, GFP_KERNEL);
	int err = 0;

	if (!small)
		return -ENOMEM;
	if (handover_preserve_kmalloc(set, 100, small, PAGE_SIZE / 2) != -EINVAL ||
	    handover_preserve_folio(set, virt_to_folio(small)) != -EINVAL ||
	    handover_preserve_vmalloc(set, 100, small) != -EINVAL ||
	    handover_preserve_vmalloc(set, 100, area + PAGE_SIZE) != -EINVAL ||
	    handover_preserve_vmalloc(set, 100, area + AREA_PAGES * PAGE_SIZE) != -EINVAL ||
	    handover_preserve_kmalloc(set, 100, area, PAGE_SIZE) != -EINVAL ||
	    handover_preserve_kmalloc(set, 100, buffer, 9 * PAGE_SIZE) != -EINVAL ||
	    handover_preserve_folio(set, virt_to_folio(root_table)) != -EBUSY ||
	    handover_preserve_kmalloc(set, 100, buffer, BUFFER_SIZE) != -EBUSY ||
	    handover_preserve_vmalloc(set, ID_BUFFER, area) != -EEXIST ||
	    handover_preserve_blob(set, ID_AREA, small, 1) != -EEXIST ||
	    handover_preserve_blob(set, 100, small, SZ_32M) != -E2BIG ||
	    handover_unpreserve(set, 100) != -ENOENT ||
	    PTR_ERR(handover_set_create(SET_NAME)) != -EEXIST ||
	    PTR_ERR(handover_set_create("")) != -EINVAL ||
	    PTR_ERR(handover_set_retrieve(SET_NAME)) != -EINVAL ||
	    PTR_ERR(handover_set_retrieve("handover-no-such-set")) != -ENOENT) {
		pr_err("something wrong was not refused\n");
		err = -EILSEQ;
	}
	kfree(small);
	return err;
}

/* Taking out and putting in again: what is left is what was there last. */
static int check_changes(void)
{
	struct folio *root = virt_to_folio(root_table);

	return handover_unpreserve_folio(set, root) ?:
	       handover_unpreserve_folio(set, root) != -ENOENT ? -EILSEQ :
	       handover_preserve_folio(set, root) ?:
	       handover_unpreserve(set, ID_AREA) ?:
	       handover_preserve_vmalloc(set, ID_AREA, area) ?:
	       handover_unpreserve(set, ID_BUFFER) ?:
	       handover_preserve_kmalloc(set, ID_BUFFER, buffer, BUFFER_SIZE);
}

static int preserve_rest(void)
{
	int err;

	area = vmalloc(AREA_PAGES * PAGE_SIZE);
	buffer = kmalloc(BUFFER_SIZE, GFP_KERNEL);
	page_buffer = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!area || !buffer || !page_buffer)
		return -ENOMEM;
	fill(area, AREA_PAGES * PAGE_SIZE, pattern_of(ID_AREA));
	fill(buffer, BUFFER_SIZE, pattern_of(ID_BUFFER));
	fill(page_buffer, PAGE_SIZE, pattern_of(ID_PAGE));
	err = handover_preserve_vmalloc(set, ID_AREA, area) ?:
	      handover_preserve_kmalloc(set, ID_BUFFER, buffer, BUFFER_SIZE) ?:
	      handover_preserve_kmalloc(set, ID_PAGE, page_buffer, PAGE_SIZE) ?:
	      handover_preserve_blob(set, ID_EMPTY, NULL, 0) ?:
	      handover_preserve_blob(set, ID_ROOT, &tree, sizeof(tree));
	if (!err)
		err = check_refusals() ?: check_changes();
	return err;
}

/* True if the memory is ours again. */
static bool drop(void)
{
	if (handover_set_destroy(set)) {
		pr_warn("sealed: the memory stays as it is, for the next kernel\n");
		return false;
	}
	if (root_table)
		free_tree(root_table, LEVELS);
	vfree(area);
	kfree(buffer);
	kfree(page_buffer);
	return true;
}

static int save(void)
{
	int err;

	if (!pages || pages > MAX_PAGES)
		return -EINVAL;
	tree.pages = pages;
	tree.seed = seed;
	set = handover_set_create(SET_NAME);
	if (IS_ERR(set))
		return PTR_ERR(set);
	err = build_tree();
	if (!err)
		err = preserve_rest();
	if (err) {
		pr_err("nothing is saved: %pe\n", ERR_PTR(err));
		drop();
		return err;
	}
	pr_info("%llu tables, %llu pages, saved\n", tree.tables, tree.pages);
	return 0;
}

/* Checking */

/* Takes over the page at @phys and what it points to; *@page is NULL if not. */
static int take(u64 phys, unsigned int level, u64 **page, struct root *found)
{
	struct folio *folio = handover_restore_folio(set, phys);
	int err = 0;
	u64 *table;
	u32 i;

	*page = NULL;
	if (IS_ERR(folio)) {
		pr_err("page at %#llx: %pe\n", phys, folio);
		return PTR_ERR(folio);
	}
	*page = table = folio_address(folio);
	if (folio_order(folio) || folio_ref_count(folio) != 1 || virt_to_phys(table) != phys) {
		pr_err("page at %#llx is another folio than before\n", phys);
		err = -EILSEQ;
	}
	if (!level) {
		found->pages++;
		return err;
	}
	found->tables++;
	for (i = 0; i < ENTRIES; i++) {
		u64 *next = NULL;

		if (!table[i])
			continue;
		if (err) {
			/* Nothing to free behind it; the set has it still. */
		} else if (table[i] != ((table[i] & ENTRY_ADDRESS) |
					FIELD_PREP(ENTRY_LEVEL, level - 1) | ENTRY_READ |
					ENTRY_WRITE)) {
			pr_err("entry %u of a table of level %u: %#llx\n", i, level, table[i]);
			err = -EILSEQ;
		} else {
			err = take(table[i] & ENTRY_ADDRESS, level - 1, &next, found);
		}
		if (!next)
			table[i] = 0;
	}
	cond_resched();
	return err;
}

/* Every data page where it should be. No other entry: the number is right. */
static int check_pages(void)
{
	u64 i;

	for (i = 0; i < tree.pages; i++) {
		u64 *table = root_table, at = place(i), entry;
		unsigned int level;

		for (level = LEVELS; level; level--) {
			entry = table[index_at(at, level)];
			if (!entry) {
				pr_err("page %llu is not mapped\n", i);
				return -EILSEQ;
			}
			table = phys_to_virt(entry & ENTRY_ADDRESS);
		}
		if (!is_filled(table, PAGE_SIZE, i)) {
			pr_err("page %llu has changed\n", i);
			return -EILSEQ;
		}
		cond_resched();
	}
	return 0;
}

static int check_tree(void)
{
	struct root found = {};
	int err;

	err = take(tree.phys, LEVELS, &root_table, &found);
	if (err)
		return err;
	if (found.tables != tree.tables || found.pages != tree.pages) {
		pr_err("%llu tables and %llu pages were %llu and %llu\n", found.tables,
		       found.pages, tree.tables, tree.pages);
		return -EILSEQ;
	}
	if (handover_restore_folio(set, tree.phys) != ERR_PTR(-EALREADY) ||
	    handover_restore_folio(set, tree.phys + 1) != ERR_PTR(-ENOENT) ||
	    handover_restore_folio(set, ~0ULL << PAGE_SHIFT) != ERR_PTR(-ENOENT)) {
		pr_err("a folio was given out that should not be\n");
		return -EILSEQ;
	}
	return check_pages();
}

static int check_rest(void)
{
	size_t size;
	void *empty;

	area = handover_restore_vmalloc(set, ID_AREA);
	if (IS_ERR(area))
		return PTR_ERR(area);
	if (!is_filled(area, AREA_PAGES * PAGE_SIZE, pattern_of(ID_AREA))) {
		pr_err("the vmalloc area has changed\n");
		return -EILSEQ;
	}
	buffer = handover_restore_kmalloc(set, ID_BUFFER, &size);
	if (IS_ERR(buffer))
		return PTR_ERR(buffer);
	if (size != BUFFER_SIZE || !is_filled(buffer, size, pattern_of(ID_BUFFER))) {
		pr_err("the buffer has changed\n");
		return -EILSEQ;
	}
	page_buffer = handover_restore_kmalloc(set, ID_PAGE, &size);
	if (IS_ERR(page_buffer))
		return PTR_ERR(page_buffer);
	if (size != PAGE_SIZE || !is_filled(page_buffer, size, pattern_of(ID_PAGE))) {
		pr_err("the page has changed\n");
		return -EILSEQ;
	}
	empty = handover_restore_blob(set, ID_EMPTY, &size);
	if (IS_ERR(empty))
		return PTR_ERR(empty);
	kvfree(empty);
	if (size || handover_restore_vmalloc(set, ID_AREA) != ERR_PTR(-EALREADY) ||
	    handover_restore_kmalloc(set, ID_AREA, NULL) != ERR_PTR(-ENOENT) ||
	    handover_restore_kmalloc(set, ID_PAGE, NULL) != ERR_PTR(-EALREADY)) {
		pr_err("something was given out that should not be\n");
		return -EILSEQ;
	}
	return 0;
}

static int find_root(void)
{
	struct root *blob;
	size_t size;
	int err = 0;

	blob = handover_restore_blob(set, ID_ROOT, &size);
	if (IS_ERR(blob))
		return PTR_ERR(blob);
	if (size == sizeof(tree))
		tree = *blob;
	else
		err = -EILSEQ;
	kvfree(blob);
	return err;
}

static int check(void)
{
	int err, end;

	set = handover_set_retrieve(SET_NAME);
	if (IS_ERR(set)) {
		pr_err("nothing was saved, or it is lost: %pe\n", set);
		/* ENOENT would read as a symbol that is missing. */
		return set == ERR_PTR(-ENOENT) ? -ENODATA : PTR_ERR(set);
	}
	err = find_root() ?: check_tree() ?: check_rest();
	if (root_table)
		free_tree(root_table, LEVELS);
	if (!IS_ERR(area))
		vfree(area);
	if (!IS_ERR(buffer))
		handover_free_restored(buffer);
	if (!IS_ERR(page_buffer))
		handover_free_restored(page_buffer);
	end = handover_set_finish(set);
	if (!err)
		err = end;
	if (err)
		pr_err("not right: %pe\n", ERR_PTR(err));
	else
		pr_info("%llu tables, %llu pages, all right\n", tree.tables, tree.pages);
	set = NULL;
	return err;
}

static int __init selftest_init(void)
{
	if (!strcmp(mode, "save"))
		return save();
	if (!strcmp(mode, "check"))
		return check();
	pr_err("mode is save or check\n");
	return -EINVAL;
}

static void __exit selftest_exit(void)
{
	if (set)
		drop();
}

module_init(selftest_init);
module_exit(selftest_exit);

MODULE_AUTHOR("The handoverd developers");
MODULE_DESCRIPTION("Tries handover.ko: carries an IOMMU-like tree of pages across a kexec");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
