// SPDX-License-Identifier: GPL-2.0
/* Sessions: named sets of entries, and the ioctls on their descriptors. */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"
#include "trace.h"

#define HO_MAX_THREADS	64

/* The list, and whether it is sealed. */
DEFINE_MUTEX(ho_sessions_lock);
LIST_HEAD(ho_sessions);

struct ho_session *ho_session_new(const char *name, bool incoming)
{
	struct ho_session *session = kzalloc(sizeof(*session), GFP_KERNEL);

	if (!session)
		return NULL;
	kref_init(&session->ref);
	INIT_LIST_HEAD(&session->node);
	strscpy(session->name, name, sizeof(session->name));
	mutex_init(&session->lock);
	xa_init(&session->entries);
	session->incoming = incoming;
	return session;
}

static void session_release(struct kref *ref)
{
	struct ho_session *session = container_of(ref, struct ho_session, ref);

	WARN_ON_ONCE(!xa_empty(&session->entries));
	mutex_destroy(&session->lock);
	kfree(session);
}

void ho_session_get(struct ho_session *session)
{
	kref_get(&session->ref);
}

void ho_session_put(struct ho_session *session)
{
	kref_put(&session->ref, session_release);
}

struct ho_session *ho_session_find(const char *name)
{
	struct ho_session *session;

	lockdep_assert_held(&ho_sessions_lock);
	list_for_each_entry(session, &ho_sessions, node)
		if (!strcmp(session->name, name))
			return session;
	return NULL;
}

/* From here on the session stays, and the module with it, until it is ended. */
void ho_session_publish(struct ho_session *session)
{
	lockdep_assert_held(&ho_sessions_lock);
	__module_get(THIS_MODULE);
	ho_session_get(session);
	list_add_tail(&session->node, &ho_sessions);
}

static u64 entry_bytes(const struct ho_entry *entry)
{
	if (entry->set)
		return ho_set_bytes(entry->set);
	return entry->map ? entry->map->nr_pages << PAGE_SHIFT : 0;
}

int ho_session_add(struct ho_session *session, struct ho_entry *entry)
{
	u64 bytes = entry_bytes(entry);
	int err;

	if (session->max_entries && session->nr_entries >= session->max_entries)
		return -EDQUOT;
	if (session->max_bytes && (bytes > session->max_bytes ||
				   session->bytes > session->max_bytes - bytes))
		return -EDQUOT;
	err = xa_insert(&session->entries, entry->token, entry, GFP_KERNEL);
	if (err)
		return err == -EBUSY ? -EEXIST : err;
	session->nr_entries++;
	session->bytes += bytes;
	return 0;
}

static void session_remove(struct ho_session *session, struct ho_entry *entry)
{
	xa_erase(&session->entries, entry->token);
	session->nr_entries--;
	session->bytes -= entry_bytes(entry);
}

void ho_entry_free(struct ho_entry *entry)
{
	if (entry->pinned) {
		ho_map_unpreserve(entry->map);
		ho_unpin(entry);
	} else if (entry->map) {
		ho_map_put(entry->map);
	}
	if (entry->set)
		ho_set_free(entry->set);
	kvfree(entry->blob);
	kfree(entry);
}

static int check_end(const struct ho_session *session, unsigned int how)
{
	if (session->dead)
		return -ENOENT;
	if (session->sealed || (session->held && !(how & HO_END_BY_HOLDER)))
		return -EBUSY;
	return session->incoming || how & HO_END_DISCARD ? 0 : -EINVAL;
}

int ho_session_end(struct ho_session *session, unsigned int how, u64 *freed)
{
	struct ho_entry *entry;
	unsigned long token;
	u64 pages = 0;
	int err;

	mutex_lock(&ho_sessions_lock);
	mutex_lock(&session->lock);
	err = check_end(session, how);
	if (err) {
		mutex_unlock(&session->lock);
		mutex_unlock(&ho_sessions_lock);
		return err;
	}
	/* Freeing needs the directories: no memory for them is an error, not a leak. */
	if (session->incoming)
		xa_for_each(&session->entries, token, entry)
			if (entry->map && ho_map_open(entry->map) == -ENOMEM) {
				mutex_unlock(&session->lock);
				mutex_unlock(&ho_sessions_lock);
				return -ENOMEM;
			}
	session->dead = true;
	list_del_init(&session->node);
	/* What is preserved must not change while somebody seals, who sees no dead session. */
	if (session->incoming)
		mutex_unlock(&ho_sessions_lock);

	xa_for_each(&session->entries, token, entry) {
		if (!session->incoming)
			pages += entry_bytes(entry) >> PAGE_SHIFT;
		else if (!entry->retrieved && entry->map)
			pages += ho_map_free_frames(entry->map);
		if (session->incoming && entry->set)
			pages += ho_set_free_memory(entry->set);
		xa_erase(&session->entries, token);
		ho_entry_free(entry);
		cond_resched();
	}
	session->nr_entries = 0;
	session->bytes = 0;
	mutex_unlock(&session->lock);
	if (!session->incoming)
		mutex_unlock(&ho_sessions_lock);
	*freed = pages << PAGE_SHIFT;
	trace_handover_finish(session->name, *freed);
	ho_session_put(session);
	module_put(THIS_MODULE);
	return 0;
}

