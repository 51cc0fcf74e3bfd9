# SPDX-License-Identifier: LGPL-2.1-or-later
"""All of it together: memory, a device that reaches into memory, guests that need the device."""

import iommu
from vmm import Guest
from workload import Ticker

MEMORY = [f"m{number}" for number in range(10)]
DEVICE = "edu"
GUESTS = ["one", "two"]
MACHINE = {**iommu.MACHINE, "suite": "forky-vmm"}


class Chain:
    """Ten memfd clients, a device's that needs them all, and two guests that need the device's."""

    def __init__(self, machine):
        self.machine = machine
        self.tickers = Ticker.start_all(machine, MEMORY, size_mib=4, usec=50000)
        iommu.start(machine, DEVICE, iommu.configuration(
            iommu.EDU, needs=MEMORY, command=["/usr/lib/handover-test/edu-driver", DEVICE, "100"]))
        # They boot beside each other: the machine has a CPU for each.
        self.guests = [Guest.start(machine, name, mib=4, memory="64M", needs=[DEVICE], wait=False)
                       for name in GUESTS]
        for guest in self.guests:
            guest.wait_tick(0)

    def look(self):
        """What check() compares with later."""
        return {
            "tickers": [ticker.wait_verified() for ticker in self.tickers],
            "device": iommu.later(self.machine, DEVICE),
            "guests": [guest.last() for guest in self.guests],
        }

    def check(self, before):
        """Everybody has gone on with what he had; the same look as before."""
        for ticker, then in zip(self.tickers, before["tickers"]):
            ticker.check_continued(then)
        iommu.check_carried(self.machine, DEVICE, before["device"])
        for guest, then in zip(self.guests, before["guests"]):
            guest.check_unbroken()
            assert guest.last() > then
            assert guest.status()["carried"]["restored"], guest.status()
        return self.look()


def check_order(entry):
    """Frozen before what it needs, running after it."""
    clients = entry["timeline"]["clients"]
    assert set(clients) == {*MEMORY, DEVICE, *GUESTS}, clients
    for upper, lower in ((GUESTS, [DEVICE]), ([DEVICE], MEMORY)):
        for one in upper:
            for other in lower:
                assert clients[one]["frozen_at"] < clients[other]["frozen_at"], (one, other, clients)
                assert clients[one]["running_at"] > clients[other]["running_at"], (one, other, clients)
