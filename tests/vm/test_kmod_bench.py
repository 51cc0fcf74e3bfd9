# SPDX-License-Identifier: LGPL-2.1-or-later
"""The companion module beside the kernel's own LUO memfd path, in one run of one machine.

HANDOVER_BENCH_MIB="1024 4096" scripts/test --only kmod_bench: sizes of a file, of which there are
three (tests/vm/guest/handover-kmod/bench.c). Skipped without: it takes a kexec for each figure and
more memory than a test machine has by default. No pass or fail on a time.
"""

import os
import time

import kmod
from kmod import KEXEC, must

SIZES = [int(size) for size in os.environ.get("HANDOVER_BENCH_MIB", "").split()]
SKIP = None if SIZES else 'HANDOVER_BENCH_MIB="1024" asks for it'
# Three files, the kernel, and room for what comes back before the rest is read.
MACHINE = {"memory": f"{3 * max(SIZES, default=0) + 3072}M", "kernel": "to"}

FILES = 3
# (key, unit) in the order of an update's steps.
ROWS = [
    ("preserve", "ms"), ("seal", "ms"), ("KHO keys", ""), ("table KiB", ""), ("kexec to init", "ms"),
    ("retrieve", "ms"), ("first byte", "ms"), ("all read, 1 thread", "ms"),
    ("all read, 2 threads", "ms"), ("all restored, 1 thread", "ms"), ("all restored, 2 threads", "ms"),
]
_without = []


def kexec_to_init(machine):
    """A kexec at once; milliseconds from the old kernel's last line to the new one's init."""
    begun = time.monotonic()
    machine.kexec(f"{KEXEC} now", timeout=300)
    machine.wait_up()
    left = machine.console_time("Starting new kernel", begun)
    there = machine.console_time("Welcome to", begun)
    assert left and there, machine.console(40)
    return (there - left) * 1000


def figures_of(machine, backend, layout, mib):
    machine.wait_up()
    kmod.load(machine)
    if layout == "hugetlb":
        machine.sh(f"echo {FILES * mib // 2} > /proc/sys/vm/nr_hugepages", timeout=120)
    machine.load("to")
    running = machine.start(f"exec {kmod.PROGRAM} bench preserve {backend} {layout} {mib}")
    deadline = time.monotonic() + 600
    while b'"ready"' not in running.output:
        assert not running.done.is_set() and time.monotonic() < deadline, bytes(running.output)
        time.sleep(0.2)
    figures = {}
    for entry in kmod.objects(bytes(running.output).decode()):
        if entry["what"] == "tables":
            figures["KHO keys"] = entry["keys"]
            figures["table KiB"] = entry["bytes"] / 1024
        elif "usec" in entry:
            figures[entry["what"]] = entry["usec"] / 1000
    if backend == "luo":
        # One key and one record of 16 bytes for each folio (mm/memfd_luo.c).
        folios = FILES * mib // 2 if layout == "huge" else FILES * mib * 256
        figures["KHO keys"] = folios
        figures["table KiB"] = folios * 16 / 1024
    figures["kexec to init"] = kexec_to_init(machine)
    kmod.load(machine)
    for entry in must(machine, f"bench retrieve {backend} {layout} {mib}", timeout=300):
        figures[entry["what"]] = entry["usec"] / 1000
    return figures


def number(value, unit):
    if value is None:
        return "-"
    return f"{value:.0f}" if not unit or value >= 100 else f"{value:.2f}"


def table(layout, mib, luo, tracker):
    print(f"      {FILES} files of {mib} MiB, {layout:<13} {'LUO':>10} {'handover':>10} {'ratio':>8}")
    for row, unit in ROWS:
        one, other = luo.get(row), tracker.get(row)
        ratio = f"{one / other:.1f}" if one and other else "-"
        name = f"{row}{', ' + unit if unit else ''}"
        print(f"        {name:<36} {number(one, unit):>10} {number(other, unit):>10} {ratio:>8}")


def compare(machine, layout):
    machine.wait_up()
    if not _without:
        machine.load("to")
        _without.append(kexec_to_init(machine))
    print(f"      kexec to init with nothing preserved: {_without[0]:.0f} ms")
    for mib in SIZES:
        luo = figures_of(machine, "luo", layout, mib) if layout != "hugetlb" else {}
        table(layout, mib, luo, figures_of(machine, "tracker", layout, mib))


def test_contiguous(machine):
    compare(machine, "contiguous")


def test_scattered(machine):
    compare(machine, "scattered")


def test_huge(machine):
    compare(machine, "huge")


def test_hugetlb(machine):
    compare(machine, "hugetlb")
