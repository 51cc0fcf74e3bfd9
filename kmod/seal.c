// SPDX-License-Identifier: GPL-2.0
/*
 * From sessions to the serialized form, before the kexec, and back, when the
 * next kernel's module is loaded. The maps are in that form already: what is
 * written here are the root, a record per session and one per entry.
 */
#include <linux/kexec_handover.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "internal.h"
#include "trace.h"

bool ho_sealed;
u64 ho_generation;
u32 ho_lost;

/* Pages written by ho_seal(), chained in memory for ho_unseal(). */
struct sealed_page {
	struct list_head node;
	void *page;
};

static LIST_HEAD(sealed_pages);
static struct ho_root *sealed_root;
static struct ho_map *sealed_joined;	/* its tables are preserved */

static struct ho_table_head *sealed_page_new(enum ho_table_type type)
{
	struct sealed_page *sealed = kmalloc(sizeof(*sealed), GFP_KERNEL);
	void *page = ho_table_alloc(type);

	if (!sealed || !page || ho_table_preserve(page)) {
		if (page)
			ho_table_free(page);
		kfree(sealed);
		return NULL;
	}
	sealed->page = page;
	list_add_tail(&sealed->node, &sealed_pages);
	return page;
}

/* One run of ho_seal(). */
struct sealing {
	bool last_resort;
	u32 updated;
	u32 sessions;
};

/* A chain of table pages under construction. */
struct chain {
	enum ho_table_type type;
	u32 per_page;
	size_t size;
	u64 first;
	struct ho_table_head *last;
};

static void *chain_add(struct chain *chain)
{
	struct ho_table_head *last = chain->last;

	if (!last || last->count == chain->per_page) {
		struct ho_table_head *next = sealed_page_new(chain->type);

		if (!next)
			return NULL;
		if (last) {
			last->next = virt_to_phys(next);
			ho_table_end(last);
		} else {
			chain->first = virt_to_phys(next);
		}
		chain->last = next;
		last = next;
	}
	return (char *)(last + 1) + last->count++ * chain->size;
}

static void chain_end(struct chain *chain)
{
	if (chain->last)
		ho_table_end(chain->last);
}

static u64 seal_blob(const struct ho_entry *entry, int *err)
{
	struct chain chain = { .type = HO_TABLE_BLOB, .per_page = HO_TABLE_ROOM, .size = 1 };
	u64 done = 0;

	while (done < entry->blob_size) {
		u64 part = min_t(u64, entry->blob_size - done, HO_TABLE_ROOM);
		void *to = chain_add(&chain);

		if (!to) {
			*err = -ENOMEM;
			return 0;
		}
		memcpy(to, entry->blob + done, part);
		chain.last->count = part;
		done += part;
	}
	chain_end(&chain);
	return chain.first;
}

static int update_entry(struct ho_session *session, struct ho_entry *entry, struct sealing *sealing)
{
	u64 before = entry->map ? entry->map->nr_pages : 0;
	int err = ho_pin_update(entry);

	if (err > 0) {
		sealing->updated++;
		session->bytes += (entry->map->nr_pages - before) << PAGE_SHIFT;
		return 0;
	}
	if (err && sealing->last_resort) {
		pr_err("session %s: token %llu goes as it was preserved, without what came since: %pe\n",
		       session->name, entry->token, ERR_PTR(err));
		return 0;
	}
	return err;
}

/* Incoming, and nobody has claimed it so far: it goes on to the next kernel. */
static int pass_on_entry(struct ho_entry *entry)
{
	int err;

	if (entry->retrieved || !entry->map || entry->map->damaged)
		return 0;
	err = ho_map_preserve(entry->map);
	/* Found damaged just now: it says so itself, and the others go on. */
	return err == -ENODATA && entry->map->damaged ? 0 : err;
}

/* entry->sealed_map is NULL if it is damaged, or cannot go. */
static int seal_set(struct ho_session *session, struct ho_entry *entry, struct sealing *sealing)
{
	int err = ho_set_seal(entry);

	if (err != -ENODATA && !(err && sealing->last_resort))
		return err;
	ho_set_unseal(entry);
	pr_err("session %s: what a module preserves there is lost: %pe\n", session->name,
	       ERR_PTR(err));
	return 0;
}

static int seal_entry(struct chain *chain, struct ho_session *session, struct ho_entry *entry,
		      struct sealing *sealing)
{
	struct ho_entry_record *record;
	struct ho_map *map;
	bool damaged;
	int err;

