# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device and its DMA map through real kernel updates: QEMU's intel-iommu and edu."""

import json
import re

from iommu import (EDU, MACHINE, RNG, SECOND_EDU, THIRD_EDU, check_carried, configuration,
                   configure, later, start)
from workload import (ctl, image, newest_record, other, phases, start_scripted, update,
                      wait_normal)

SCATTERED = 10000
PAGE = 4096


def said(machine, name):
    # What a process said just before its end may still be on its way to the journal.
    return machine.sh(f"journalctl --sync; journalctl -b -o cat -u handover-iommu@{name} | "
                      "grep handover-iommu: || true")


def translations(machine, device):
    """The IOMMU's own tables: IOVA page → physical page and rights, a large page as its 4 KiB ones.

    A line is the IOVA's page frame and one entry a level, from the fifth down to the one that maps;
    its place says how much.
    """
    text = machine.get(f"/sys/kernel/debug/iommu/intel/{device}/domain_translation_struct").decode()
    pages = {}
    for line in text.splitlines():
        found = re.match(r"(0x[0-9a-f]+)\s*\|((?:\s*0x[0-9a-f]+){3,5})\s*$", line)
        if not found:
            continue
        entries = [int(entry, 16) for entry in found[2].split()]
        leaf, count = entries[-1], 512 ** (5 - len(entries))
        for i in range(count):
            physical = ((leaf & 0x000ffffffffff000) // PAGE // count * count) + i
            pages[int(found[1], 16) + i] = (physical, leaf & 3)
    assert pages, text[:500]
    return pages


def refused_start(machine, config, *words):
    """handover-iommu says one line with these words, starts nothing and leaves nothing."""
    machine.sh("rm -f /root/bad.json")
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config, indent=2)
        machine.put("/root/bad.json", text)
    code, output = machine.run(
        "rm -f /run/started; env -u JOURNAL_STREAM "
        "handover-iommu run --name bad --config /root/bad.json 2>&1")
    lines = [line for line in output.splitlines() if line.startswith("handover-iommu: ")]
    assert code != 0 and len(lines) == 1 == len(output.splitlines()), (words, code, output)
    for word in words:
        assert word in lines[0], (word, lines[0])
    machine.sh("test ! -e /run/started")
    assert "bad" not in [session["name"] for session in ctl(machine, "sessions")]
    assert "bad" not in [client["name"] for client in ctl(machine, "clients")]


def take(machine, device):
    """From whatever driver has it, for vfio-pci. The client may be at it at the same time."""
    machine.sh("modprobe vfio-pci")
    machine.until(f"cd /sys/bus/pci/devices/{device}; echo vfio-pci > driver_override; "
                  f"test ! -e driver || echo {device} > driver/unbind; "
                  f"echo {device} > /sys/bus/pci/drivers_probe; "
                  "readlink driver | grep -q /vfio-pci$")


def start_large(machine):
    """Few mappings, but large ones, on the second device; once on each machine."""
    if machine.run("systemctl is-active handover-iommu@large")[0] == 0:
        return
    start(machine, "large", configuration(
        SECOND_EDU, memory=[{"name": "buffers", "size": "256M"}], iova={"last": "0x7fffffff"},
        mappings=[{"iova": "0x100000", "length": "1M", "memory": "buffers"},
                  {"iova": "0x10000000", "length": "127M", "offset": "0x100000",
                   "memory": "buffers"},
                  {"iova": "0x40000000", "length": "128M", "offset": "0x8000000",
                   "memory": "buffers", "rights": "read"}],
        command=["/usr/lib/handover-test/edu-driver", "large"]))


def test_refused_before_anything_starts(machine):
    machine.wait_up()
    good = configuration(EDU)
    low = good["mappings"][0]
    refused_start(machine, '{\n  "device": "0000:00:10.0",\n  "memory" [\n', "bad.json:3:")
    refused_start(machine, None, "/root/bad.json", "No such file")
    refused_start(machine, configuration(EDU, colour="red"), "/colour", "known are")
    refused_start(machine, configuration("10.0"), "/device", "PCI address")
    refused_start(machine, configuration(EDU, memory=[{"name": "buffers", "size": 12}]),
                  "/memory/0/size", "4096")
    refused_start(machine, configuration(EDU, mappings=[low, {**low, "iova": "0x1ff000"}]),
                  "/mappings/1", "overlaps")
    refused_start(machine, configuration(EDU, mappings=[{**low, "iova": "0x100100"}]),
                  "/mappings/0", "not aligned")
    refused_start(machine, configuration(EDU, mappings=[{**low, "iova": "0xff80000"}]),
                  "/mappings/0", "0xfffffff")
    refused_start(machine, configuration("0000:00:1d.7", **{"device-wait-seconds": 0.1}),
                  "0000:00:1d.7", "not there")
    refused_start(machine, configuration(RNG, **{"device-wait-seconds": 0.1}), RNG, "virtio-pci")
    refused_start(machine, configuration(EDU, iova={"last": "0xfffffffffffffffe"}),
                  "too small", EDU)
    machine.sh("mv /dev/iommu /dev/iommu.away")
    try:
        refused_start(machine, good, "no /dev/iommu")
    finally:
        machine.sh("mv /dev/iommu.away /dev/iommu")


