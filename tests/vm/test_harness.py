# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness itself: it boots, runs commands, sees a kexec through, and notices complaints."""

import time

import kernel_log
from machine import CommandFailed


def test_boots_with_kho_and_luo(machine):
    machine.wait_up()
    assert machine.sh("uname -r") == machine.release("from")
    assert machine.sh("cat /proc/1/comm") == "systemd"
    machine.sh("test -c /dev/liveupdate")
    machine.sh("test -d /sys/kernel/debug/kho/out")
    assert machine.sh("systemctl --failed --no-legend --plain") == ""


def test_commands(machine):
    assert machine.run("echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
    assert machine.run("kill -9 $$")[0] == 128 + 9
    # Input, output and files of every byte value, larger than the channel's buffers.
    contents = bytes(range(256)) * 2000
    machine.put("/tmp/bytes", contents, "0600")
    assert machine.get("/tmp/bytes") == contents
    assert machine.sh("stat --format=%a:%s /tmp/bytes") == f"600:{len(contents)}"
    # Two commands at once.
    slow = machine.start("until test -e /tmp/go; do sleep 0.1; done; echo slow")
    assert machine.sh("echo quick") == "quick"
    assert not slow.done.is_set()
    machine.sh("touch /tmp/go")
    assert slow.wait() == (0, "slow\n")
    try:
        machine.sh("false")
    except CommandFailed:
        pass
    else:
        raise AssertionError("sh() let a failed command pass")


def test_complaints_are_seen(machine):
    assert not machine.complaints()
    machine.sh("echo '<4>WARNING: a test of the log check' > /dev/kmsg")
    # It comes by the console and by dmesg; both at once, so that it can come twice.
    while machine.console_time("a test of the log check") is None:
        time.sleep(0.1)
    assert any("a test of the log check" in line for line in machine.complaints())
    assert not machine.complaints(), "a complaint was reported twice"
    assert kernel_log.complaints("BUG: x\nfine", [r"BUG: x"]) == []


# First lines of reports, as kernels print them, and lines that are none.
REPORTS = """
WARNING: CPU: 0 PID: 83 at kernel/liveupdate/kexec_handover.c:1 kho_restore_page+0x1
------------[ cut here ]------------
BUG: KASAN: slab-use-after-free in session_release+0x1/0x2 [handover]
BUG: KASAN: null-ptr-deref in map_find+0x1
KASAN: null-ptr-deref in range [0x0000000000000008-0x000000000000000f]
BUG: unable to handle page fault for address: ffff88
BUG: kernel NULL pointer dereference, address: 0000000000000008
BUG: sleeping function called from invalid context at mm/page_alloc.c:1
BUG: scheduling while atomic: handover-kmod/83/0x00000002
BUG: Bad page state in process handover-kmod  pfn:12345
BUG: Bad rss-counter state mm:00000000 type:MM_SHMEMPAGES val:1
BUG: MAX_LOCKDEP_ENTRIES too low!
BUG kmalloc-64 (Not tainted): Poison overwritten
Oops: general protection fault, probably for non-canonical address 0xdffffc: 0000 [#1] SMP KASAN
WARNING: possible recursive locking detected
WARNING: possible circular locking dependency detected
WARNING: possible irq lock inversion dependency detected
WARNING: inconsistent lock state
WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected
WARNING: lock held when returning to user space!
WARNING: held lock freed!
WARNING: bad unlock balance detected!
[ BUG: Invalid wait context ]
WARNING: suspicious RCU usage
INFO: trying to register non-static key.
INFO: lockdep is turned off.
INFO: task handover-kmod:83 blocked for more than 120 seconds.
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
DEBUG_LOCKS_WARN_ON(lock->magic != lock)
watchdog: BUG: soft lockup - CPU#0 stuck for 26s!
list_del corruption. prev->next should be ffff88, but was ffff89.
refcount_t: underflow; use-after-free.
unreferenced object 0xffff888003d9c5c0 (size 32):
page dumped because: VM_BUG_ON_PAGE(PageTail(page))
UBSAN: array-index-out-of-bounds in kmod/map.c:1:2
Out of memory: Killed process 83 (handover-kmod)
traps: handover-kmod[83] general protection fault ip:401234
handover-kmod[83]: segfault at 0 ip 0000000000401234
Kernel panic - not syncing: Fatal exception
"""
NO_REPORTS = """
Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
KernelAddressSanitizer initialized
FAULT_INJECTION: forcing a failure.
handover-kmod: page allocation failure: order:0, mode:0xcc0(GFP_KERNEL)
handover: cannot preserve fd 3: not on shmem or hugetlb
workqueue: session_work hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND
clocksource: Long readout interval, skipping watchdog check
kho: found kexec handover data.
"""


def test_reports_are_told_from_news(_machine):
    reports = REPORTS.strip().splitlines()
    missed = set(reports) - set(kernel_log.complaints(REPORTS))
    assert not missed, missed
    assert kernel_log.complaints(NO_REPORTS) == []


def test_kexec_at_once(machine):
    machine.load("to")
    boot_id = machine.boots[-1][0]
    new_boot_id, release = machine.kexec("/usr/lib/handover-test/kexec-file now")
    assert new_boot_id != boot_id
    assert release == machine.release("to") == machine.sh("uname -r")
    machine.wait_up()
    # KHO's own record of the kernel before.
    machine.sh("test -d /sys/kernel/debug/kho/in")


def test_kexec_through_systemd(machine):
    machine.load("to")
    _, release = machine.kexec("systemctl kexec")
    assert release == machine.release("to")
    machine.wait_up()
    assert machine.sh("systemctl --failed --no-legend --plain") == ""