	if (entry->set)
		err = seal_set(session, entry, sealing);
	else
		err = session->incoming ? pass_on_entry(entry) :
					  update_entry(session, entry, sealing);
	if (err)
		return err;
	map = entry->set ? entry->sealed_map : entry->map;
	damaged = entry->set ? !map : map && map->damaged;
	record = chain_add(chain);
	if (!record)
		return -ENOMEM;
	record->token = entry->token;
	record->kind = entry->kind;
	record->flags = (entry->read_only ? HO_ENTRY_READ_ONLY : 0) |
			(entry->retrieved ? HO_ENTRY_RETRIEVED : 0) |
			(damaged ? HO_ENTRY_DAMAGED : 0);
	record->position = entry->file ? entry->file->f_pos : entry->position;
	if (map && !entry->retrieved && !damaged)
		ho_map_fill_record(map, record);
	if (entry->blob) {
		record->blob = seal_blob(entry, &err);
		record->blob_size = entry->blob_size;
	}
	return err;
}

static int seal_session(struct chain *sessions, struct ho_session *session,
			struct sealing *sealing)
{
	struct chain entries = { .type = HO_TABLE_ENTRIES, .per_page = HO_ENTRIES_PER_PAGE,
				 .size = sizeof(struct ho_entry_record) };
	struct ho_session_record *record;
	struct ho_entry *entry;
	unsigned long token;
	int err;

	xa_for_each(&session->entries, token, entry) {
		err = seal_entry(&entries, session, entry, sealing);
		if (err)
			return err;
	}
	chain_end(&entries);
	record = chain_add(sessions);
	if (!record)
		return -ENOMEM;
	memcpy(record->name, session->name, sizeof(record->name));
	record->max_bytes = session->max_bytes;
	record->max_entries = session->max_entries;
	record->nr_entries = session->nr_entries;
	record->entries = entries.first;
	return 0;
}

static void unseal_session(struct ho_session *session)
{
	struct ho_entry *entry;
	unsigned long token;

	mutex_lock(&session->lock);
	session->sealed = false;
	xa_for_each(&session->entries, token, entry) {
		if (entry->set)
			ho_set_unseal(entry);
		else if (session->incoming && !entry->retrieved && entry->map)
			ho_map_unpreserve(entry->map);
	}
	mutex_unlock(&session->lock);
}

static void unseal(void)
{
	struct sealed_page *sealed, *next;
	struct ho_session *session;

	if (sealed_root)
		kho_remove_subtree(sealed_root);
	sealed_root = NULL;
	if (sealed_joined) {
		ho_map_unpreserve_tables(sealed_joined);
		ho_map_put(sealed_joined);
	}
	sealed_joined = NULL;
	list_for_each_entry_safe(sealed, next, &sealed_pages, node) {
		list_del(&sealed->node);
		ho_table_unpreserve(sealed->page);
		ho_table_free(sealed->page);
		kfree(sealed);
	}
	list_for_each_entry(session, &ho_sessions, node)
		unseal_session(session);
	ho_sealed = false;
}

void ho_unseal(void)
{
	lockdep_assert_held(&ho_sessions_lock);
	if (ho_sealed)
		unseal();
}

static u64 sealed_bytes(void)
{
	struct sealed_page *sealed;
	struct ho_session *session;
	struct ho_entry *entry;
	unsigned long token;
	u64 bytes = 0;

	list_for_each_entry(sealed, &sealed_pages, node)
		bytes += HO_TABLE_SIZE;
	if (sealed_joined)
		bytes += ho_map_table_bytes(sealed_joined);
	list_for_each_entry(session, &ho_sessions, node) {
		mutex_lock(&session->lock);
		xa_for_each(&session->entries, token, entry)
			if (ho_entry_map(entry) && !entry->retrieved)
				bytes += ho_map_table_bytes(ho_entry_map(entry));
		mutex_unlock(&session->lock);
	}
	return bytes;
}

/* After the last session: what is preserved does not change from here on. */
static int seal_joined(struct ho_root *root)
{
	struct ho_entry_record record;
	struct ho_map *joined = ho_blocks_joined();
	int err;

	if (IS_ERR_OR_NULL(joined))
		return PTR_ERR_OR_ZERO(joined);
	err = ho_map_preserve_tables(joined);
	if (err) {
		ho_map_put(joined);
		return err;
	}
	sealed_joined = joined;
	ho_map_fill_record(joined, &record);
	root->joined = record.runs;
	return 0;
}

