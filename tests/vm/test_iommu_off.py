# SPDX-License-Identifier: LGPL-2.1-or-later
"""handover-iommu on a machine without an IOMMU."""

from iommu import EDU, configuration
from test_iommu import refused_start

MACHINE = {"devices": ["-device", "edu,addr=0x10"]}


def test_no_iommu_is_refused(machine):
    machine.wait_up()
    refused_start(machine, configuration(EDU, **{"device-wait-seconds": 0.1}), EDU, "has no IOMMU")
