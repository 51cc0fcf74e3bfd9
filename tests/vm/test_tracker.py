# SPDX-License-Identifier: LGPL-2.1-or-later
"""Backend tracker: what LUO refuses goes to the companion module, through handoverd's own updates."""

import kmod
from workload import Ticker, ctl, image, newest_record, other, refused, update, wait_normal

MACHINE = {"append": ("hugepages=16",)}

# What the session's owner preserves by himself, with the module's ioctls.
OWN = ["11:anon:4M", "12:hugetlb2m:8M", "13:alloc:2M"]
_kept = {}


def start(machine):
    """One session with tokens in both halves; again on a new machine."""
    machine.wait_up()
    if _kept.get("machine") is machine:
        return
    machine.sh("test -c /dev/handover")  # handoverd's unit has loaded the module
    _kept.update(machine=machine)
    machine.sh("head -c 3000000 /dev/urandom > /root/plain")
    machine.sh("truncate -s 64M /dev/shm/named && dd if=/root/plain of=/dev/shm/named bs=4k "
               "seek=100 conv=notrunc status=none && cp --sparse=always /dev/shm/named /root/named")
    machine.sh("handoverctl session create both")
    machine.sh("handoverctl session preserve both 1 --stdin < /root/plain")
    machine.sh("handoverctl session preserve both 2 --file /dev/shm/named")
    machine.sh("handoverctl session preserve both 3 --stdin --backend tracker < /root/plain")
    open_tracker(machine, "both")
    kmod.must(machine, f"preserve both {' '.join(OWN)}")


def open_tracker(machine, session):
    """The owner asks for his descriptor; busctl drops it, and the daemon knows of it from then on."""
    machine.sh(f"busctl call org.handover1 /org/handover1/session/{session} org.handover1.Session "
               "OpenTracker")


def tokens(machine, session):
    return {token["token"]: token for token in ctl(machine, f"sessions {session}")}


def test_status_tells_of_the_module(machine):
    machine.wait_up()
    status = ctl(machine, "status")
    assert status["backend"] == "luo" and status["backends"] == ["luo", "tracker"], status
    there = kmod.info(machine)
    assert status["module"] == {"abi": there["abi"], "format": there["format"], "lost": 0}, status
    # Nothing holds it but what it preserves.
    machine.sh("rmmod handover")
    assert ctl(machine, "status")["module"] is None
    code, text = machine.run("handoverctl --json session create x --backend tracker")
    assert code != 0 and "NoSuchBackend" in text and "modprobe" in text, text
    machine.sh("modprobe handover")
    assert ctl(machine, "status")["module"]["abi"] == there["abi"]


def test_each_descriptor_goes_where_it_is_kept_best(machine):
    start(machine)
    there = tokens(machine, "both")
    assert {t: (x["backend"], x["kind"]) for t, x in there.items()} == {
        1: ("luo", "memfd"), 2: ("tracker", "tmpfs"), 3: ("tracker", "memfd"),
        11: ("tracker", "range"), 12: ("tracker", "hugetlb"), 13: ("tracker", "allocated"),
    }, there
    (session,) = ctl(machine, "sessions")
    assert session["backends"] == ["luo", "tracker"] and session["descriptors"] == 6, session
    assert "luo+tracker" in machine.sh("handoverctl sessions")
    listed = machine.sh("handoverctl sessions both")
    assert max(map(len, listed.splitlines())) <= 80, listed
    # The 61 MiB of holes cost nothing.
    assert kmod.describe(machine, "both", 2)["bytes"] < 4 << 20
    refused(machine, "session preserve both 5 --file /etc/machine-id", "Unsupported")


def test_a_memfd_is_never_in_both(machine):
    start(machine)
    look = "handoverctl --json sessions both"
    before = machine.sh(look)
    # LUO does not take a file with a name, whoever has it.
    for backend, name in (("", "AlreadyPreserved"), ("--backend luo", "Unsupported"),
                          ("--backend tracker", "AlreadyPreserved")):
        refused(machine, f"session preserve both 5 --file /dev/shm/named {backend}", name)
    assert machine.sh(look) == before


def test_it_survives_the_daemon(machine):
    start(machine)
    before = tokens(machine, "both")
    pid = machine.sh("systemctl show -P MainPID handoverd")
    machine.sh(f"kill -9 {pid}")
    wait_normal(machine)
    assert tokens(machine, "both") == before
    machine.sh("handoverctl session unpreserve both 3")
    machine.sh("handoverctl session preserve both 3 --stdin --backend tracker < /root/plain")


