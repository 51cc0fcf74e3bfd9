# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU guests under handover-vmm, carried from one kernel of their host to the next."""

from vmm import Guest
from workload import (ctl, image, newest_record, other, phases, start_scripted, update,
                      wait_normal)

# 48 huge pages of 2 MiB are the memory of one guest.
MACHINE = {"suite": "forky-vmm", "append": ("hugepages=48",)}

_kept = {}


def guests(machine):
    """The two guests of all tests of this file: one alone, and one in huge pages that needs a
    client, which is frozen after it and obeys /run/scripted."""
    machine.wait_up()
    if _kept.get("machine") is not machine:
        start_scripted(machine, 1)
        _kept.update(machine=machine, guests=[
            Guest.start(machine, "one", wait=False),
            Guest.start(machine, "huge", mib=16, memory="96M", hugepages="2M", needs=["c0"],
                        wait=False)])
        # They boot beside each other: the machine has a CPU for each.
        for guest in _kept["guests"]:
            guest.wait_tick(0)
    return _kept["guests"]


def refused_update(machine, culprit):
    """An update that does not happen, and is no end of the guests' lives."""
    boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")
    code, output = machine.run(f"handoverctl update {image(machine, other(machine))}", timeout=180)
    assert code != 0, output
    assert culprit in output, output
    assert boot_id == machine.sh("cat /proc/sys/kernel/random/boot_id")
    wait_normal(machine)
    assert newest_record(machine)["outcome"] == "failed"
    for guest in guests(machine):
        guest.check_unbroken()


def test_two_guests_at_once(machine):
    """LUO keeps one; it takes no huge pages: the companion module keeps those of the other."""
    one, huge = guests(machine)
    print(f"      {machine.sh('qemu-system-x86_64 --version').splitlines()[0]}")
    backends = {token["token"]: token["backend"] for token in ctl(machine, "sessions huge")}
    assert backends == {1: "tracker", 2: "luo"}, backends
    since = [guest.last() for guest in (one, huge)]
    entry = update(machine, "to")
    print(f"      {phases(entry)}")
    for guest, tick in zip((one, huge), since):
        guest.check_unbroken()
        assert guest.status()["carried"]["restored"], guest.status()
        print(f"      {guest.figures(tick)}")
    assert entry["from_release"] == machine.release("from"), entry
    assert {"one", "huge"} <= set(entry["timeline"]["clients"]), entry


def test_device_that_cannot_migrate(machine):
    one, _ = guests(machine)
    culprit = Guest.start(machine, "culprit", mib=1, memory="64M", wait=False,
                          devices=["-device", "amd-iommu"])
    qemu = one.status()["pid"]
    refused_update(machine, "amd-iommu")
    assert one.status()["pid"] == qemu
    culprit.stop()


def test_update_cancelled_after_freeze(machine):
    _, huge = guests(machine)
    machine.put("/run/scripted/veto-freeze", "the tape is still turning")
    qemu, since = huge.status()["pid"], huge.last()
    refused_update(machine, "the tape is still turning")
    machine.sh("rm /run/scripted/veto-freeze")
    status = huge.status()
    assert status["state"] == "running" and not status["carried"]["restored"], status
    print(f"      {huge.figures(since)}")
    assert huge.status()["pid"] == qemu


def test_qemu_killed_while_frozen(machine):
    _, huge = guests(machine)
    machine.put("/run/scripted/ignore-freeze", "")
    qemu, since = huge.status()["pid"], huge.last()
    # While the client that is frozen last does not answer, everybody else stands still.
    killer = machine.start(
        "until grep -q '\"frozen\"' /run/handover-vmm/huge.json; do sleep 0.05; done; "
        f"kill -KILL {qemu}; while kill -0 {qemu} 2>/dev/null; do sleep 0.05; done")
    refused_update(machine, "c0")
    assert killer.wait()[0] == 0
    machine.sh("rm /run/scripted/ignore-freeze")
    status = huge.status()
    assert status["pid"] not in (0, qemu), status
    assert "takes it over" in huge.log(), huge.log()
    print(f"      {huge.figures(since)}")


def test_bad_configuration(machine):
    machine.wait_up()
    for contents, named in [
        ('{"memory": "64M", "arguments": ["-m", "1G"]}', "'-m'"),
        ('{"memory": "64M", "qemu": "/usr/bin/no-such-qemu"}', "no-such-qemu"),
        ('{"memory": 64}', "memory"),
        ("{", "bad.json:1"),
    ]:
        machine.put("/tmp/bad.json", contents)
        code, output = machine.run("handover-vmm run --name bad --config /tmp/bad.json")
        assert code == 2 and named in output, (code, output)
        assert len(output.strip().splitlines()) == 1, output
    assert "bad" not in machine.sh("handoverctl --json sessions")
