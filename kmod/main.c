// SPDX-License-Identifier: GPL-2.0
/* The module, /dev/handover and its ioctls. */
#include <linux/kexec_handover.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* The largest argument of any ioctl; it lies on the stack. */
#define HO_MAX_ARGUMENT	256

struct ho_counters ho_counters;
struct workqueue_struct *ho_workqueue;

bool ho_map_huge_enabled = true;
module_param_named(huge, ho_map_huge_enabled, bool, 0644);
MODULE_PARM_DESC(huge, "Map whole 2 MiB folios of retrieved files at once (default: yes)");

/*
 * As copy_struct_from_user() and the liveupdate and iommufd drivers do it: the
 * size comes with the structure, unknown parts must be zero, and the caller
 * gets back as much as he has room for.
 */
long ho_ioctl_dispatch(const struct ho_ioctl *table, size_t count, void *context,
		       unsigned int cmd, unsigned long argument)
{
	void __user *user = (void __user *)argument;
	u8 data[HO_MAX_ARGUMENT] __aligned(8);
	const struct ho_ioctl *op = NULL;
	u32 size;
	size_t i;
	int err;

	for (i = 0; i < count; i++)
		if (table[i].cmd == cmd)
			op = &table[i];
	if (!op)
		return -ENOTTY;
	if (WARN_ON_ONCE(op->size > sizeof(data)))
		return -EINVAL;
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < op->least)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(data, op->size, user, size);
	if (err)
		return err;
	err = op->fn(context, data);
	if (err)
		return err;
	return copy_to_user(user, data, min(size, op->size)) ? -EFAULT : 0;
}

int ho_check_name(const u8 *name)
{
	size_t length = strnlen(name, HANDOVER_NAME_LENGTH);

	return length && length < HANDOVER_NAME_LENGTH ? 0 : -EINVAL;
}

static int control_info(void *context, void *argument)
{
	struct handover_info *info = argument;
	struct ho_session *session;

	*info = (struct handover_info){
		.size = info->size,
		.abi = HANDOVER_ABI_VERSION,
		.format = HO_FORMAT_VERSION,
		.features = HANDOVER_FEATURE_SPARSE | HANDOVER_FEATURE_RANGE |
			    HANDOVER_FEATURE_ALLOCATE | HANDOVER_FEATURE_LAZY,
	};
	if (kho_is_enabled())
		info->features |= HANDOVER_FEATURE_KHO;
	if (IS_ENABLED(CONFIG_HUGETLB_PAGE))
		info->features |= HANDOVER_FEATURE_HUGETLB;
	mutex_lock(&ho_sessions_lock);
	info->sealed = ho_sealed;
	info->generation = ho_generation;
	info->lost = ho_lost;
	list_for_each_entry(session, &ho_sessions, node) {
		info->sessions++;
		if (session->incoming)
			info->incoming++;
		else
			info->bytes += READ_ONCE(session->bytes);
	}
	mutex_unlock(&ho_sessions_lock);
	return 0;
}

static int control_create(void *context, void *argument)
{
	struct handover_create_session *create = argument;
	struct ho_session *session;
	int err;

	if (create->flags)
		return -EOPNOTSUPP;
	err = ho_check_name(create->name);
	if (err)
		return err;
	if (!kho_is_enabled())
		return -EOPNOTSUPP;
	session = ho_session_new(create->name, false);
	if (!session)
		return -ENOMEM;
	session->max_bytes = create->max_bytes;
	session->max_entries = create->max_entries;
	mutex_lock(&ho_sessions_lock);
	if (ho_sealed)
		err = -EBUSY;
	else if (ho_session_find(create->name))
		err = -EEXIST;
	else
		err = ho_session_fd(session);
	if (err >= 0) {
		create->fd = err;
		err = 0;
		ho_session_publish(session);
	}
	mutex_unlock(&ho_sessions_lock);
	ho_session_put(session);
	return err;
}

static int control_retrieve(void *context, void *argument)
{
	struct handover_retrieve_session *retrieve = argument;
	struct ho_session *session;
	int err;

	err = ho_check_name(retrieve->name);
	if (err)
		return err;
	mutex_lock(&ho_sessions_lock);
	session = ho_session_find(retrieve->name);
	err = session ? ho_session_fd(session) : -ENOENT;
	mutex_unlock(&ho_sessions_lock);
	if (err < 0)
		return err;
	retrieve->fd = err;
	return 0;
}

static int control_list(void *context, void *argument)
{
	struct handover_list_sessions *list = argument;
	struct handover_session_item __user *out = u64_to_user_ptr(list->items);
	struct ho_session *session;
	u32 at = 0;
	int err = 0;

	mutex_lock(&ho_sessions_lock);
	list_for_each_entry(session, &ho_sessions, node) {
		struct handover_session_item item = {
			.flags = session->incoming ? HANDOVER_SESSION_INCOMING : 0,
			.entries = READ_ONCE(session->nr_entries),
			.bytes = READ_ONCE(session->bytes),
		};

		memcpy(item.name, session->name, sizeof(item.name));
		if (at < list->count && copy_to_user(out + at, &item, sizeof(item))) {
			err = -EFAULT;
			break;
		}
		at++;
	}
	mutex_unlock(&ho_sessions_lock);
	list->count = at;
	return err;
}

