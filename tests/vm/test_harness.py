# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness itself: it boots, runs commands, sees a kexec through, and notices complaints."""

import kernel_log
from machine import CommandFailed


def test_boots_with_kho_and_luo(machine):
    machine.wait_up()
    assert machine.sh("uname -r") == machine.release("from")
    assert machine.sh("cat /proc/1/comm") == "systemd"
    machine.sh("test -c /dev/liveupdate")
    machine.sh("test -d /sys/kernel/debug/kho/out")
    assert machine.sh("systemctl --failed --no-legend --plain") == ""


def test_commands(machine):
    assert machine.run("echo out; echo err >&2; exit 3") == (3, "out\nerr\n")
    assert machine.run("kill -9 $$")[0] == 128 + 9
    # Input, output and files of every byte value, larger than the channel's buffers.
    contents = bytes(range(256)) * 2000
    machine.put("/tmp/bytes", contents, "0600")
    assert machine.get("/tmp/bytes") == contents
    assert machine.sh("stat --format=%a:%s /tmp/bytes") == f"600:{len(contents)}"
    # Two commands at once.
    slow = machine.start("sleep 1; echo slow")
    assert machine.sh("echo quick") == "quick"
    assert not slow.done.is_set()
    assert slow.wait() == (0, "slow\n")
    try:
        machine.sh("false")
    except CommandFailed:
        pass
    else:
        raise AssertionError("sh() let a failed command pass")


def test_complaints_are_seen(machine):
    assert not machine.complaints()
    machine.sh("echo '<4>WARNING: a test of the log check' > /dev/kmsg")
    assert any("a test of the log check" in line for line in machine.complaints())
    assert not machine.complaints(), "a complaint was reported twice"
    assert kernel_log.complaints("BUG: x\nfine", [r"BUG: x"]) == []


def test_kexec_at_once(machine):
    machine.load("to")
    boot_id = machine.boots[-1][0]
    new_boot_id, release = machine.kexec("/usr/lib/handover-test/kexec-file now")
    assert new_boot_id != boot_id
    assert release == machine.release("to") == machine.sh("uname -r")
    machine.wait_up()
    # KHO's own record of the kernel before.
    machine.sh("test -d /sys/kernel/debug/kho/in")


def test_kexec_through_systemd(machine):
    machine.load("to")
    _, release = machine.kexec("systemctl kexec")
    assert release == machine.release("to")
    machine.wait_up()
    assert machine.sh("systemctl --failed --no-legend --plain") == ""
