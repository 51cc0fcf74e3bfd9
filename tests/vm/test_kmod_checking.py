# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests of the companion module on the kernel with KASAN, lockdep and KHO's own checks."""

from test_kmod import *  # noqa: F403  # the same tests, but for pages of 1 GiB
from test_kmod import MACHINE as PLAIN

# KASAN's shadow, an eighth of the memory, has to fit into KHO's scratch areas, and what is preserved
# beside them: twice the size, as by default, would leave too little. Each node's area is one piece:
# on 10 GiB there was no room for it now and then, and KHO was off.
MACHINE = {**PLAIN, "kernel": "checking", "memory": "12G", "append": ("kho_scratch=130%",)}
