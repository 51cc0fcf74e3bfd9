# SPDX-License-Identifier: LGPL-2.1-or-later
"""QEMU guests under handover-vmm, carried from one kernel of their host to the next."""

from vmm import Guest
from workload import ctl, image, newest_record, other, phases, update, wait_normal

# 48 huge pages of 2 MiB are the memory of one guest.
MACHINE = {"suite": "forky-vmm", "append": ("hugepages=48",)}

_kept = {}


def first_guest(machine):
    """The guest that runs through all tests of this file; a new one on a new machine."""
    machine.wait_up()
    if _kept.get("machine") is not machine:
        _kept.update(machine=machine, guest=Guest.start(machine, "one"), second=None)
    return _kept["guest"]


def carry(machine, guests, which=None):
    """An update through which these guests go on; its record."""
    since = [guest.last() for guest in guests]
    entry = update(machine, which)
    print(f"      {phases(entry)}")
    for guest, tick in zip(guests, since):
        guest.check_unbroken()
        assert guest.status()["carried"]["restored"], guest.status()
        print(f"      {guest.figures(tick)}")
    return entry


def test_guest_is_carried(machine):
    guest = first_guest(machine)
    print(f"      {machine.sh('qemu-system-x86_64 --version').splitlines()[0]}")
    entry = carry(machine, [guest], "to")
    assert entry["from_release"] == machine.release("from"), entry


def test_two_guests_at_once(machine):
    guest = first_guest(machine)
    second = Guest.start(machine, "two", mib=16, memory="96M")
    entry = carry(machine, [guest, second])
    assert {"one", "two"} <= set(entry["timeline"]["clients"]), entry
    second.stop()


def refused_update(machine, guest, culprit):
    """An update that does not happen, and is no end of the guest's life."""
    boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")
    code, output = machine.run(f"handoverctl update {image(machine, other(machine))}", timeout=180)
    assert code != 0, output
    assert culprit in output, output
    assert boot_id == machine.sh("cat /proc/sys/kernel/random/boot_id")
    wait_normal(machine)
    assert newest_record(machine)["outcome"] == "failed"
    guest.check_unbroken()


def test_device_that_cannot_migrate(machine):
    guest = first_guest(machine)
    culprit = Guest.start(machine, "culprit", mib=1, memory="64M", wait=False,
                          devices=["-device", "amd-iommu"])
    qemu = guest.status()["pid"]
    refused_update(machine, guest, "amd-iommu")
    assert guest.status()["pid"] == qemu
    culprit.stop()


def guest_that_needs(machine):
    """A guest and a client that it needs, which is frozen after it and obeys /run/scripted."""
    first_guest(machine)
    if not _kept["second"]:
        machine.sh("systemd-run --unit=scripted --property=Type=notify "
                   "/usr/lib/handover-test/scripted-clients 1 1 16")
        _kept["second"] = Guest.start(machine, "second", mib=16, memory="96M", needs=["c0"])
    return _kept["second"]


def test_update_cancelled_after_freeze(machine):
    guest = guest_that_needs(machine)
    machine.put("/run/scripted/veto-freeze", "the tape is still turning")
    qemu, since = guest.status()["pid"], guest.last()
    refused_update(machine, guest, "the tape is still turning")
    machine.sh("rm /run/scripted/veto-freeze")
    first_guest(machine).check_unbroken()
    status = guest.status()
    assert status["state"] == "running" and not status["carried"]["restored"], status
    print(f"      {guest.figures(since)}")
    assert guest.status()["pid"] == qemu


def test_qemu_killed_while_frozen(machine):
    guest = guest_that_needs(machine)
    machine.put("/run/scripted/ignore-freeze", "")
    qemu, since = guest.status()["pid"], guest.last()
    # While the client that is frozen last does not answer, everybody else stands still.
    killer = machine.start(
        "until grep -q '\"frozen\"' /run/handover-vmm/second.json; do sleep 0.05; done; "
        f"kill -KILL {qemu}; while kill -0 {qemu} 2>/dev/null; do sleep 0.05; done")
    refused_update(machine, guest, "c0")
    assert killer.wait()[0] == 0
    machine.sh("rm /run/scripted/ignore-freeze")
    status = guest.status()
    assert status["pid"] not in (0, qemu), status
    assert "takes it over" in guest.log(), guest.log()
    guest.check_unbroken()
    first_guest(machine).check_unbroken()
    print(f"      {guest.figures(since)}")


def test_guest_in_huge_pages(machine):
    """LUO takes none: the companion module keeps the memory, beside a guest that LUO keeps."""
    guest = first_guest(machine)
    if _kept["second"]:
        _kept["second"].stop()
        machine.sh("systemctl stop scripted; handoverctl session discard c0; busctl call "
                   "org.handover1 /org/handover1 org.handover1.Manager UnregisterClient s c0")
        _kept["second"] = None
    huge = Guest.start(machine, "huge", mib=16, memory="96M", hugepages="2M")
    backends = {token["token"]: token["backend"] for token in ctl(machine, "sessions huge")}
    assert backends == {1: "tracker", 2: "luo"}, backends
    carry(machine, [guest, huge])
    huge.stop()


def test_bad_configuration(machine):
    first_guest(machine)
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
