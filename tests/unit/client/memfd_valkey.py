#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""memfd_valkey.py WRAPPER: which data the wrapper for Valkey gives its server, by a server that loads
and saves a word. tests/vm/test_workloads.py has it with Valkey itself."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = """#!/bin/sh
while [ "$1" != --dir ]; do shift; done
cd "$2" || exit
trap 'printf %s "$(cat ../word)" > dump.rdb; exit 0' TERM
echo "$(cat dump.rdb 2>/dev/null)." >> ../loaded
while :; do sleep 0.02; done
"""


class Place:
    """A host: its /run, the memory that survives it, and the wrapper that runs."""

    def __init__(self, wrapper, path, room):
        self.wrapper, self.path, self.process = wrapper, path, None
        self.run, self.memory = path / "run", path / "memory"
        self.memory.write_bytes(bytes(4096 + room))
        server = path / "server"
        server.write_text(SERVER)
        server.chmod(0o755)

    def loaded(self):
        file = self.path / "loaded"
        return file.read_text().split(".\n")[:-1] if file.exists() else []

    def until(self, what, holds):
        deadline = time.monotonic() + 30
        while not holds():
            if time.monotonic() > deadline:
                sys.exit(f"{what}: not within 30 seconds; loaded: {self.loaded()}")
            time.sleep(0.02)

    def start(self, restored):
        before = len(self.loaded())
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec 3<>"$1"; exec "$2" "$3"', "sh", self.memory, self.wrapper, self.run],
            env=os.environ | {"PROGRAM": str(self.path / "server"),
                              "HANDOVER_RESTORED": str(int(restored))},
            start_new_session=True,
        )
        self.until("start", lambda: len(self.loaded()) > before)

    def stands(self):
        stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def freeze(self, word):
        """The server's data is `word`."""
        (self.path / "word").write_text(word)
        self.process.send_signal(signal.SIGUSR1)

    def crash(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def expect(self, when, word):
        if self.loaded()[-1] != word:
            sys.exit(f"{when} it loads '{self.loaded()[-1]}', not '{word}'")


def carries_and_takes_back_once(place):
    place.start(restored=False)
    place.expect("at first", "")
    place.freeze("carried")
    place.until("freeze", place.stands)
    place.crash()
    (place.run / "dump.rdb").unlink()
    place.start(restored=True)
    place.expect("in the new kernel", "carried")

    (place.run / "dump.rdb").write_text("newer")
    place.crash()
    place.start(restored=True)
    place.expect("after a crash behind the update", "newer")


def goes_on_with_its_own(place):
    place.start(restored=False)
    place.freeze("old")
    place.until("freeze", place.stands)
    place.process.send_signal(signal.SIGCONT)
    place.until("thaw", lambda: len(place.loaded()) == 2)
    place.expect("when the update is given up", "old")
    (place.run / "dump.rdb").write_text("newer")
    place.crash()
    place.start(restored=True)
    place.expect("after a crash behind an update given up", "newer")


def does_not_stand_still_with_too_much(place):
    place.start(restored=False)
    place.freeze("too much for the memory")
    place.until("going on", lambda: len(place.loaded()) == 2)
    if place.stands() or any(place.memory.read_bytes()):
        sys.exit("it puts away what does not fit")


def main():
    wrapper = Path(sys.argv[1]).resolve()
    for check, room in ((carries_and_takes_back_once, 4096), (goes_on_with_its_own, 4096),
                        (does_not_stand_still_with_too_much, 8)):
        with tempfile.TemporaryDirectory() as path:
            place = Place(wrapper, Path(path), room)
            try:
                check(place)
            finally:
                if place.process and place.process.poll() is None:
                    place.crash()


main()
