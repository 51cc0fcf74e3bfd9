# SPDX-License-Identifier: LGPL-2.1-or-later
"""A device under handover-iommu in the test machine, and what its driver says of it."""

import json

from workload import pairs

EDU, RNG, SECOND_EDU, THIRD_EDU = "0000:00:10.0", "0000:00:11.0", "0000:00:12.0", "0000:00:13.0"
MACHINE = {
    "machine_type": "q35,kernel-irqchip=split",
    # The kernel counts some ticks at boot and panics if there are none through the IOMMU's interrupt
    # remapping: on a busy host the emulated timer is late.
    "append": ["intel_iommu=on", "no_timer_check"],
    "devices": ["-device", "intel-iommu,caching-mode=on",
                "-device", "edu,addr=0x10",
                "-device", "virtio-rng-pci,addr=0x11",
                "-device", "edu,addr=0x12",
                "-device", "edu,addr=0x13"],
}

REACH = {"first": "0x0", "last": "0xfffffff"}  # edu's own: 28 bits


def configuration(device, **changes):
    config = {
        "device": device,
        "memory": [{"name": "buffers", "size": "64M"}],
        "iova": REACH,
        "mappings": [{"iova": "0x100000", "length": "1M", "memory": "buffers"}],
        "freeze": "signal:USR1",
        "command": ["/bin/touch", "/run/started"],
    }
    config.update(changes)
    return config


def configure(machine, name, config):
    machine.put(f"/etc/handover/iommu/{name}.json", json.dumps(config, indent=2))


def start(machine, name, config):
    configure(machine, name, config)
    machine.sh(f"systemctl enable --now handover-iommu@{name} || "
               f"{{ journalctl -o cat -u handover-iommu@{name} | tail; false; }}", timeout=200)


def driver(machine, name):
    """What tests/vm/clients/edu_driver.c says of itself."""
    return pairs(machine.until(f"cat /run/edu/{name}", timeout=120))


def later(machine, name, rounds=2):
    """The same, that many rounds of DMA later."""
    wanted = driver(machine, name)["rounds"] + rounds
    machine.until(f"test $(sed -n 's/^rounds //p' /run/edu/{name}) -ge {wanted}", timeout=120)
    return driver(machine, name)


def check_carried(machine, name, before):
    """The driver goes on in the next kernel, with its memory and with DMA at the same IOVAs."""
    now = later(machine, name)
    assert now["carried"] == "yes", now  # written before, read by DMA through the same IOVA
    assert now["errors"] == 0 and now["restored"] == 1, now
    assert now["bus_master_at_start"] == 1, now
    assert now["starts"] == before["starts"] + 1, (before, now)
    assert now["rounds"] > before["rounds"], (before, now)
