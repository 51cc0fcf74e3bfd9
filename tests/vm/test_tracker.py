# SPDX-License-Identifier: LGPL-2.1-or-later
"""The backend that keeps what LUO does not, through handoverd: from one kernel into the next."""

import unittest

from test_update import refused
from workload import ctl, image, update

MODULE = "/usr/lib/modules/$(uname -r)/extra/handover.ko"


def loaded(machine):
    machine.wait_up()
    if machine.run(f"test -e {MODULE}")[0] != 0:
        raise unittest.SkipTest("kmod/ was not built")
    machine.sh("test -c /dev/handover")  # handoverd's unit has loaded it


def backends(machine, session):
    return {token["token"]: token["backend"]
            for token in ctl(machine, f"sessions {session}")}


def test_each_goes_where_it_can_be_kept(machine):
    """A memfd by LUO, a tmpfs file and a file with holes by the module, in one session."""
    loaded(machine)
    machine.sh("head -c 3000000 /dev/urandom | tee /root/data > /dev/shm/named")
    machine.sh("truncate -s 64M /dev/shm/holes; head -c 100000 /dev/urandom > /root/part; "
               "dd if=/root/part of=/dev/shm/holes bs=1M seek=33 conv=notrunc status=none")
    machine.sh("sha256sum < /dev/shm/holes > /root/holes.sum")
    machine.sh("handoverctl session create mixed")
    machine.sh("handoverctl session preserve mixed 1 --stdin < /root/data")
    machine.sh("handoverctl session preserve mixed 2 --file /dev/shm/named")
    machine.sh("handoverctl session preserve mixed 3 --file /dev/shm/holes")
    refused(machine, "session preserve mixed 4 --file /dev/shm/named", "AlreadyPreserved")
    refused(machine, "session preserve mixed 5 --file /etc/machine-id", "Unsupported")
    assert backends(machine, "mixed") == {1: "luo", 2: "tracker", 3: "tracker"}
    listed = machine.sh("handoverctl sessions mixed")
    assert "tracker" in listed and max(map(len, listed.splitlines())) <= 80, listed


def test_a_target_without_the_module_is_refused(machine):
    loaded(machine)
    release = machine.release("to")
    module = f"/usr/lib/modules/{release}/extra/handover.ko"
    machine.sh(f"mv {module} /root/handover.ko")
    line = refused(machine, f"update {image(machine, 'to')}", "ModuleMissing")
    assert "handover" in line and release in line, line
    machine.sh(f"mv /root/handover.ko {module}")


def test_everything_comes_back(machine):
    loaded(machine)
    machine.sh("dd if=/root/part of=/dev/shm/holes bs=1M seek=5 conv=notrunc status=none; "
               "sha256sum < /dev/shm/holes > /root/holes.sum")  # into a hole, after preserving
    update(machine, "to")
    machine.sh("handoverctl session retrieve mixed 1 | cmp - /root/data")
    machine.sh("handoverctl session retrieve mixed 2 | cmp - /root/data")
    machine.sh("handoverctl session retrieve mixed 3 | sha256sum | cmp - /root/holes.sum")
    machine.sh("handoverctl session finish mixed")
    assert ctl(machine, "sessions") == []