static int seal_all(struct sealing *sealing)
{
	struct chain chain = { .type = HO_TABLE_SESSIONS, .per_page = HO_SESSIONS_PER_PAGE,
			       .size = sizeof(struct ho_session_record) };
	struct ho_session *session;
	struct ho_root *root;
	int err;

	root = (struct ho_root *)sealed_page_new(HO_TABLE_ROOT);
	if (!root)
		return -ENOMEM;
	root->head.count = 1;
	list_for_each_entry(session, &ho_sessions, node) {
		mutex_lock(&session->lock);
		session->sealed = true;
		err = seal_session(&chain, session, sealing);
		mutex_unlock(&session->lock);
		if (err)
			return err;
		sealing->sessions++;
	}
	chain_end(&chain);
	err = seal_joined(root);
	if (err)
		return err;
	root->generation = ho_generation + 1;
	root->sessions = chain.first;
	root->nr_sessions = sealing->sessions;
	ho_table_end(root);
	err = kho_add_subtree(HO_FORMAT_SUBTREE, root, HO_TABLE_SIZE);
	if (!err)
		sealed_root = root;
	return err;
}

/* Pages were written into holes after the seal. */
static bool anything_changed(void)
{
	struct ho_session *session;
	struct ho_entry *entry;
	unsigned long token;
	bool changed = false;

	list_for_each_entry(session, &ho_sessions, node) {
		mutex_lock(&session->lock);
		xa_for_each(&session->entries, token, entry)
			changed |= !session->incoming && ho_pin_changed(entry);
		mutex_unlock(&session->lock);
	}
	return changed;
}

int ho_seal(u64 *table_bytes, u32 *updated, bool last_resort)
{
	struct sealing sealing = { .last_resort = last_resort };
	u64 start = ktime_get_ns(), ns;
	int err = 0;

	lockdep_assert_held(&ho_sessions_lock);
	if (ho_sealed && last_resort && anything_changed())
		unseal();
	if (!ho_sealed) {
		err = seal_all(&sealing);
		if (err)
			unseal();
		else
			ho_sealed = true;
	}
	*updated = sealing.updated;
	*table_bytes = err ? 0 : sealed_bytes();
	ns = ktime_get_ns() - start;
	if (err)
		pr_notice_ratelimited("nothing is sealed: %pe\n", ERR_PTR(err));
	else
		atomic64_add(ns, &ho_counters.seal_ns);
	trace_handover_seal(sealing.sessions, *table_bytes, *updated, ns, err);
	return err;
}

/* The other way: what the earlier kernel left. */

/* While it is adopted: the earlier kernel's joined memory, or NULL. */
static struct ho_map *adopted_joined;

/* A table page, copied out, checked, and given back; NULL: it is no good. */
static void *take_page(u64 phys, int (*check)(const void *page))
{
	void *page, *copy;

	if (!ho_frame_exists(PHYS_PFN(phys)) || check(phys_to_virt(phys)))
		return NULL;
	copy = kmalloc(HO_TABLE_SIZE, GFP_KERNEL);
	if (!copy)
		return NULL;
	memcpy(copy, phys_to_virt(phys), HO_TABLE_SIZE);
	page = ho_table_adopt(phys);
	if (!page) {
		/* Not preserved, or taken before: a chain that runs in a circle. */
		kfree(copy);
		return NULL;
	}
	ho_table_free(page);
	return copy;
}

static int blob_check(const void *page)
{
	return ho_table_check(page, HO_TABLE_BLOB);
}

static int adopt_blob(struct ho_entry *entry, const struct ho_entry_record *record)
{
	u64 phys = record->blob, done = 0;

	if (!record->blob_size)
		return 0;
	entry->blob = kvmalloc(record->blob_size, GFP_KERNEL | __GFP_NOWARN);
	if (!entry->blob)
		return -ENOMEM;
	while (phys) {
		struct ho_table_head *head = take_page(phys, blob_check);
		bool fits;

		if (!head)
			return -ENODATA;
		fits = head->count <= record->blob_size - done;
		if (fits)
			memcpy(entry->blob + done, head + 1, head->count);
		done += head->count;
		phys = head->next;
		kfree(head);
		if (!fits)
			return -ENODATA;
	}
	entry->blob_size = record->blob_size;
	return done == record->blob_size ? 0 : -ENODATA;
}

