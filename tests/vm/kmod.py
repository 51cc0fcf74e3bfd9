# SPDX-License-Identifier: LGPL-2.1-or-later
"""The companion module as the vm tests use it: tests/vm/guest/handover-kmod in the machine."""

import collections
import json
import re
import unittest

PROGRAM = "/usr/lib/handover-test/handover-kmod"
KEXEC = "/usr/lib/handover-test/kexec-file"


def objects(text):
    """The JSON lines of the program's output; whatever else it says is for people."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def run(machine, words, timeout=120):
    """One command of handover-kmod; (exit code, objects, text)."""
    code, text = machine.run(f"{PROGRAM} {words}", timeout=timeout)
    return code, objects(text), text


def must(machine, words, timeout=120):
    """The same for what has to succeed; its objects."""
    code, found, text = run(machine, words, timeout)
    assert code == 0, f"exit code {code}: {words}\n{text}"
    return found


def load(machine):
    """The module, in this kernel; without one built there is nothing to test."""
    code, text = machine.run("modprobe handover")
    if "not found" in text:
        raise unittest.SkipTest("kmod/ was not built: no kmod/Makefile")
    assert code == 0, text
    machine.until("test -c /dev/handover")


def info(machine):
    return must(machine, "info")[0]


def sessions(machine):
    return {session["name"]: session for session in must(machine, "list")}


def describe(machine, session, token):
    return must(machine, f"describe {session} {token}")[0]


def verify(machine, session, how, items, timeout=300):
    """Retrieves the items, compares them in each of the manners named; the program's objects."""
    return must(machine, f"verify {session} {how} {' '.join(items)}", timeout)


def update(machine, which, how=f"{KEXEC} now", append=(), timeout=240):
    """A kexec into that kernel, module loaded there."""
    generation = info(machine)["generation"]
    machine.load(which, append)
    _, release = machine.kexec(how, timeout=timeout)
    assert release == machine.release(which), release
    load(machine)
    there = info(machine)
    assert there["generation"] == generation + 1, there
    assert there["lost"] == 0, there
    return there


def checking(machine):
    return machine.sh("uname -r").endswith("-checking")


def available_mib(machine):
    """What new files can take, once caches are dropped."""
    machine.sh("sync; echo 3 > /proc/sys/vm/drop_caches; sleep 1; echo 3 > /proc/sys/vm/drop_caches")
    return sum(_zone_counters(machine)[kind] for kind in ("nr_free_pages", "count")) // 256


def _zone_counters(machine):
    """/proc/zoneinfo's counters, added up over all zones; pages but for nr_kernel_stack."""
    # What each CPU still keeps to itself of them is added first.
    text = machine.sh("cat /proc/sys/vm/stat_refresh; cat /proc/zoneinfo")
    sums = collections.Counter()
    for name, count in (line.split() for line in text.splitlines()
                        if re.fullmatch(r" *[a-z_]+:? +\d+", line)):
        sums[name.rstrip(":")] += int(count)
    return sums


def free_kib(machine):
    """Memory that no process and no cache has: free memory, with what lies in the lists of each CPU,
    which grow and shrink by tens of MiB as they like, and with what the kernel accounts to others:
    the memory of processes, their page tables and stacks, and the page cache but for shared memory.
    What other programs take and give while a test runs cancels out so; what a session holds is in
    none of these. The journal, which grows by 8 MiB at a time, is shared memory in /run. KASAN keeps
    freed objects of slabs back (its quarantine), so that on the checking kernel slabs only grow,
    whatever is done: they count as free."""
    run = machine.sh(
        "sync; echo 3 > /proc/sys/vm/drop_caches; sleep 1; echo 3 > /proc/sys/vm/drop_caches; "
        "df --output=used -k /run | tail -n 1")
    sums = _zone_counters(machine)
    free = sums["nr_free_pages"] + sums["count"]
    others = sums["nr_anon_pages"] + sums["nr_page_table_pages"] + sums["nr_file_pages"] - sums["nr_shmem"]
    slabs = sums["nr_slab_reclaimable"] + sums["nr_slab_unreclaimable"] if checking(machine) else 0
    return (free + others + slabs) * 4 + sums["nr_kernel_stack"] + int(run)


def frames_of_node(machine, node):
    """(first frame, frame after the last) of a NUMA node."""
    text = machine.sh("cat /proc/zoneinfo")
    first = last = None
    here = False
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["Node"]:
            here = words[1] == f"{node},"
            spanned = 0
        elif here and words[:1] == ["spanned"]:
            spanned = int(words[1])
        elif here and words[:1] == ["start_pfn:"] and spanned:
            start = int(words[1])
            first = start if first is None else min(first, start)
            last = start + spanned if last is None else max(last, start + spanned)
    return first, last