/* The ioctls; each runs under session->lock with a live session. */

static int session_info(void *context, void *argument)
{
	struct ho_session *session = context;
	struct handover_session_info *info = argument;
	struct ho_entry *entry;
	unsigned long token;

	info->flags = session->incoming ? HANDOVER_SESSION_INCOMING : 0;
	memcpy(info->name, session->name, sizeof(info->name));
	info->bytes = session->bytes;
	info->max_bytes = session->max_bytes;
	info->entries = session->nr_entries;
	info->max_entries = session->max_entries;
	info->restoring = atomic_read(&session->restoring);
	info->retrieved = 0;
	info->pieces = 0;
	info->pieces_restored = 0;
	xa_for_each(&session->entries, token, entry) {
		info->retrieved += entry->retrieved;
		if (!session->incoming || !entry->map)
			continue;
		info->pieces += entry->map->nr_pieces;
		info->pieces_restored += atomic64_read(&entry->map->nr_restored);
	}
	return 0;
}

/* Preserves what @entry has pinned and adds it; it is gone after an error. */
static int entry_preserve(struct ho_session *session, struct ho_entry *entry)
{
	int err = ho_session_add(session, entry);

	if (!err) {
		err = ho_map_preserve(entry->map);
		if (err)
			session_remove(session, entry);
	}
	return err;
}

static int entry_may_come(struct ho_session *session, u64 token)
{
	if (session->dead)
		return -ENOENT;
	if (session->incoming)
		return -EINVAL;
	if (session->sealed || session->held)
		return -EBUSY;
	if (xa_load(&session->entries, token))
		return -EEXIST;
	if (session->max_entries && session->nr_entries >= session->max_entries)
		return -EDQUOT;
	return 0;
}

/* What every new entry needs; the caller frees it. */
static struct ho_entry *entry_new(struct ho_session *session, u64 token)
{
	int err = entry_may_come(session, token);
	struct ho_entry *entry;

	if (err)
		return ERR_PTR(err);
	entry = kzalloc(sizeof(*entry), GFP_KERNEL_ACCOUNT);
	if (!entry)
		return ERR_PTR(-ENOMEM);
	entry->token = token;
	return entry;
}

static int entry_done(struct ho_session *session, struct ho_entry *entry, u64 start, int err)
{
	u64 ns = ktime_get_ns() - start;

	trace_handover_preserve(session->name, entry->token, err ? 0 : entry->map->nr_pages,
				err ? 0 : entry->map->nr_pieces, ns, err);
	if (err) {
		pr_notice_ratelimited("session %s: token %llu is not preserved: %pe\n",
				      session->name, entry->token, ERR_PTR(err));
		ho_entry_free(entry);
		return err;
	}
	atomic64_add(entry->map->nr_pages, &ho_counters.preserved_pages);
	atomic64_add(ns, &ho_counters.preserve_ns);
	return 0;
}

static int session_preserve_fd(void *context, void *argument)
{
	struct handover_preserve_fd *preserve = argument;
	struct ho_session *session = context;
	u64 start = ktime_get_ns();
	struct ho_entry *entry;
	struct file *file;
	int err;

	if (preserve->flags)
		return -EOPNOTSUPP;
	if (preserve->reserved)
		return -EINVAL;
	file = fget(preserve->fd);
	if (!file)
		return -EBADF;
	entry = entry_new(session, preserve->token);
	if (IS_ERR(entry)) {
		fput(file);
		return PTR_ERR(entry);
	}
	err = ho_pin_file(entry, file);
	if (!err)
		err = entry_preserve(session, entry);
	fput(file);
	return entry_done(session, entry, start, err);
}

