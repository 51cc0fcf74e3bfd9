# SPDX-License-Identifier: LGPL-2.1-or-later
"""The companion module from one kernel to the next: every kind of memory, lazily, in a chain.

Most tests look at sessions that one common update brought over (updated()); each has its own.
"""

import itertools
import re
import statistics
import unittest

import kmod
from kmod import KEXEC, checking, describe, must, run, sessions, update, verify

MACHINE = {"memory": "8G", "nodes": 2}

# What is preserved, and how it is looked at in the next kernel (tests/vm/guest/handover-kmod/).
KINDS = {
    "1:memfd:0": "mmap",
    "2:memfd:1": "read,mmap,write",
    "3:memfd:4K": "mmap,write",
    "4:memfd:2M-4K": "both",
    "5:memfd:2M": "fork,write",
    "6:memfd:2M+4K": "private",
    "7:memfd:100M:random": "mmap,read",
    "10:memfd:32M:ends": "read,write",
    "11:memfd:32M:odd,late": "mmap,read,write",
    "12:memfd:16M:empty": "both,write",
    "13:memfd:16M:sealed": "mmap,write",
    "14:memfd:16M:reader": "read,write",
    "15:memfd:64M:huge": "fork,private",
    "16:hugetlb2m:16M": "both,write",
    "17:hugetlb2m:16M:ends": "read,write",
    "18:hugetlbfs:8M": "mmap,write",
    "19:hugerange:8M": "fork,private",
    "20:anon:16M+4K:random": "mmap,write",
    "21:anon:32M:huge": "read",
    "22:private:8M": "mmap",
    "23:shared:8M": "both",
    "24:alloc:64M": "private,write",
    "25:alloc:4K": "mmap,write",
    "26:alloc:2M+4K:node=1": "read",
    "27:tmpfs:20M+4K:random": "mmap,write",
    "28:tmpfs:8M:odd": "read,write",
}
# Pages of both in turn, in random order.
INTERLEAVED = ["8:memfd:64M:random", "9:tmpfs:64M:random"]
GIBIBYTE = {"30:hugetlb1g:1G": "mmap", "31:memfd:1G": "read"}
LOAD = ["1:memfd:192M:random", "2:alloc:64M", "3:memfd:64M:odd", "4:hugetlb2m:16M",
        "5:memfd:64M:huge", "6:anon:32M"]
PINNED = ["1:memfd:64M:random", "2:alloc:32M", "3:hugetlb2m:8M", "4:memfd:32M:huge",
          "5:memfd:24M:odd", "6:anon:16M"]
UNCLAIMED = ["1:memfd:256M:random", "2:alloc:128M", "3:memfd:64M:huge", "4:anon:64M"]
RESTORED = ["1:memfd:128M:random", "2:memfd:16M:ends", "3:hugetlb2m:8M", "4:alloc:32M"]


def target(machine):
    """The kernel to update to: a newer one, or the checking one to itself."""
    return "checking" if checking(machine) else "to"


def start(machine, gibibyte=True):
    """The module loaded, without sessions, and huge pages to be had, one of 1 GiB among them."""
    machine.wait_boot()
    machine.wait_up()
    kmod.load(machine)
    for name in sessions(machine):
        must(machine, f"discard {name}")
    assert kmod.info(machine)["bytes"] == 0
    pages = "/sys/kernel/mm/hugepages"
    if gibibyte and not checking(machine) and machine.boot_count() == 1:
        # While memory is whole. Not by hugepages=: that leaves too little for KHO's scratch.
        machine.sh(f"echo 1 > {pages}/hugepages-1048576kB/nr_hugepages && "
                   f"grep -qx 1 {pages}/hugepages-1048576kB/nr_hugepages")
    machine.sh(f"echo 48 > {pages}/hugepages-2048kB/nr_hugepages")
    machine.sh("mkdir -p /dev/hugepages; mountpoint -q /dev/hugepages || "
               "mount -t hugetlbfs -o pagesize=2M none /dev/hugepages")


def preserve(machine, session, items, options="", timeout=300):
    """Makes and preserves; each is described with the bytes that it really has."""
    found = must(machine, f"preserve {options} {session} {' '.join(items)}", timeout)
    for entry in (x for x in found if x["what"] == "preserve"):
        described = describe(machine, session, entry["token"])
        late = ":odd,late" in next(i for i in items if i.startswith(f"{entry['token']}:"))
        # What was written since counts from the next seal on.
        if not late:
            assert described["bytes"] == entry["expected_bytes"], (entry, described)
    return found