def test_same_translations_in_the_next_kernel(machine):
    """10,000 scattered pages on one device, a few large mappings on another."""
    machine.wait_up()
    start(machine, "edu", configuration(
        EDU, command=["/usr/lib/handover-test/edu-driver", "edu", str(SCATTERED)]))
    start_large(machine)
    names = {"edu": EDU, "large": SECOND_EDU}
    before = {name: later(machine, name) for name in names}
    tables = {name: translations(machine, device) for name, device in names.items()}
    assert len(tables["edu"]) == SCATTERED + 256, len(tables["edu"])
    assert len(tables["large"]) == 256 * 256, len(tables["large"])
    print(f"      {SCATTERED} mappings added by the library in "
          f"{before['edu']['map_usec'] / 1000:.0f} ms")
    for name in names:
        assert before[name]["errors"] == 0, before
        print(f"      {said(machine, name)}")

    entry = update(machine, "to")
    for name, device in names.items():
        check_carried(machine, name, before[name])
        after = translations(machine, device)
        assert after == tables[name], [
            (hex(page), tables[name].get(page), after.get(page))
            for page in sorted(set(after) | set(tables[name]))
            if tables[name].get(page) != after.get(page)][:10]
        line = said(machine, name)
        assert "Restored" in line, line
        print(f"      {line}")
        assert "mapped in" in machine.sh(f"systemctl show -P StatusText handover-iommu@{name}")
    print(f"      {phases(entry)}")


def test_device_does_not_come_back(machine):
    """Gone, taken by another driver, or with an IOAS too small: one line says which, nobody else is
    held up, and who comes back with its device in time has lost nothing."""
    machine.wait_up()
    start(machine, "edu", configuration(
        EDU, command=["/usr/lib/handover-test/edu-driver", "edu", "100"]))
    start_large(machine)
    # The operator himself took this one from its driver, which takes it back at the next boot.
    take(machine, RNG)
    start(machine, "rng", configuration(RNG, command=["/bin/sleep", "infinity"], freeze="sigstop",
                                        **{"device-wait-seconds": 1}))
    narrow = configuration(THIRD_EDU, mappings=[
        {"iova": "0x100000", "length": "1M", "memory": "buffers"},
        {"iova": "0x400000", "length": "1M", "memory": "buffers"}],
        command=["/usr/lib/handover-test/edu-driver", "narrow"])
    start(machine, "narrow", narrow)
    configure(machine, "narrow", {**narrow, "mappings": narrow["mappings"][:1],
                                  "iova": {"last": "0x1fffff"}})
    before = {name: later(machine, name) for name in ("edu", "large", "narrow")}
    machine.put("/etc/systemd/system/unplug.service",
                "[Unit]\nDefaultDependencies=no\nBefore=handover-iommu@large.service\n"
                "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                f"ExecStart=/bin/sh -c 'echo 1 > /sys/bus/pci/devices/{SECOND_EDU}/remove'\n"
                "[Install]\nRequiredBy=handover-iommu@large.service\n")
    machine.sh("systemctl daemon-reload; systemctl enable unplug")
    machine.kexec(f"handoverctl update {image(machine, other(machine))}", timeout=240)

    check_carried(machine, "edu", before["edu"])
    # Each says why, and is started again and again.
    for name, words in {"large": [SECOND_EDU, "not there"], "rng": [RNG, "virtio-pci"],
                        "narrow": [THIRD_EDU, "too small", "0x400000-0x4fffff"]}.items():
        machine.until(f"journalctl -b -o cat -u handover-iommu@{name} | grep 'Did not come back'",
                      timeout=120)
        lines = [line for line in said(machine, name).splitlines() if "Did not come back" in line]
        assert all(word in line for word in words for line in lines), said(machine, name)
        print(f"      {lines[0]}")

    # Meanwhile all of it lies in the session.
    for name in ("large", "rng"):
        tokens = ctl(machine, f"sessions {name}")
        assert tokens and not any(token["retrieved"] for token in tokens), tokens
    # The client waits for its device, and hears its manager meanwhile.
    machine.sh("systemctl disable unplug; sleep 1; echo 1 > /sys/bus/pci/rescan", timeout=120)
    check_carried(machine, "large", before["large"])
    take(machine, RNG)
    # What it says in the meantime is the reason, if it does not come.
    machine.until("systemctl is-active handover-iommu@rng || "
                  "{ journalctl -b -o cat -u handover-iommu@rng | tail -n 20; false; }", timeout=120)
    assert "Restored" in said(machine, "rng")
    # This one had read its record already, and finds it again.
    configure(machine, "narrow", narrow)
    machine.until("systemctl is-active handover-iommu@narrow", timeout=120)
    check_carried(machine, "narrow", before["narrow"])
    wait_normal(machine)
    entry = newest_record(machine)
    assert entry["outcome"] == "done" and not entry["losses"], entry
    machine.sh("systemctl disable --now handover-iommu@rng handover-iommu@narrow", timeout=60)


def test_cancelled_after_freeze(machine):
    """A client that the device's needs refuses to freeze: the driver goes on where it was."""
    machine.wait_up()
    start_scripted(machine, 1)
    # What it said counts its rounds, and the next one begins anew.
    machine.sh("systemctl stop handover-iommu@edu; rm -f /run/edu/edu", timeout=60)
    start(machine, "edu", configuration(
        EDU, needs=["c0"], command=["/usr/lib/handover-test/edu-driver", "edu", "100"]))
    before = later(machine, "edu")
    machine.put("/run/scripted/veto-freeze", "no standing still here")
    code, output = machine.run(f"handoverctl update {image(machine, other(machine))}", timeout=120)
    assert code != 0 and "no standing still here" in output, output
    wait_normal(machine)
    times = newest_record(machine)["timeline"]["clients"]
    assert "edu" in times, times
    now = later(machine, "edu", 3)
    assert now["starts"] == before["starts"] and now["errors"] == 0, (before, now)
    machine.sh("systemctl disable --now scripted handover-iommu@edu")