/* The memory is touched without the lock: that may block for ever. */
static int session_preserve_range(void *context, void *argument)
{
	struct handover_preserve_range *preserve = argument;
	struct ho_session *session = context;
	u64 start = ktime_get_ns(), end;
	struct ho_entry *entry;
	int err;

	if (preserve->flags)
		return -EOPNOTSUPP;
	if (!preserve->length || !PAGE_ALIGNED(preserve->address | preserve->length))
		return -EINVAL;
	if (check_add_overflow(preserve->address, preserve->length, &end))
		return -EOVERFLOW;
	if (!access_ok((void __user *)(uintptr_t)preserve->address, preserve->length))
		return -EFAULT;
	if (session->max_bytes && preserve->length > session->max_bytes)
		return -EDQUOT;
	mutex_lock(&session->lock);
	entry = entry_new(session, preserve->token);
	mutex_unlock(&session->lock);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	err = ho_pin_range(entry, preserve->address, preserve->length);
	mutex_lock(&session->lock);
	if (!err)
		err = entry_may_come(session, preserve->token);
	if (!err)
		err = entry_preserve(session, entry);
	err = entry_done(session, entry, start, err);
	mutex_unlock(&session->lock);
	return err;
}

static int session_allocate(void *context, void *argument)
{
	struct handover_allocate *allocate = argument;
	struct ho_session *session = context;
	u64 start = ktime_get_ns();
	struct ho_entry *entry;
	struct file *file;
	int err, fd;

	if (allocate->flags)
		return -EOPNOTSUPP;
	if (!allocate->length)
		return -EINVAL;
	if (allocate->length > totalram_pages() << PAGE_SHIFT)
		return -ENOMEM;
	if (session->max_bytes && allocate->length > session->max_bytes)
		return -EDQUOT;
	if (allocate->node != HANDOVER_ANY_NODE &&
	    (allocate->node < 0 || allocate->node >= MAX_NUMNODES ||
	     !node_state(allocate->node, N_MEMORY)))
		return -EINVAL;
	entry = entry_new(session, allocate->token);
	if (IS_ERR(entry))
		return PTR_ERR(entry);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		kfree(entry);
		return fd;
	}
	file = ho_file_allocate(allocate->length, allocate->node);
	err = PTR_ERR_OR_ZERO(file);
	if (!err) {
		ho_file_mark(file, true);
		entry->kind = HANDOVER_KIND_ALLOCATED;
		entry->map = ho_file_map(file);
		ho_map_get(entry->map);
		entry->file = get_file(file);
		entry->pinned = true;
		err = entry_preserve(session, entry);
		if (err)
			fput(file);
	}
	err = entry_done(session, entry, start, err);
	if (err) {
		put_unused_fd(fd);
		return err;
	}
	fd_install(fd, file);
	allocate->fd = fd;
	return 0;
}

static int session_unpreserve(void *context, void *argument)
{
	struct handover_unpreserve *unpreserve = argument;
	struct ho_session *session = context;
	struct ho_entry *entry;

	if (unpreserve->flags)
		return -EOPNOTSUPP;
	if (session->incoming)
		return -EINVAL;
	if (session->sealed || session->held)
		return -EBUSY;
	entry = xa_load(&session->entries, unpreserve->token);
	if (!entry)
		return -ENOENT;
	session_remove(session, entry);
	ho_entry_free(entry);
	return 0;
}

static int session_retrieve(void *context, void *argument)
{
	struct handover_retrieve *retrieve = argument;
	struct ho_session *session = context;
	u64 start = ktime_get_ns();
	struct ho_entry *entry;
	struct file *file;
	int err, fd;

	if (retrieve->flags)
		return -EOPNOTSUPP;
	if (retrieve->reserved || !session->incoming)
		return -EINVAL;
	if (session->sealed)
		return -EBUSY;
	entry = xa_load(&session->entries, retrieve->token);
	if (!entry)
		return -ENOENT;
	if (entry->retrieved)
		return -EALREADY;
	if (entry->kind == HANDOVER_KIND_KERNEL)
		return -EOPNOTSUPP;
	err = ho_map_open(entry->map);
	if (err)
		goto trace;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	ho_map_get(entry->map);
	file = ho_file_create(entry->map, entry->read_only, entry->position);
	err = PTR_ERR_OR_ZERO(file);
	if (err) {
		ho_map_put(entry->map);
		put_unused_fd(fd);
		goto trace;
	}
	entry->retrieved = true;
	fd_install(fd, file);
	retrieve->fd = fd;
	atomic64_add(ktime_get_ns() - start, &ho_counters.retrieve_ns);
trace:
	trace_handover_retrieve(session->name, retrieve->token, ktime_get_ns() - start, err);
	return err;
}