static int adopt_entry(struct ho_session *session, const struct ho_entry_record *record)
{
	struct ho_entry *entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	int err;

	if (!entry)
		return -ENOMEM;
	entry->token = record->token;
	entry->kind = record->kind;
	entry->read_only = record->flags & HO_ENTRY_READ_ONLY;
	entry->retrieved = record->flags & HO_ENTRY_RETRIEVED;
	entry->position = record->position;
	err = adopt_blob(entry, record);
	if (!err && !entry->retrieved) {
		entry->map = ho_map_adopt(record, adopted_joined);
		if (!entry->map)
			err = -ENOMEM;
		else
			entry->map->damaged = record->flags & HO_ENTRY_DAMAGED;
	}
	if (!err && entry->kind == HANDOVER_KIND_KERNEL)
		err = ho_set_adopt(session, entry);
	if (!err)
		err = ho_session_add(session, entry);
	if (err) {
		/* What cannot be trusted is not freed either. */
		if (entry->map)
			entry->map->damaged = true;
		ho_entry_free(entry);
	}
	return err;
}

static int adopt_entries(struct ho_session *session, const struct ho_session_record *from)
{
	u64 phys = from->entries;
	int err = 0;

	while (phys && !err) {
		struct ho_table_head *head = take_page(phys, ho_entries_check);
		const struct ho_entry_record *records;
		u32 i;

		if (!head)
			return -ENODATA;
		records = ho_table_records(head);
		for (i = 0; i < head->count && !err; i++)
			err = adopt_entry(session, &records[i]);
		phys = head->next;
		kfree(head);
	}
	if (!err && session->nr_entries != from->nr_entries)
		err = -ENODATA;
	return err;
}

static int adopt_session(const struct ho_session_record *record)
{
	struct ho_session *session;
	struct ho_entry *entry;
	unsigned long token;
	int err;

	if (ho_session_find(record->name))
		return -EEXIST;
	session = ho_session_new(record->name, true);
	if (!session)
		return -ENOMEM;
	mutex_lock(&session->lock);
	err = adopt_entries(session, record);
	if (err) {
		/* What cannot be trusted is not freed either. */
		xa_for_each(&session->entries, token, entry) {
			xa_erase(&session->entries, token);
			if (entry->map)
				entry->map->damaged = true;
			ho_entry_free(entry);
		}
	} else {
		/* After the entries: they were within the limits once. */
		session->max_bytes = record->max_bytes;
		session->max_entries = record->max_entries;
		ho_session_publish(session);
	}
	mutex_unlock(&session->lock);
	ho_session_put(session);
	return err;
}

static u32 adopt_sessions(u64 phys, u32 most)
{
	u32 done = 0, seen = 0;

	while (phys && seen < most) {
		struct ho_table_head *head = take_page(phys, ho_sessions_check);
		const struct ho_session_record *records;
		u32 i;

		if (!head)
			break;
		records = ho_table_records(head);
		for (i = 0; i < head->count; i++) {
			int err = adopt_session(&records[i]);

			seen++;
			if (err)
				pr_err("session %s of the earlier kernel is lost, its memory stays reserved until the next cold boot: %pe\n",
				       records[i].name, ERR_PTR(err));
			else
				done++;
		}
		phys = head->next;
		kfree(head);
	}
	return done;
}

static int adopt_joined(const struct ho_root *root)
{
	struct ho_entry_record record = { .runs = root->joined };

	if (!record.runs.records)
		return 0;
	adopted_joined = ho_map_adopt(&record, NULL);
	return adopted_joined ? 0 : -ENOMEM;
}

void ho_adopt(void)
{
	struct ho_root *root;
	phys_addr_t phys;
	size_t size;
	u32 done;
	int err;

	lockdep_assert_held(&ho_sessions_lock);
	if (!is_kho_boot() || kho_retrieve_subtree(HO_FORMAT_SUBTREE, &phys, &size))
		return;
	root = phys_to_virt(phys);
	err = size == HO_TABLE_SIZE ? ho_root_check(root) : -EBADMSG;
	if (err) {
		pr_err("what the earlier kernel left cannot be read (%pe): its memory stays reserved until the next cold boot\n",
		       ERR_PTR(err));
		ho_lost = 1;
		return;
	}
	ho_generation = root->generation;
	/* The page stays, so that the module can be loaded again. */
	if (root->consumed)
		return;
	if (adopt_joined(root)) {
		pr_err("no memory to take over what the earlier kernel left: load the module again\n");
		ho_lost = root->nr_sessions;
		return;
	}
	root->consumed = 1;
	done = adopt_sessions(root->sessions, root->nr_sessions);
	/* The maps hold it from here on. */
	if (adopted_joined)
		ho_map_put(adopted_joined);
	adopted_joined = NULL;
	ho_lost = root->nr_sessions - min(done, root->nr_sessions);
	pr_info("generation %llu: %u sessions of the earlier kernel, %u lost\n", ho_generation,
		done, ho_lost);
}