def assert_keys(machine, preserved):
    """{session: items}, of all sessions that there are: each page is in one key. Which entry has it
    is not said: where pages of several lie between each other, they have keys together."""
    described = [describe(machine, session, item.split(":")[0])
                 for session, items in preserved.items() for item in items]
    assert sum(n << order for entry in described for order, n in enumerate(entry["keys"])) * 4096 \
        == sum(entry["bytes"] for entry in described), described


def assert_right(found):
    wrong = [x for x in found if x.get("right") is False]
    assert not wrong, "\n".join(map(str, wrong))
    assert found


def updated(machine):
    """Brings the machine into the next kernel with every session of these tests, once."""
    if getattr(machine, "kmod_updated", False):
        return
    start(machine)
    kinds = {**KINDS, **({} if checking(machine) else GIBIBYTE)}
    preserved = {
        "kinds": kinds, "load": LOAD, "pinned": PINNED, "unclaimed": UNCLAIMED,
        "restored": RESTORED, "held": ["1:memfd:32M:random", "2:memfd:8M"], "wrong": ["1:memfd:1M"],
        **({"inject": [f"{n}:memfd:8M:random" for n in range(1, 9)]} if checking(machine) else {})}
    for session, items in preserved.items():
        preserve(machine, session, items)
    preserve(machine, "kinds", INTERLEAVED, "--interleave")
    assert_keys(machine, {**preserved, "kinds": [*kinds, *INTERLEAVED]})
    # Nobody has a descriptor of any of it by now. tmpfs files may even be unlinked.
    machine.sh("rm -f /dev/shm/item-* /dev/hugepages/item-*")
    before = sessions(machine)
    sealed = must(machine, "seal")[0]
    assert sealed["updated"] == 1, sealed  # the file whose holes were written to
    there = update(machine, target(machine))
    assert there["incoming"] == there["sessions"] == len(before), (before, there)
    after = sessions(machine)
    assert set(after) == set(before), (before, after)
    for name, session in after.items():
        assert session["incoming"] == 1
        assert session["entries"] == before[name]["entries"], (before[name], session)
    machine.kmod_updated = True


def test_two_nodes(machine):
    start(machine)
    assert machine.sh("cat /sys/devices/system/node/online") == "0-1"
    preserve(machine, "nodes", ["1:memfd:8M:node=0", "2:memfd:8M:node=1", "3:alloc:8M:node=1"])
    assert [describe(machine, "nodes", token)["nodes"] for token in (1, 2, 3)] == [1, 2, 2]
    must(machine, "discard nodes")


def test_wrong_calls_before(machine):
    start(machine)
    must(machine, "create wrong-calls")
    code, found, text = run(machine, "refusals before wrong-calls")
    assert_right(found)
    assert code == 0, text
    must(machine, "discard wrong-calls")
    assert sessions(machine) == {}
    # Whoever reads the log learns why, and is not flooded.
    lines = [x for x in machine.sh("dmesg").splitlines() if " handover: " in x]
    assert 1 <= len(lines) <= 100, lines


def test_opened_by_those_who_may_kexec(machine):
    start(machine)
    program = "/usr/lib/handover-test/handover-kmod info"
    machine.sh(f"setpriv --bounding-set=-all,+sys_boot {program}")
    code, text = machine.run(f"setpriv --bounding-set=-sys_boot {program}")
    assert code != 0 and "Operation not permitted" in text, text


def test_unloading_is_refused(machine):
    start(machine)
    preserve(machine, "kept", ["1:memfd:1M", "2:anon:1M", "3:alloc:1M"])
    code, text = machine.run("rmmod handover")
    assert code != 0 and "in use" in text, text
    assert sessions(machine)["kept"]["entries"] == 3
    must(machine, "discard kept")
    machine.sh("rmmod handover; modprobe handover")
    assert kmod.info(machine)["generation"] == 0


def test_memory_comes_back_when_dropped(machine):
    """Unpreserve and discard, many times over: as much is free as before. What leaks does so each
    time; what the guest does besides takes some MiB once: one round may."""
    start(machine)
    machine.sh("rm -f /dev/shm/item-*")
    items = ["1:memfd:16M:random", "2:anon:8M:random", "3:alloc:16M", "4:memfd:8M:huge", "5:tmpfs:4M",
             "6:hugetlb2m:4M", "7:private:4M", "8:memfd:4M:odd"]
    free = []
    for _ in range(6):
        preserve(machine, "dropped", items)
        must(machine, "seal")
        must(machine, "unseal")
        must(machine, "unpreserve dropped 1")
        must(machine, "unpreserve dropped 3")
        must(machine, "discard dropped")
        machine.sh("rm -f /dev/shm/item-*")
        free.append(kmod.free_kib(machine))
    lost = [before - after for before, after in itertools.pairwise(free)]
    assert sum(lost) - max(lost) < 2048 and statistics.median(lost) < 256, (lost, free)