def test_a_target_without_the_module_is_refused(machine):
    start(machine)
    which = other(machine)
    modules = f"/usr/lib/modules/{machine.release(which)}/extra"
    look = "handoverctl --json sessions; cat /sys/kernel/kexec_loaded"
    before = machine.sh(look)
    machine.sh(f"mv {modules}/handover.ko /root/handover.ko.{which}")
    for arguments in (f"update {image(machine, which)}", f"prepare {image(machine, which)}"):
        line = refused(machine, arguments, "ModuleMissing")
        assert "handover" in line and machine.release(which) in line, line
    # One that reads another format is as bad.
    machine.sh(f"sed 's/handover_format=[0-9]*/handover_format=9/' /root/handover.ko.{which} "
               f"> {modules}/handover.ko")
    line = refused(machine, f"update {image(machine, which)}", "KernelIncompatible")
    assert "format 9" in line, line
    machine.sh(f"mv /root/handover.ko.{which} {modules}/handover.ko")
    assert machine.sh(look) == before
    assert ctl(machine, "history") == []


def test_a_cancelled_update_leaves_it_open(machine):
    start(machine)
    machine.sh(f"handoverctl prepare {image(machine, other(machine))}", timeout=120)
    machine.sh("handoverctl cancel")
    wait_normal(machine)
    assert kmod.info(machine)["sealed"] == 0
    machine.sh("handoverctl session preserve both 4 --stdin --backend tracker < /root/plain")
    machine.sh("handoverctl session unpreserve both 4")


def check_all_came_back(machine, unclaimed=()):
    there = tokens(machine, "both")
    assert set(there) == {1, 2, 3, 11, 12, 13}, there
    assert not any(token["retrieved"] for token in there.values()), there
    machine.sh("handoverctl session retrieve both 1 --output /root/back && cmp /root/back /root/plain")
    machine.sh("handoverctl session retrieve both 2 --output /root/back && cmp /root/back /root/named")
    machine.sh("handoverctl session retrieve both 3 --output /root/back && cmp /root/back /root/plain")
    # Until the session is finished the same can be had again.
    machine.sh("handoverctl session retrieve both 3 --output /root/back && cmp /root/back /root/plain")
    open_tracker(machine, "both")
    kmod.verify(machine, "both", "mmap", [item for item in OWN if item not in unclaimed])
    assert all(token["retrieved"] for number, token in tokens(machine, "both").items()
               if f"{number}:" not in "".join(unclaimed)), tokens(machine, "both")


def test_immediate_update(machine):
    start(machine)
    # Into a hole, after it was preserved: the seal has to see it.
    machine.sh("dd if=/root/plain of=/dev/shm/named bs=1M count=1 seek=33 conv=notrunc status=none; "
               "cp --sparse=always /dev/shm/named /root/named")
    entry = update(machine)
    assert entry["losses"] == [], entry
    check_all_came_back(machine)
    machine.sh("handoverctl session finish both")
    assert ctl(machine, "sessions") == []
    machine.until(f"! {kmod.PROGRAM} list | grep -q both", timeout=60)
    _kept.clear()


def test_orderly_update_with_a_client(machine):
    """Every process is killed: sessions of the module need no holder. A client goes along."""
    start(machine)
    ticker = Ticker.start(machine, size_mib=64)
    before = ticker.status()
    entry = update(machine, None, "--orderly")
    assert entry["losses"] == [], entry
    ticker.check_continued(before)
    check_all_came_back(machine, unclaimed=[OWN[0]])
    machine.sh("handoverctl session finish both")
    machine.sh("systemctl disable --now handover-memfd@ticker", timeout=60)
    # What nobody took was freed, and the daemon said so.
    machine.until("journalctl --sync; journalctl -b -u handoverd --no-pager | grep -q 'token 11'")
    machine.until(f"! {kmod.PROGRAM} list | grep -q both", timeout=60)
    assert newest_record(machine)["outcome"] == "done"
    _kept.clear()


def test_everything_goes_there_if_configured(machine):
    machine.wait_up()
    machine.put("/etc/handover/handoverd.json", '{"backend": "tracker", "restore_threads": 2}\n')
    machine.sh("systemctl restart handoverd")
    wait_normal(machine)
    assert ctl(machine, "status")["backend"] == "tracker"
    machine.sh("handoverctl session create only")
    machine.sh("handoverctl session preserve only 1 --stdin < /root/plain")
    assert tokens(machine, "only")[1]["backend"] == "tracker"
    update(machine)
    assert ctl(machine, "status")["backend"] == "tracker"
    machine.sh("handoverctl session retrieve only 1 --output /root/back && cmp /root/back /root/plain")
    machine.sh("handoverctl session finish only")
