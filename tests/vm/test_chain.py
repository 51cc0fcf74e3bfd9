# SPDX-License-Identifier: LGPL-2.1-or-later
"""memfd <- iommu <- vmm, three updates in a row."""

from chain import MACHINE, Chain, check_order
from workload import phases, update


def test_three_updates_in_a_row(machine):
    machine.wait_up()
    chain = Chain(machine)
    seen = chain.look()
    for _ in range(3):
        entry = update(machine)
        check_order(entry)
        seen = chain.check(seen)
        print(f"      {phases(entry)}")
        table = machine.sh(f"handoverctl history {entry['id']}").partition("CLIENT")[1:]
        print("".join(f"      {line}\n" for line in "".join(table).splitlines()), end="")