def test_every_kind(machine):
    updated(machine)
    kinds = {**KINDS, **({} if checking(machine) else GIBIBYTE), **dict.fromkeys(INTERLEAVED, "mmap")}
    by_mode = {}
    for item, how in kinds.items():
        by_mode.setdefault(how, []).append(item)
    for how, items in by_mode.items():
        verify(machine, "kinds", how, items, timeout=600)
    assert must(machine, "finish kinds")[0]["freed"] == 0
    assert "kinds" not in sessions(machine)


def test_retrieve_takes_no_time(machine):
    """Not a limit on time, but on what a retrieve does: nothing is restored by it."""
    updated(machine)
    found = must(machine, f"verify restored none {RESTORED[0]}")[0]
    assert found["restored"] == 0 and found["faults"] == 0 and found["pieces"] > 0, found


def test_background_restore(machine):
    updated(machine)
    for item in RESTORED[1:]:
        found = verify(machine, "restored", "restored", [item])[0]
        assert found["restored"] == found["pieces"] and found["faults"] == 0, found
    session = must(machine, "session restored")[0]
    assert session["restoring"] == 0 and session["retrieved"] == len(RESTORED), session
    must(machine, "finish restored")


def test_under_load(machine):
    """Eight threads at random, read(), a child and private mappings while it is restored."""
    updated(machine)
    for item in LOAD:
        found = verify(machine, "load", "load,write", [item], timeout=600)[0]
        assert found["restored"] == found["pieces"], found
    must(machine, "finish load")


def test_long_term_pin(machine):
    updated(machine)
    verify(machine, "pinned", "pin,write", PINNED, timeout=300)
    must(machine, "finish pinned")


def test_wrong_calls_after(machine):
    updated(machine)
    code, found, text = run(machine, "refusals after wrong")
    assert_right(found)
    assert code == 0, text
    must(machine, "finish wrong")


def test_finish_while_mapped(machine):
    """What is retrieved stays with its holder; the rest of the session goes."""
    updated(machine)
    holder = machine.start(
        f"exec {kmod.PROGRAM} hold held 1:memfd:32M:random")
    machine.until("test -e /run/handover-kmod.held")
    freed = must(machine, "finish held")[0]
    assert freed["freed"] == 8 << 20, freed
    machine.sh("touch /run/handover-kmod.go")
    code, text = holder.wait(120)
    assert code == 0, text


def test_unclaimed_memory_comes_back(machine):
    updated(machine)
    machine.wait_up()  # what still starts takes memory, too
    free = kmod.free_kib(machine)
    held = sessions(machine)["unclaimed"]["bytes"]
    assert held == 512 << 20
    freed = must(machine, "finish unclaimed")[0]
    assert freed["freed"] == held, freed
    gained = kmod.free_kib(machine) - free
    assert gained > (held >> 10) - 4096, gained


def test_all_is_gone_in_the_end(machine):
    updated(machine)
    for name in sessions(machine):
        must(machine, f"discard {name}")
    there = kmod.info(machine)
    assert there["bytes"] == there["sessions"] == there["incoming"] == 0, there
    machine.sh("rmmod handover; modprobe handover")
    # What was consumed is not found a second time.
    assert sessions(machine) == {}


def test_interleaved_files_share_keys(machine):
    """What lies between each other is preserved as one, and goes by itself, in either kernel."""
    start(machine)
    items = [f"{token}:memfd:48M:random" for token in (1, 2, 3)]
    preserve(machine, "shared", items, "--interleave")
    together = [describe(machine, "shared", token) for token in (1, 2, 3)]
    pages, keys = (sum(sum(map(size, enumerate(entry["keys"]))) for entry in together)
                   for size in (lambda key: key[1] << key[0], lambda key: key[1]))
    assert pages == 3 * 48 * 256, together
    # By itself each file would need a key for each of its runs, at least. How long runs of all three
    # together are is the kernel's page allocator's matter.
    assert keys * 2 < sum(entry["runs"] for entry in together), together
    must(machine, "unpreserve shared 2")
    assert_keys(machine, {"shared": [items[0], items[2]]})
    must(machine, "seal")
    update(machine, target(machine))
    holder = machine.start(f"exec {kmod.PROGRAM} hold shared {items[0]}")
    machine.until("test -e /run/handover-kmod.held")
    freed = must(machine, "finish shared")[0]
    assert freed["freed"] == 48 << 20, freed
    # Over what has been freed, if it were still somebody's.
    machine.sh("head -c 200M /dev/zero > /dev/shm/fill; rm /dev/shm/fill; "
               "touch /run/handover-kmod.go")
    code, text = holder.wait(120)
    assert code == 0, text


