# SPDX-License-Identifier: LGPL-2.1-or-later
"""A machine as hosts are: what clients need is mounted and made after they are called.

The root is read-only until systemd-remount-fs, /var and the guests' images lie on file systems of
/etc/fstab that are found by their labels, which only udev knows, and a unit makes the guests' tap
device. There is no KVM.
"""

SRV = "/srv"
TAP = "guests0"
# Each label becomes an empty file system on a disk of its own.
MACHINE = {"disks": {"handover-var": "256M", "handover-srv": "64M"}}

_FSTAB = f"""\
/dev/vda / ext4 defaults 0 0
LABEL=handover-var /var ext4 defaults 0 0
LABEL=handover-srv {SRV} ext4 defaults 0 0
"""


def make(machine):
    """Makes it one and boots it as such: not by an update, so that its generation is 0."""
    machine.wait_up()
    machine.put("/etc/fstab", _FSTAB)
    # systemd-networkd's device; nobody waits for a cable to be plugged into it.
    machine.put(f"/etc/systemd/network/{TAP}.netdev", f"[NetDev]\nName={TAP}\nKind=tap\n")
    machine.sh("systemctl mask --quiet systemd-networkd-wait-online.service; "
               "systemctl enable --quiet systemd-networkd.service; "
               # What runs keeps its open files in /var: those stay on the root, below the new one.
               "mount LABEL=handover-var /mnt && cp -a /var/. /mnt && umount /mnt")
    machine.command_line = machine.command_line.replace(" rw ", " ro ")
    machine.load("from")
    machine.kexec("systemctl kexec")
    machine.wait_up()
    assert " ro " in machine.sh("cat /proc/cmdline")
    for folder in ("/", "/var", SRV):
        options = machine.sh(f"findmnt --noheadings --output OPTIONS --mountpoint {folder}")
        assert options.startswith("rw"), (folder, options)
    machine.until(f"test -e /sys/class/net/{TAP}")


def guest_devices(machine, name):
    """QEMU's arguments for a disk and a network that are not there when the guest is called."""
    image = f"{SRV}/{name}.img"
    machine.sh(f"truncate --size=1M {image}")
    return [
        *("-drive", f"file={image},format=raw,if=none,id=disk"),
        *("-device", "virtio-blk-pci,drive=disk"),
        *("-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no"),
        # No ROM to boot from the network: QEMU's package only suggests them.
        *("-device", "virtio-net-pci,netdev=net,romfile="),
    ]


def check_came_late(machine, unit):
    """In this boot the client's unit was there before its disk was."""
    def when(name, stamp):
        return int(machine.sh(f"systemctl show -P {stamp}TimestampMonotonic {name}"))

    started, mounted = when(unit, "InactiveExit"), when("srv.mount", "ActiveEnter")
    assert 0 < started < mounted, (started, mounted)