static int session_describe(void *context, void *argument)
{
	struct handover_describe *describe = argument;
	struct ho_session *session = context;
	struct ho_entry *entry;
	struct ho_map *map;

	entry = xa_load(&session->entries, describe->token);
	if (!entry)
		return -ENOENT;
	*describe = (struct handover_describe){
		.size = describe->size,
		.kind = entry->kind,
		.token = entry->token,
		.flags = entry->retrieved ? HANDOVER_ENTRY_RETRIEVED : 0,
	};
	describe->bytes = entry_bytes(entry);
	map = ho_entry_map(entry);
	if (!map)
		return 0;
	if (map->damaged)
		describe->flags |= HANDOVER_ENTRY_DAMAGED;
	describe->nodes = map->nodes;
	describe->length = map->size;
	describe->extents = map->extents.records;
	describe->runs = map->runs.records;
	describe->table_bytes = ho_map_table_bytes(map);
	describe->pieces = map->nr_pieces;
	describe->pieces_restored = atomic64_read(&map->nr_restored);
	describe->faults = atomic64_read(&map->faults);
	if (!session->incoming) {
		ho_map_count_keys(map);
		memcpy(describe->keys, map->keys, sizeof(describe->keys));
	}
	return 0;
}

/* The caller's to kvfree(); ZERO_SIZE_PTR for none. */
static u64 *tokens_of(struct ho_session *session)
{
	struct ho_entry *entry;
	unsigned long token;
	u64 *tokens;
	u32 at = 0;

	tokens = kvmalloc_array(session->nr_entries, sizeof(*tokens), GFP_KERNEL);
	if (!tokens)
		return ERR_PTR(-ENOMEM);
	xa_for_each(&session->entries, token, entry)
		tokens[at++] = token;
	return tokens;
}

/* Not under the lock while user memory is written: it may block for ever. */
static int session_list_tokens(void *context, void *argument)
{
	struct handover_list_tokens *list = argument;
	struct ho_session *session = context;
	u64 *tokens;
	u32 count;
	int err = 0;

	mutex_lock(&session->lock);
	count = session->nr_entries;
	tokens = session->dead ? ERR_PTR(-ENOENT) : tokens_of(session);
	mutex_unlock(&session->lock);
	if (IS_ERR(tokens))
		return PTR_ERR(tokens);
	if (copy_to_user(u64_to_user_ptr(list->tokens), tokens,
			 min(count, list->count) * sizeof(*tokens)))
		err = -EFAULT;
	kvfree(tokens);
	list->count = count;
	return err;
}

/* What HANDOVER_SESSION_RESTORE works on: goes on when the session is finished. */
struct restore_job {
	struct kref ref;
	struct ho_session *session;
	u32 nr;
	struct ho_map *maps[] __counted_by(nr);
};

struct restore_work {
	struct work_struct work;
	struct restore_job *job;
};

static void restore_job_release(struct kref *ref)
{
	struct restore_job *job = container_of(ref, struct restore_job, ref);
	u32 i;

	for (i = 0; i < job->nr; i++)
		ho_map_put(job->maps[i]);
	ho_session_put(job->session);
	kvfree(job);
}

static void restore_worker(struct work_struct *base)
{
	struct restore_work *work = container_of(base, struct restore_work, work);
	struct restore_job *job = work->job;
	int nice = task_nice(current);
	u32 i;

	/* Only what nobody else wants: clients may be coming back meanwhile. */
	set_user_nice(current, MAX_NICE);
	for (i = 0; i < job->nr; i++)
		while (!ho_map_restore_some(job->maps[i]))
			cond_resched();
	atomic_dec(&job->session->restoring);
	set_user_nice(current, nice);
	kref_put(&job->ref, restore_job_release);
	kfree(work);
}

static struct restore_job *restore_job_new(struct ho_session *session)
{
	struct restore_job *job;
	struct ho_entry *entry;
	unsigned long token;

	job = kvzalloc(struct_size(job, maps, session->nr_entries), GFP_KERNEL);
	if (!job)
		return NULL;
	kref_init(&job->ref);
	ho_session_get(session);
	job->session = session;
	xa_for_each(&session->entries, token, entry) {
		if (!entry->retrieved || !entry->map)
			continue;
		ho_map_get(entry->map);
		job->nr++;
		job->maps[job->nr - 1] = entry->map;
	}
	return job;
}

