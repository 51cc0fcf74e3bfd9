# SPDX-License-Identifier: LGPL-2.1-or-later
"""Figures, both sides in one run of one machine: scripts/test --only bench. No pass or fail on a time."""

from workload import Ticker, configure, phases, start_scripted, update

LONG = "it only measures"

_gap = {}


def _figures(text):
    rows = (line.split() for line in text.splitlines() if len(line.split()) == 3)
    return {(what, kind): int(value) for what, kind, value in rows}


def test_collapse(machine):
    """A memfd of 1 GiB in 4 KiB pages, preserved and retrieved with and without the collapse."""
    machine.wait_up()
    machine.load("to")
    running = machine.start("/usr/lib/handover-test/preserve-bench preserve 1024")
    machine.wait_boot(machine.boot_count() + 1, timeout=240)
    machine.wait_up()
    figures = _figures(bytes(running.output).decode())
    figures |= _figures(machine.sh("/usr/lib/handover-test/preserve-bench retrieve", timeout=120))
    print(f"      1 GiB in 4 KiB pages; collapse, before the blackout: "
          f"{figures['collapse', 'collapsed'] / 1000:.0f} ms, "
          f"{figures['bytes-huge', 'collapsed'] >> 20} MiB huge")
    for what in ("preserve", "retrieve"):
        plain, collapsed = figures[what, "plain"], figures[what, "collapsed"]
        print(f"      {what}: plain {plain / 1000:.1f} ms, collapsed {collapsed / 1000:.1f} ms, "
              f"ratio {plain / collapsed:.0f}")


def test_blackout_of_handoverd(machine):
    """256 MiB under handover-memfd: the longest time between two ticks of a 2 ms counter."""
    for mode in ("immediate", "orderly"):
        machine.wait_up()
        ticker = Ticker.start(machine, name=mode)
        before = ticker.status()
        entry = update(machine, "to", f"--{mode}")
        now = ticker.check_continued(before)
        machine.sh(f"systemctl disable --now handover-memfd@{mode}", timeout=60)
        _gap[mode] = now["gap_usec"]
        print(f"      {mode}: tick to tick {now['gap_usec'] / 1000:.0f} ms; {phases(entry)}")


def test_blackout_of_the_peer(machine):
    """The same program kept by systemd's own fd store through `systemctl kexec`."""
    machine.wait_up()
    machine.put(
        "/etc/systemd/system/peer.service",
        "[Service]\nType=notify\nFileDescriptorStoreMax=1\nFileDescriptorStorePreserve=yes\n"
        "ExecStart=/usr/lib/handover-test/ticker peer --fdstore 256\n"
        "[Install]\nWantedBy=multi-user.target\n",
    )
    machine.sh("systemctl daemon-reload; systemctl enable --now peer", timeout=60)
    ticker = Ticker(machine, "peer")
    before = ticker.status()
    machine.load("to")
    machine.kexec("systemctl kexec", timeout=240)
    now = ticker.check_continued(before)
    print(f"      systemd's fd store: tick to tick {now['gap_usec'] / 1000:.0f} ms")
    for mode, gap in _gap.items():
        print(f"      peer / {mode}: {now['gap_usec'] / gap:.2f}")


def _many_clients(machine, count):
    """The longest standstill of that many clients beside the shortest; each has 4 descriptors."""
    machine.wait_up()
    # This machine may be slow: what is measured is the ratio.
    configure(machine, freeze_timeout="30s", freeze_budget="1min")
    # Root's services are counted one by one: a hundred clients each.
    services = [start_scripted(machine, 100, descriptors=4, first=first)
                for first in range(0, count, 100)]
    entry = update(machine)
    assert len(entry["timeline"]["clients"]) == count, entry
    machine.sh("test ! -e /run/scripted/bad || { cat /run/scripted/bad; false; }")
    machine.sh(f"systemctl disable --now {' '.join(services)}", timeout=60)
    longest, shortest = entry["blackout_usec"], entry["shortest_standstill_usec"]
    print(f"      {count} clients: longest standstill {longest / 1000:.0f} ms "
          f"({entry['blackout_client']}), shortest {shortest / 1000:.0f} ms "
          f"({entry['shortest_standstill_client']}), ratio {longest / shortest:.2f}; {phases(entry)}")


def test_standstill_of_100_clients(machine):
    _many_clients(machine, 100)


def test_standstill_of_300_clients(machine):
    _many_clients(machine, 300)
