# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests of the companion module on the kernel with KASAN, lockdep and KHO's own checks."""

from test_kmod import *  # noqa: F403  # the same tests, as far as they fit into an hour here
from test_kmod import MACHINE as PLAIN

MACHINE = {**PLAIN, "kernel": "checking", "memory": "6G"}