def test_chain_of_five(machine):
    """The same files through five updates; half of the memory is never touched on the way."""
    start(machine)
    # A hole that is touched through a mapping gets a page, as in shmem: the sparse one is not.
    items = ["1:memfd:96M:random,touch", "2:memfd:32M:odd", "3:hugetlb2m:16M:touch",
             "4:alloc:32M:touch", "5:memfd:32M:huge,touch", "6:anon:16M:touch", "7:memfd:1:touch",
             "8:memfd:0", "9:memfd:16M:reader,touch", "20:memfd:64M:random", "21:alloc:16M"]
    # The first two lie between each other, one of them touched in each kernel, and one in none.
    preserve(machine, "chain-0", [items[0], items[9]], "--interleave")
    preserve(machine, "chain-0", items[1:9] + items[10:])
    first = sessions(machine)["chain-0"]
    tables = describe(machine, "chain-0", 1)["table_bytes"]
    for step in range(1, 6):
        # Sealed by ioctl or by the reboot notifier, at once or through systemd, by turns.
        if step % 2:
            must(machine, "seal")
        update(machine, target(machine), "systemctl kexec" if step == 4 else f"{KEXEC} now")
        there = sessions(machine)[f"chain-{step - 1}"]
        assert there["bytes"] == first["bytes"] and there["entries"] == first["entries"], there
        if step < 5:
            must(machine, f"again chain-{step - 1} chain-{step} {' '.join(items)}", 300)
            assert describe(machine, f"chain-{step}", 1)["table_bytes"] <= tables
    verify(machine, "chain-4", "mmap,read", items, timeout=300)
    assert must(machine, "finish chain-4")[0]["freed"] == 0


def test_notifier_seals(machine):
    """A kexec that nobody sealed for, orderly, with more preserved after an unseal."""
    start(machine)
    preserve(machine, "unsealed", ["1:memfd:4M:random"])
    must(machine, "seal")
    must(machine, "unseal")
    preserve(machine, "unsealed", ["2:memfd:4M:odd,late", "3:anon:1M"])
    update(machine, target(machine), "systemctl kexec")
    verify(machine, "unsealed", "mmap", ["1:memfd:4M:random", "2:memfd:4M:odd,late", "3:anon:1M"])
    must(machine, "finish unsealed")


def test_other_modules(machine):
    """A four-level tree of single pages and more, carried by another module over a kexec."""
    start(machine)
    machine.sh("modprobe handover_selftest mode=save pages=20000", timeout=120)
    assert kmod.info(machine)["bytes"] >= 20000 * 4096
    update(machine, target(machine))
    machine.sh("modprobe handover_selftest mode=check", timeout=120)
    assert "20000 pages, all right" in machine.sh("dmesg | grep handover_selftest")
    machine.sh("rmmod handover_selftest")
    assert sessions(machine) == {}


def test_failed_allocations(machine):
    if not checking(machine):
        raise unittest.SkipTest("only on the checking kernel")
    start(machine)
    for what, least in (("preserve", 100), ("seal", 10)):
        code, found, text = run(machine, f"inject {what}", timeout=900)
        assert code == 0, text
        assert sum(x.get("injected", 0) for x in found) > least, text
        assert kmod.info(machine)["bytes"] == 0


# KHO warns if the file that shows a subtree in debugfs cannot be made, and goes on without it.
# Any other warning has a line of its own that complains.
test_failed_allocations.allowed_log = [r"WARNING: at kho_add_subtree\+", r"\[ cut here \]"]


def test_fuzz(machine):
    """A minute of random calls by several threads: no splat, nothing left, and it still works."""
    start(machine)
    free = kmod.free_kib(machine)
    code, found, text = run(machine, "fuzz 60 6 1", timeout=300)
    assert code == 0, text
    # How many there are depends on the host's load; that they get far does not.
    assert found[0]["successes"] > 100 and len(found[0]["errnos"]) >= 8, found
    print(f"      {re.sub('[{}]', '', str(found[0]))}")
    machine.sh("rm -f /root/fuzz")
    assert sessions(machine) == {}
    assert free - kmod.free_kib(machine) < 16384
    preserve(machine, "after", ["1:memfd:4M:random"])
    update(machine, target(machine))
    verify(machine, "after", "mmap", ["1:memfd:4M:random"])
    must(machine, "finish after")
