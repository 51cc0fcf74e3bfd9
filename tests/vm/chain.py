# SPDX-License-Identifier: LGPL-2.1-or-later
"""All of it together: memory, a device that reaches into memory, guests that need the device.

On a host as they are: a guest's disk and network come after the guest is called.
"""

import early
import iommu
from vmm import Guest
from workload import Ticker

MEMORY = [f"m{number}" for number in range(10)]
DEVICE = "edu"
GUESTS = ["one", "huge"]
# 32 huge pages of 2 MiB are the memory of one guest.
MACHINE = {**iommu.MACHINE, **early.MACHINE, "suite": "forky-vmm",
           "append": [*iommu.MACHINE["append"], "hugepages=32"]}


class Chain:
    """Ten memfd clients, a device's that needs them all, and two guests that need the device's.

    The guest in huge pages needs those clients, too, whose names are in `also`.
    """

    def __init__(self, machine, also=()):
        self.machine = machine
        early.make(machine)
        self.everybody = {*MEMORY, DEVICE, *GUESTS, *also}
        self.tickers = Ticker.start_all(machine, MEMORY, size_mib=4, usec=50000)
        iommu.start(machine, DEVICE, iommu.configuration(
            iommu.EDU, needs=MEMORY, command=["/usr/lib/handover-test/edu-driver", DEVICE, "100"]))
        # They boot beside each other: the machine has a CPU for each.
        self.guests = [
            Guest.start(machine, "one", needs=[DEVICE], wait=False,
                        devices=early.guest_devices(machine, "one")),
            Guest.start(machine, "huge", mib=16, memory="64M", hugepages="2M",
                        needs=[DEVICE, *also], wait=False)]
        for guest in self.guests:
            guest.wait_tick(0)

    def look(self):
        """What check() compares with later."""
        return {
            "tickers": Ticker.all_verified(self.tickers),
            "device": iommu.later(self.machine, DEVICE),
            "guests": [guest.last() for guest in self.guests],
        }

    def check(self, before):
        """Everybody has gone on with what he had; the same look as before."""
        early.check_came_late(self.machine, "handover-vmm@one.service")
        Ticker.all_continued(self.tickers, before["tickers"])
        iommu.check_carried(self.machine, DEVICE, before["device"])
        for guest, then in zip(self.guests, before["guests"]):
            guest.check_unbroken()
            assert guest.last() > then
            assert guest.status()["carried"]["restored"], guest.status()
        return self.look()

    def check_order(self, entry):
        """Frozen before what it needs, running after it."""
        clients = entry["timeline"]["clients"]
        assert set(clients) == self.everybody, clients
        for upper, lower in ((GUESTS, [DEVICE]), ([DEVICE], MEMORY)):
            for one in upper:
                for other in lower:
                    times = (one, other, clients)
                    assert clients[one]["frozen_at"] < clients[other]["frozen_at"], times
                    assert clients[one]["running_at"] > clients[other]["running_at"], times