static int session_restore(void *context, void *argument)
{
	struct handover_restore *restore = argument;
	struct ho_session *session = context;
	struct restore_job *job;
	int err = 0;
	u32 i;

	if (restore->flags)
		return -EOPNOTSUPP;
	if (restore->reserved || !restore->threads || restore->threads > HO_MAX_THREADS ||
	    !session->incoming)
		return -EINVAL;
	if (atomic_read(&session->restoring))
		return -EALREADY;
	job = restore_job_new(session);
	if (!job)
		return -ENOMEM;
	for (i = 0; i < restore->threads; i++) {
		struct restore_work *work = kzalloc(sizeof(*work), GFP_KERNEL);

		if (!work) {
			err = i ? 0 : -ENOMEM; /* fewer threads do as well */
			break;
		}
		INIT_WORK(&work->work, restore_worker);
		work->job = job;
		kref_get(&job->ref);
		atomic_inc(&session->restoring);
		queue_work(ho_workqueue, &work->work);
	}
	kref_put(&job->ref, restore_job_release);
	return err;
}

static int session_end(struct ho_session *session, struct handover_session_end *end,
		       unsigned int how)
{
	return end->flags ? -EOPNOTSUPP : ho_session_end(session, how, &end->freed_bytes);
}

static int session_finish(void *context, void *argument)
{
	return session_end(context, argument, 0);
}

static int session_discard(void *context, void *argument)
{
	return session_end(context, argument, HO_END_DISCARD);
}

#define LOCKED(fn)							\
static int fn##_locked(void *context, void *argument)			\
{									\
	struct ho_session *session = context;				\
	int err;							\
									\
	if (mutex_lock_killable(&session->lock))			\
		return -EINTR;						\
	err = session->dead ? -ENOENT : fn(context, argument);		\
	mutex_unlock(&session->lock);					\
	return err;							\
}

LOCKED(session_info)
LOCKED(session_preserve_fd)
LOCKED(session_allocate)
LOCKED(session_unpreserve)
LOCKED(session_retrieve)
LOCKED(session_describe)
LOCKED(session_restore)

static const struct ho_ioctl session_ioctls[] = {
	HO_IOCTL(HANDOVER_SESSION_INFO, handover_session_info, pieces_restored,
		 session_info_locked),
	HO_IOCTL(HANDOVER_SESSION_PRESERVE_FD, handover_preserve_fd, reserved,
		 session_preserve_fd_locked),
	HO_IOCTL(HANDOVER_SESSION_PRESERVE_RANGE, handover_preserve_range, token,
		 session_preserve_range),
	HO_IOCTL(HANDOVER_SESSION_ALLOCATE, handover_allocate, flags, session_allocate_locked),
	HO_IOCTL(HANDOVER_SESSION_UNPRESERVE, handover_unpreserve, token,
		 session_unpreserve_locked),
	HO_IOCTL(HANDOVER_SESSION_RETRIEVE, handover_retrieve, reserved, session_retrieve_locked),
	HO_IOCTL(HANDOVER_SESSION_DESCRIBE, handover_describe, keys, session_describe_locked),
	HO_IOCTL(HANDOVER_SESSION_LIST_TOKENS, handover_list_tokens, tokens, session_list_tokens),
	HO_IOCTL(HANDOVER_SESSION_RESTORE, handover_restore, reserved, session_restore_locked),
	HO_IOCTL(HANDOVER_SESSION_FINISH, handover_session_end, freed_bytes, session_finish),
	HO_IOCTL(HANDOVER_SESSION_DISCARD, handover_session_end, freed_bytes, session_discard),
};

static long session_ioctl(struct file *file, unsigned int cmd, unsigned long argument)
{
	return ho_ioctl_dispatch(session_ioctls, ARRAY_SIZE(session_ioctls), file->private_data,
				 cmd, argument);
}

static int session_file_release(struct inode *inode, struct file *file)
{
	ho_session_put(file->private_data);
	return 0;
}

static const struct file_operations session_operations = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = session_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = session_file_release,
	.llseek = noop_llseek,
};

int ho_session_fd(struct ho_session *session)
{
	int fd;

	ho_session_get(session);
	fd = anon_inode_getfd("[handover-session]", &session_operations, session,
			      O_RDWR | O_CLOEXEC);
	if (fd < 0)
		ho_session_put(session);
	return fd;
}
