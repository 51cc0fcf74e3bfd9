# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same with a systemd that knows nothing of LUO: the daemon itself must outlive the units. And a
Debian of today: GRUB is its boot loader, and systemctl knows soft-reboot."""

from workload import (Ticker, check_confinement, configure, ctl, phases, started_beside, update,
                      wait_normal)

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


def test_soft_reboot_keeps_sessions(machine):
    """systemctl soft-reboot: the daemon outlives it, with what nobody else holds, and goes on."""
    machine.wait_up()
    machine.sh("handoverctl session create notes; "
               "echo kept | handoverctl session preserve notes 1 --stdin")
    boot_id, pid = machine.sh("cat /proc/sys/kernel/random/boot_id; "
                              "systemctl show -P MainPID handoverd").splitlines()
    history = ctl(machine, "history")
    generation = ctl(machine, "status")["generation"]
    machine.run("systemctl soft-reboot")
    machine.until("test \"$(systemctl show -P SoftRebootsCount)\" = 1", timeout=180)
    machine.wait_up()
    wait_normal(machine)
    assert machine.sh("cat /proc/sys/kernel/random/boot_id; "
                      "systemctl show -P MainPID handoverd").splitlines() == [boot_id, pid]
    assert ctl(machine, "status")["generation"] == generation
    # Its unit was stopped, as by systemctl stop: the program began anew, and nothing is told as lost.
    ticker = Ticker(machine)
    assert ticker.wait_verified()["starts"] == 1, ticker.status()
    assert ctl(machine, "history") == history
    # The bus is another one, and all is there: an update carries it.
    assert "normal" in machine.sh("busctl get-property org.handover1 /org/handover1 "
                                  "org.handover1.Manager State")
    before = ticker.status()
    update(machine)
    ticker.check_continued(before)
    assert machine.sh("handoverctl session retrieve notes 1") == "kept"
    machine.sh("handoverctl session finish notes")


def test_a_good_kernel_becomes_grubs_default(machine):
    """By the real grub-set-default, in a unit of its own, and not before the health command."""
    machine.wait_up()
    entries = "".join(
        f"\tmenuentry 'Debian, with Linux {machine.release(which)}' $menuentry_id_option "
        f"'gnulinux-{machine.release(which)}-advanced-0b7e' {{\n"
        f"\t\tlinux /boot/vmlinuz-{machine.release(which)}\n\t}}\n" for which in ("from", "to"))
    machine.put("/boot/grub/grub.cfg", 'set default="${saved_entry}"\n'
                f"submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-0b7e' {{\n{entries}}}\n")
    machine.sh("grub-script-check /boot/grub/grub.cfg; grub-editenv /boot/grub/grubenv create; "
               "grub-set-default older")
    machine.put("/root/health", "#!/bin/sh\ngrub-editenv /boot/grub/grubenv list > /root/default-before\n",
                mode="0755")
    configure(machine, bless=True, health={"command": ["/root/health"]})
    entry = update(machine)
    wanted = f"gnulinux-advanced-0b7e>gnulinux-{entry['to_release']}-advanced-0b7e"
    machine.until(f"test \"$(grub-editenv /boot/grub/grubenv list)\" = 'saved_entry={wanted}'")
    assert machine.sh("cat /root/default-before") == "saved_entry=older"
    assert "boot loader's default now" in machine.sh("journalctl --sync; journalctl -b -u handoverd")
