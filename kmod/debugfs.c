// SPDX-License-Identifier: GPL-2.0
/* /sys/kernel/debug/handover: what there is, and what it has cost. */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "internal.h"

static struct dentry *directory;

static void show_entry(struct seq_file *out, const struct ho_entry *entry)
{
	struct ho_map *map = ho_entry_map(entry);
	u64 keys = 0;
	int i;

	seq_printf(out, "  token %llu kind %u%s", entry->token, entry->kind,
		   entry->retrieved ? " retrieved" : "");
	if (map) {
		ho_map_count_keys(map);
		for (i = 0; i < HANDOVER_ORDERS; i++)
			keys += map->keys[i];
		seq_printf(out, " length %llu bytes %llu extents %llu runs %llu tables %llu",
			   map->size, map->nr_pages << PAGE_SHIFT, map->extents.records,
			   map->runs.records, ho_map_table_bytes(map));
		seq_printf(out, " keys %llu pieces %llu restored %lld faults %lld%s", keys,
			   map->nr_pieces, atomic64_read(&map->nr_restored),
			   atomic64_read(&map->faults), map->damaged ? " damaged" : "");
	}
	seq_putc(out, '\n');
}

static int sessions_show(struct seq_file *out, void *unused)
{
	struct ho_session *session;
	struct ho_entry *entry;
	unsigned long token;

	mutex_lock(&ho_sessions_lock);
	list_for_each_entry(session, &ho_sessions, node) {
		mutex_lock(&session->lock);
		seq_printf(out, "%s%s entries %u bytes %llu restoring %d\n", session->name,
			   session->incoming ? " incoming" : "", session->nr_entries,
			   session->bytes, atomic_read(&session->restoring));
		xa_for_each(&session->entries, token, entry)
			show_entry(out, entry);
		mutex_unlock(&session->lock);
	}
	mutex_unlock(&ho_sessions_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sessions);

static int counters_show(struct seq_file *out, void *unused)
{
#define SHOW(name)	\
	seq_printf(out, #name " %lld\n", atomic64_read(&ho_counters.name))
	SHOW(preserved_pages);
	SHOW(preserve_ns);
	SHOW(seal_ns);
	SHOW(retrieve_ns);
	SHOW(pieces_restored);
	SHOW(faults);
	SHOW(fault_ns);
	SHOW(freed_pages);
#undef SHOW
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

void ho_debugfs_init(void)
{
	directory = debugfs_create_dir("handover", NULL);
	debugfs_create_file("sessions", 0400, directory, NULL, &sessions_fops);
	debugfs_create_file("counters", 0400, directory, NULL, &counters_fops);
}

void ho_debugfs_exit(void)
{
	debugfs_remove(directory);
}
