# SPDX-License-Identifier: LGPL-2.1-or-later
"""A guest under handover-vmm in the test machine, and what it says on its console."""

import json
import re

from initramfs import initramfs
from machine import REPOSITORY

PROGRAM = REPOSITORY / "build" / "vm" / "overlay" / "usr" / "lib" / "handover-test" / "vmm-guest"
FOLDER = "/var/lib/vmm-test"

# Emulation inside emulation: nothing that is not needed.
QEMU_ARGUMENTS = [
    *("-machine", "q35", "-accel", "tcg", "-cpu", "Nehalem", "-smp", "1"),
    *("-nodefaults", "-no-user-config", "-display", "none"),
]

_TICK = re.compile(r"tick (\d+) boot=(\S+) sum=(\S+) gap_ms=(\d+)\s*$")


class Guest:
    """vmm-guest.c as a guest of the machine, by the unit handover-vmm@NAME."""

    def __init__(self, machine, name):
        self.machine = machine
        self.name = name
        self.console = f"{FOLDER}/{name}.console"

    @classmethod
    def start(cls, machine, name, mib=64, memory="128M", devices=(), wait=True, **config):
        guest = cls(machine, name)
        guest.configure(mib, memory, devices, **config)
        machine.sh(f"systemctl enable --now handover-vmm@{name}", timeout=180)
        if wait:
            guest.wait_tick(0)
        return guest

    def configure(self, mib, memory, devices, **config):
        machine = self.machine
        if machine.run(f"test -e {FOLDER}/initrd")[0] != 0:
            machine.put(f"{FOLDER}/initrd", initramfs(PROGRAM.read_bytes()))
        arguments = [
            *QEMU_ARGUMENTS,
            *("-kernel", f"/boot/vmlinuz-{machine.release('from')}"),
            *("-initrd", f"{FOLDER}/initrd"),
            # Without ACPI it boots in two thirds of the time, and needs none.
            *("-append", f"console=ttyS0 tsc=reliable loglevel=0 rcupdate.rcu_cpu_stall_timeout=300 nokaslr acpi=off mib={mib}"),
            *("-chardev", f"file,id=console,path={self.console},append=on"),
            *("-serial", "chardev:console"),
            *devices,
        ]
        machine.put(f"/etc/handover/vmm/{self.name}.json",
                    json.dumps({"memory": memory, "arguments": arguments, **config}, indent=2))

    def stop(self):
        self.machine.sh(f"systemctl disable --now handover-vmm@{self.name}", timeout=120)

    def kill_qemu(self):
        self.machine.sh(f"kill -KILL {self.status()['pid']}")

    def status(self):
        return json.loads(self.machine.sh(f"handover-vmm status {self.name} --json"))

    def log(self):
        return self.machine.sh(f"journalctl --sync; journalctl -b -u handover-vmm@{self.name} --no-pager -o cat -n 20")

    def ticks(self):
        """All that it has said, as (number, boot id, sum, gap in ms)."""
        text = self.machine.sh(f"cat {self.console} 2>/dev/null || true")
        found = [_TICK.match(line) for line in text.splitlines()]
        return [(int(m[1]), m[2], m[3], int(m[4])) for m in found if m]

    def last(self):
        """The number of its latest tick."""
        return self.ticks()[-1][0]

    def wait_tick(self, after, timeout=900):
        """Waits for a tick above that number, and returns it."""
        for _ in range(int(timeout / 2)):
            ticks = self.ticks()
            if ticks and ticks[-1][0] > after:
                return ticks[-1]
            self.machine.sh("sleep 2")
        raise self.machine.error(f"no tick above {after} of guest {self.name}: {self.log()}")

    def check_unbroken(self):
        """One boot, no tick left out or told twice, the memory always as it should be."""
        self.wait_tick(self.last())
        ticks = self.ticks()
        assert [tick[0] for tick in ticks] == list(range(1, len(ticks) + 1)), ticks
        assert {tick[1] for tick in ticks} == {ticks[0][1]}, ticks
        assert {tick[2] for tick in ticks} == {"good"}, ticks
        return ticks

    def figures(self, since):
        """One readable line about the latest time that it stood still, after tick `since`."""
        status = self.status()
        carried = status["carried"]
        before = max((tick[3] for tick in self.ticks() if tick[0] <= since), default=0)
        gap = max(tick[3] for tick in self.ticks() if tick[0] > since)
        return (f"{self.name}: stopped for {carried['stopped_usec'] / 1000:.0f} ms (host); the guest "
                f"missed at most {gap} ms, {before} ms before; state {carried['state_bytes']} bytes, memory "
                f"{status['ram_bytes'] >> 20} MiB")
