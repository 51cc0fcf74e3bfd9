# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scripts/demo shows to a person."""

import contextlib
import io

import demo
import early

MACHINE = early.MACHINE


def test_memory(machine):
    early.make(machine)
    shown = io.StringIO()
    try:
        with contextlib.redirect_stdout(shown):
            problems = demo.run(machine, demo.Memory, "immediate")
    finally:
        text = shown.getvalue()
        print("".join(f"      {line}\n" for line in text.partition("summary\n")[2].splitlines()),
              end="")
    assert not problems, text
    assert max(len(line) for line in text.splitlines()) <= 4 + 80, text