static int control_seal(void *context, void *argument)
{
	struct handover_seal *seal = argument;
	int err;

	if (seal->flags)
		return -EOPNOTSUPP;
	if (!kho_is_enabled())
		return -EOPNOTSUPP;
	mutex_lock(&ho_sessions_lock);
	err = ho_seal(&seal->table_bytes, &seal->updated, false);
	mutex_unlock(&ho_sessions_lock);
	seal->reserved = 0;
	return err;
}

static int control_unseal(void *context, void *argument)
{
	struct handover_seal *seal = argument;

	if (seal->flags)
		return -EOPNOTSUPP;
	mutex_lock(&ho_sessions_lock);
	ho_unseal();
	mutex_unlock(&ho_sessions_lock);
	return 0;
}

static const struct ho_ioctl control_ioctls[] = {
	HO_IOCTL(HANDOVER_INFO, handover_info, reserved, control_info),
	HO_IOCTL(HANDOVER_CREATE_SESSION, handover_create_session, flags, control_create),
	HO_IOCTL(HANDOVER_RETRIEVE_SESSION, handover_retrieve_session, name, control_retrieve),
	HO_IOCTL(HANDOVER_LIST_SESSIONS, handover_list_sessions, items, control_list),
	HO_IOCTL(HANDOVER_SEAL, handover_seal, reserved, control_seal),
	HO_IOCTL(HANDOVER_UNSEAL, handover_seal, reserved, control_unseal),
};

static long control_ioctl(struct file *file, unsigned int cmd, unsigned long argument)
{
	return ho_ioctl_dispatch(control_ioctls, ARRAY_SIZE(control_ioctls), NULL, cmd, argument);
}

/*
 * What a kexec carries is for those to decide who may start one. Not
 * CAP_SYS_ADMIN: the daemon would have to have it for this alone.
 */
static int control_open(struct inode *inode, struct file *file)
{
	return capable(CAP_SYS_BOOT) ? 0 : -EPERM;
}

static const struct file_operations control_operations = {
	.owner = THIS_MODULE,
	.open = control_open,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice control = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "handover",
	.fops = &control_operations,
	.mode = 0600,
};

/* The last resort: a kexec for which nobody sealed. */
static int reboot_notify(struct notifier_block *block, unsigned long action, void *command)
{
	u64 table_bytes;
	u32 updated;
	int err;

	if (!command || strcmp(command, "kexec reboot") || !kho_is_enabled())
		return NOTIFY_DONE;
	mutex_lock(&ho_sessions_lock);
	if (!list_empty(&ho_sessions)) {
		err = ho_seal(&table_bytes, &updated, true);
		if (err)
			pr_crit("sessions cannot be sealed and are lost: %pe\n", ERR_PTR(err));
	}
	mutex_unlock(&ho_sessions_lock);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_notifier = {
	.notifier_call = reboot_notify,
	/* After all others: other modules may bring their sets up to date there. */
	.priority = INT_MIN,
};

static int __init handover_init(void)
{
	int err = -ENOMEM;

	BUILD_BUG_ON(PAGE_SHIFT != HO_PAGE_SHIFT);
	BUILD_BUG_ON(HO_NAME_LENGTH != HANDOVER_NAME_LENGTH);

	ho_workqueue = alloc_workqueue("handover", WQ_UNBOUND, 0);
	if (!ho_workqueue)
		return err;
	/*
	 * What can fail comes first: what the earlier kernel left can be taken once.
	 * Until it is, nobody gets past the lock, and no name of it can be taken.
	 * The notifier takes that lock inside of its chain's: not in it, therefore.
	 */
	err = register_reboot_notifier(&reboot_notifier);
	if (err)
		goto destroy;
	mutex_lock(&ho_sessions_lock);
	err = misc_register(&control);
	if (!err)
		ho_adopt();
	mutex_unlock(&ho_sessions_lock);
	if (err)
		goto unregister;
	ho_debugfs_init();
	if (!kho_is_enabled())
		pr_notice("KHO is off (kho=on is not on the command line): nothing can be preserved\n");
	return 0;
unregister:
	unregister_reboot_notifier(&reboot_notifier);
destroy:
	destroy_workqueue(ho_workqueue);
	return err;
}

static void __exit handover_exit(void)
{
	ho_debugfs_exit();
	misc_deregister(&control);
	unregister_reboot_notifier(&reboot_notifier);
	/* There is no session any more: each holds the module. */
	mutex_lock(&ho_sessions_lock);
	ho_unseal();
	mutex_unlock(&ho_sessions_lock);
	destroy_workqueue(ho_workqueue);
	ho_pin_exit();
}

module_init(handover_init);
module_exit(handover_exit);

MODULE_AUTHOR("The handoverd developers");
MODULE_DESCRIPTION("Preserves memory across a kexec: the companion of handoverd");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
/* The version of the serialized form, for who looks before a kexec. */
MODULE_INFO(handover_format, __stringify(HO_FORMAT_VERSION));
