# SPDX-License-Identifier: LGPL-2.1-or-later
"""A new kernel that hangs is reset by the watchdog, and not gone into again."""

import json

from workload import configure, ctl, image, newest_record, refused, update, wait_normal

# Its driver stops it at a reboot unless the kernel is told otherwise.
MACHINE = {
    "devices": ["-device", "i6300esb", "-watchdog-action", "reset"],
    "append": ["watchdog.stop_on_reboot=0"],
}

# The driver would stop it as soon as it finds it (esb_initdevice()): as in a kernel that hangs
# before that, or has none.
NO_DRIVER = "initcall_blacklist=esb_driver_init"
HANGS = "/usr/local/bin/hangs"


def findings(machine, which):
    """What preflight finds: id to severity. Its exit code is that of the worst."""
    _, output = machine.run(f"handoverctl --json preflight {image(machine, which)}")
    return {one["id"]: one["severity"] for one in json.loads(output)["findings"]}


def test_a_kernel_that_hangs_ends_in_a_cold_boot(machine):
    machine.wait_up()
    assert machine.sh("cat /sys/class/watchdog/watchdog0/identity").startswith("i6300ESB")
    configure(machine, watchdog={"device": "/dev/watchdog0", "timeout": "20s"})
    assert not findings(machine, "to").keys() & {"watchdog-unavailable", "watchdog-stops"}
    machine.sh("handoverctl session create notes; "
               "echo kept | handoverctl session preserve notes 1 --stdin")
    machine.put(HANGS, "#!/bin/sh\nwhile :; do sleep 1000; done\n", mode="0755")
    line = f"{machine.command_line} {NO_DRIVER} init={HANGS}"
    _, release = machine.kexec(
        f"handoverctl update {image(machine, 'to')} --cmdline '{line}'", timeout=300)
    assert release == machine.release("from"), release
    wait_normal(machine)
    machine.until("handoverctl history --json | grep -q '\"failed\"'")
    record = newest_record(machine)
    assert record["outcome"] == "failed", record
    assert record["to_release"] == machine.release("to"), record
    assert any("notes" in loss for loss in record["losses"]), record
    states = {one["release"]: one["state"] for one in ctl(machine, "kernels")["kernels"]}
    assert states[machine.release("to")] == "bad", states
    refused(machine, f"update {image(machine, 'to')}", "KernelIncompatible")


def test_a_kernel_that_comes_up_stops_it(machine):
    machine.wait_up()
    update(machine, "to", "--allow", "kernel-bad")
    machine.until("handoverctl kernels --json | grep -q '\"good\"'")
    machine.until("grep -qx inactive /sys/class/watchdog/watchdog0/state")
    # It was armed for 20 s.
    machine.sh("sleep 25", timeout=60)
    assert ctl(machine, "status")["generation"] == 1


def test_one_that_somebody_else_feeds_is_left_alone(machine):
    machine.wait_up()
    machine.sh("systemd-run --quiet --unit=feeder sh -c "
               "'exec 3>/dev/watchdog0; while echo -n . >&3; do sleep 1; done'")
    machine.until("grep -qx active /sys/class/watchdog/watchdog0/state")
    found = findings(machine, "from")
    assert found.get("watchdog-unavailable") == "warning", found
    machine.sh("systemctl stop feeder")
    # Closed without a word, it counts on.
    machine.sh("printf V > /dev/watchdog0")
    machine.until("grep -qx inactive /sys/class/watchdog/watchdog0/state")


def test_one_that_the_new_kernel_cannot_stop_is_fed(machine):
    """Also by the next process. The last one here: it counts for as long as this machine lives."""
    machine.wait_up()
    update(machine, "from", "--cmdline", f"'{machine.command_line} i6300esb.nowayout=1'")
    machine.until("grep -qx active /sys/class/watchdog/watchdog0/state")
    # Its driver gives it 30 s.
    machine.sh("sleep 35; systemctl restart handoverd; sleep 35", timeout=120)
    assert ctl(machine, "status")["generation"] == 2
