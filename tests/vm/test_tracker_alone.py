# SPDX-License-Identifier: LGPL-2.1-or-later
"""A kernel without LUO: the companion module keeps everything, the daemon's manifest as well."""

import kmod
from workload import ctl, newest_record, update, wait_normal

MACHINE = {"append": ("liveupdate=off",)}


def test_the_module_is_the_backend(machine):
    machine.wait_up()
    machine.sh("test ! -e /dev/liveupdate")
    status = ctl(machine, "status")
    assert status["backend"] == "tracker" and status["backends"] == ["tracker"], status
    machine.sh("head -c 3000000 /dev/urandom > /root/plain")
    machine.sh("handoverctl session create only")
    machine.sh("handoverctl session preserve only 1 --stdin < /root/plain")
    assert ctl(machine, "sessions only")[0]["backend"] == "tracker"
    assert "handoverd" in [session["name"] for session in kmod.must(machine, "list")]


def test_it_survives_the_daemon(machine):
    machine.sh("kill -9 $(systemctl show -P MainPID handoverd)")
    wait_normal(machine)
    assert ctl(machine, "sessions only")[0]["bytes"] == 3000000


def test_into_a_kernel_with_luo(machine):
    """handoverd switches LUO on there; the manifest is found in the module all the same."""
    update(machine, "to", "--orderly")
    machine.sh("test -e /dev/liveupdate")
    assert ctl(machine, "status")["backend"] == "luo"
    assert newest_record(machine)["losses"] == []
    machine.sh("handoverctl session retrieve only 1 --output /root/back && cmp /root/back /root/plain")
    machine.sh("handoverctl session finish only")
    assert [session["name"] for session in kmod.must(machine, "list")] == []
