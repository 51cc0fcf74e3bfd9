# SPDX-License-Identifier: LGPL-2.1-or-later
"""memfd <- iommu <- vmm: three updates in a row, and updates that end before the kexec.

One machine and two guests for all: a guest in an emulated machine takes a minute to boot.
"""

from chain import MACHINE, Chain
from vmm import Guest
from workload import (ctl, image, newest_record, other, phases, rehearse, start_scripted, update,
                      wait_normal)

_kept = {}


def chain_on(machine):
    """The chain on that machine. Its guest in huge pages needs a client, too, which is frozen after
    it and obeys /run/scripted."""
    machine.wait_up()
    if _kept.get("machine") is not machine:
        start_scripted(machine, 1)
        _kept.update(machine=machine, chain=Chain(machine, also=["c0"]))
    return _kept["chain"]


def refused_update(machine, culprit):
    """An update that does not happen, and is no end of the guests' lives."""
    boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")
    code, output = machine.run(f"handoverctl update {image(machine, other(machine))}", timeout=180)
    assert code != 0, output
    assert culprit in output, output
    assert boot_id == machine.sh("cat /proc/sys/kernel/random/boot_id")
    wait_normal(machine)
    assert newest_record(machine)["outcome"] == "failed"
    for guest in chain_on(machine).guests:
        guest.check_unbroken()


def test_three_updates_in_a_row(machine):
    """LUO keeps one guest; it takes no huge pages: the companion module keeps those of the other."""
    chain = chain_on(machine)
    print(f"      {machine.sh('qemu-system-x86_64 --version').splitlines()[0]}")
    backends = {token["token"]: token["backend"] for token in ctl(machine, "sessions huge")}
    assert backends == {1: "tracker", 2: "luo"}, backends
    seen = chain.look()
    for number in range(3):
        ticks = seen["guests"]
        if number == 2:
            rehearse(machine)  # the update goes on from it
        entry = update(machine)
        chain.check_order(entry)
        seen = chain.check(seen)
        print(f"      {phases(entry)}")
        for guest, tick in zip(chain.guests, ticks):
            print(f"      {guest.figures(tick)}")
        table = machine.sh(f"handoverctl history {entry['id']}").partition("CLIENT")[1:]
        print("".join(f"      {line}\n" for line in "".join(table).splitlines()), end="")


def check_rehearsal(machine):
    """Everybody stood still, and runs on as before."""
    guests = chain_on(machine).guests
    qemus = [guest.status()["pid"] for guest in guests]
    since = [guest.last() for guest in guests]
    entry = rehearse(machine)
    clients = {client["name"] for client in ctl(machine, "clients")}
    assert clients == set(entry["timeline"]["clients"]), entry
    for name, times in entry["timeline"]["clients"].items():
        assert times.get("blackout_usec", 0) > 0, (name, times)
    rehearsal = entry["rehearsal"]
    # From the boot of an update before it, where there was one.
    updated = any(one["outcome"] == "done" for one in ctl(machine, "history"))
    assert ("estimate_usec" in rehearsal) == updated, rehearsal
    estimate = rehearsal.get("estimate_usec", entry["blackout_usec"] + 1)
    assert estimate > entry["blackout_usec"], rehearsal
    assert "Restore" in rehearsal["not_rehearsed"], rehearsal
    for guest, qemu, tick in zip(guests, qemus, since):
        guest.check_unbroken()
        assert guest.status()["pid"] == qemu and guest.status()["state"] == "running"
        print(f"      {guest.figures(tick)}")
    print(f"      rehearsed: {phases(entry)}; estimate {estimate / 1000:.0f} ms")


def test_rehearsals(machine):
    """Guests, their device and its memory, with LUO and the companion module: frozen, sealed,
    thawed; once more from there; and ended by its own limit."""
    for _ in range(2):
        check_rehearsal(machine)
    code, output = machine.run("handoverctl update --rehearse --at-most 1ms", timeout=120)
    assert code == 6 and "longer than" in output and "waited for client" in output, (code, output)
    wait_normal(machine)
    assert newest_record(machine)["outcome"] == "failed"
    for guest in chain_on(machine).guests:
        guest.check_unbroken()
        assert guest.status()["state"] == "running"


def test_device_that_cannot_migrate(machine):
    one, _ = chain_on(machine).guests
    culprit = Guest.start(machine, "culprit", mib=1, memory="64M", wait=False,
                          devices=["-device", "amd-iommu"], limits={"shutdown": 1})
    qemu = one.status()["pid"]
    refused_update(machine, "amd-iommu")
    assert one.status()["pid"] == qemu
    culprit.stop()


def test_update_cancelled_after_freeze(machine):
    _, huge = chain_on(machine).guests
    machine.put("/run/scripted/veto-freeze", "the tape is still turning")
    qemu, since = huge.status()["pid"], huge.last()
    refused_update(machine, "the tape is still turning")
    machine.sh("rm /run/scripted/veto-freeze")
    status = huge.status()
    assert status["state"] == "running" and status["pid"] == qemu, status
    assert not status["carried"]["restored"], status
    print(f"      {huge.figures(since)}")


def test_qemu_killed_while_frozen(machine):
    _, huge = chain_on(machine).guests
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
