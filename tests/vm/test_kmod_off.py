# SPDX-License-Identifier: LGPL-2.1-or-later
"""The companion module in a kernel that was told to keep nothing."""

import kmod
from kmod import run
from test_kmod import assert_right

MACHINE = {"append": ["kho=off"], "memory": "1G"}


def test_without_kho(machine):
    machine.wait_boot()
    kmod.load(machine)
    assert kmod.info(machine)["features"] & 1 == 0
    code, found, text = run(machine, "refusals no-kho")
    assert_right(found)
    assert code == 0, text
    machine.sh("rmmod handover")
