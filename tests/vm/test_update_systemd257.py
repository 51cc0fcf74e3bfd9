# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same with a systemd that knows nothing of LUO: the daemon itself must outlive the units."""

from workload import Ticker, check_confinement, ctl, phases, started_beside, update

MACHINE = {"suite": "trixie"}


def test_orderly_then_immediate(machine):
    machine.wait_up()
    version = int(machine.sh("systemctl --version").split()[1])
    assert version < 261, version
    assert ctl(machine, "status")["backend"] == "luo"
    check_confinement(machine)
    ticker = Ticker.start(machine, size_mib=64)
    before = ticker.status()
    entry = update(machine, "to", "--orderly")
    now = ticker.check_continued(before)
    print(f"      orderly, systemd {version}: {phases(entry)}")
    machine.wait_up()
    beside = started_beside(machine, ["handover-memfd@ticker.service"])
    assert not beside, beside
    update(machine, "from")
    ticker.check_continued(now)
