# SPDX-License-Identifier: LGPL-2.1-or-later
"""The companion module where memory is scarce: runs at the border of two nodes, CMA, swap."""

import kmod
from kmod import must, update, verify
from test_kmod import preserve, start, target

MACHINE = {"memory": "1536M", "nodes": 2}


def scratch(machine):
    """KHO's scratch areas, which are CMA, as (first frame, frame after the last)."""
    read = "cat /sys/kernel/debug/kho/out/scratch_"
    starts = machine.sh(read + "phys").split()
    lengths = machine.sh(read + "len").split()
    areas = [(int(start, 0) >> 12, (int(start, 0) + int(length, 0)) >> 12)
             for start, length in zip(starts, lengths)]
    assert areas
    return areas


def test_runs_at_the_border(machine):
    """Most of both nodes' memory in two files: their frames touch the border from both sides."""
    start(machine, gibibyte=False)
    machine.sh("echo 0 > /proc/sys/vm/nr_hugepages")
    border = kmod.frames_of_node(machine, 1)[0]
    # Three parts of four of what is free; what is left is for the programs of the next kernel.
    mib = kmod.available_mib(machine) * 3 // 8
    items = [f"1:memfd:{mib}M:random,node=0", f"2:memfd:{mib}M:node=1"]
    count = f"--count {border - 1}-{border + 1}"
    found = [x for x in preserve(machine, "border", items, count, 600) if x["what"] == "preserve"]
    touched = sum(x["counted_after"] for x in found)
    print(f"      border at frame {border:#x}: {touched} of its 2 frames are preserved")
    for token in (1, 2):
        described = kmod.describe(machine, "border", token)
        print(f"      token {token}: nodes {described['nodes']:#x}, runs {described['runs']}, "
              f"keys {sum(described['keys'])}")
    must(machine, "seal")
    update(machine, target(machine))
    verify(machine, "border", "both", items[:1], timeout=300)
    verify(machine, "border", "restored", items[1:], timeout=300)
    must(machine, "finish border")


def test_nothing_stays_in_scratch(machine):
    """Movable memory may lie in CMA; what is preserved has to leave it."""
    start(machine, gibibyte=False)
    machine.sh("echo 0 > /proc/sys/vm/nr_hugepages")
    areas = " ".join(f"--count {first}-{end}" for first, end in scratch(machine))
    # The kernel turns to CMA once most of what is free lies there: the more is taken, the surer.
    for sixteenths in (12, 13, 14):
        mib = kmod.available_mib(machine) * sixteenths // 16
        items = [f"1:memfd:{mib // 2}M:random", f"2:anon:{mib // 4}M", f"3:memfd:{mib // 4}M:odd"]
        found = [x for x in preserve(machine, "scratch", items, areas, 600)
                 if x["what"] == "preserve"]
        before = sum(x["counted_before"] for x in found)
        print(f"      pages in scratch: {before} before, {[x['counted_after'] for x in found]} after")
        if before > 0:
            break
        must(machine, "discard scratch")
    assert before > 0, "nothing lay in scratch: this test shows nothing"
    assert [x["counted_after"] for x in found] == [0, 0, 0], found
    update(machine, target(machine))
    verify(machine, "scratch", "mmap", items, timeout=300)
    must(machine, "finish scratch")


def test_memory_in_swap(machine):
    start(machine, gibibyte=False)
    machine.sh("echo 0 > /proc/sys/vm/nr_hugepages")
    machine.sh("test -e /root/swap || { dd if=/dev/zero of=/root/swap bs=1M count=300 status=none; "
               "chmod 600 /root/swap; mkswap -q /root/swap; }; swapon /root/swap", timeout=120)
    items = ["1:memfd:96M:random,pageout", "2:anon:32M:pageout", "3:tmpfs:48M:odd,pageout",
             "4:memfd:32M:huge,pageout"]
    machine.sh("awk '/^pswpout/ { print $2 }' /proc/vmstat > /run/swapped-before")
    preserve(machine, "swap", items)
    out = int(machine.sh("expr $(awk '/^pswpout/ { print $2 }' /proc/vmstat) - $(cat /run/swapped-before)"))
    print(f"      {out} pages went to swap")
    assert out > 10000, out
    machine.sh("rm /dev/shm/item-3; swapoff /root/swap", timeout=120)
    update(machine, target(machine))
    verify(machine, "swap", "mmap,read", items)
    must(machine, "finish swap")
