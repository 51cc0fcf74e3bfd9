#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the tests of this folder in virtual machines.

A test is a function test_*(machine) in a file test_*.py. All tests of a file share one machine, in
the order in which they stand; MACHINE, a dict in the file, holds the arguments of Machine. A
test fails by an exception or by a complaint in the kernel's log, and skips by raising
unittest.SkipTest; SKIP, a reason, skips all tests of a file and boots nothing. After a failure the
next test gets a new machine. LONG, a reason, keeps a file for --all, or for --only that names it.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import sys
import threading
import time
import traceback
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
import machine as machines  # noqa: E402

_print_lock = threading.Lock()


def say(text):
    with _print_lock:
        print(text, flush=True)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def short_name(module):
    return module.__name__.removeprefix("test_")


def tests_of(module, pattern):
    """The module's tests, as they stand in the file, whose "module.test" contains the pattern."""
    return [
        (f"{short_name(module)}.{name.removeprefix('test_')}", function)
        for name, function in vars(module).items()
        if name.startswith("test_") and callable(function)
        and (not pattern or pattern in f"{short_name(module)}.{name}"
             or pattern in f"{module.__name__}.{name.removeprefix('test_')}")
    ]


class Counts:
    """What became of the tests."""

    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.failures = {}
        # Seconds of each file: a machine's boot and its tests.
        self.seconds = {}
        self.lock = threading.Lock()

    def add(self, kind):
        with self.lock:
            setattr(self, kind, getattr(self, kind) + 1)

    def add_failure(self, name, problem):
        with self.lock:
            self.failed += 1
            self.failures[name] = problem

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def run_test(name, function, machine, counts):
    """Runs one test; returns whether the machine can serve the next one."""
    started = time.monotonic()
    problem = None
    try:
        machine.allowed = list(getattr(function, "allowed_log", []))
        function(machine)
        complaints = machine.complaints()
        if complaints:
            problem = "the kernel complained:\n" + "\n".join(complaints[:40])
    except unittest.SkipTest as reason:
        counts.add("skipped")
        say(f"skip  {name}: {reason}")
        return True
    except Exception:  # noqa: BLE001  # whatever a test raises is its failure
        problem = traceback.format_exc(limit=-6)
        if "--- console" not in problem:
            problem += f"--- console, last 60 lines ---\n{machine.console(60)}\n"
    spent = time.monotonic() - started
    if problem is None:
        counts.add("passed")
        say(f"ok    {name} ({spent:.1f} s)")
        return True
    counts.add_failure(name, problem.partition("--- console")[0])
    say(f"FAIL  {name} ({spent:.1f} s)\n" + "\n".join(f"    | {x}" for x in problem.splitlines()))
    return False


def reason_to_skip(module):
    """Why none of the file's tests can run here, if so."""
    kernel = getattr(module, "MACHINE", {}).get("kernel", "from")
    if kernel not in json.loads(machines.ENVIRONMENT.read_text())["kernels"]:
        return f"there is no kernel \"{kernel}\" here (scripts/test --{kernel})"
    return getattr(module, "SKIP", None)


def run_module(module, tests, counts, echo):
    if reason := reason_to_skip(module):
        for _ in tests:
            counts.add("skipped")
        say(f"skip  {short_name(module)}: {reason}")
        return
    machine = None
    started = time.monotonic()
    try:
        for name, function in tests:
            if machine is None:
                try:
                    machine = machines.Machine(
                        module.__name__, echo=echo, **getattr(module, "MACHINE", {})
                    )
                    machine.wait_boot()
                except Exception as error:  # noqa: BLE001
                    counts.add_failure(name, f"the machine did not start: {str(error)[:400]}")
                    say(f"FAIL  {name}: the machine did not start: {error}")
                    if machine:
                        machine.stop()
                        machine = None
                    continue
            if not run_test(name, function, machine, counts):
                machine.stop()
                machine = None
    finally:
        if machine:
            machine.stop()
        counts.seconds[short_name(module)] = round(time.monotonic() - started)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="PATTERN",
                        help="only tests whose module.test contains PATTERN")
    parser.add_argument("--all", action="store_true", help="also the files that take long")
    parser.add_argument("--list", action="store_true", help="print the tests and end")
    parser.add_argument("--echo", action="store_true", help="show the machines' consoles")
    # Two machines side by side gain nothing on two cores under software emulation.
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 3),
                        help="machines at the same time (default: %(default)s)")
    parser.add_argument("--counts", metavar="FILE", help="write the counts there, as JSON, in place of the last line")
    arguments = parser.parse_args()

    counts = Counts()
    work = []
    for path in sorted(FOLDER.glob("test_*.py")):
        module = load(path)
        tests = tests_of(module, arguments.only)
        long = getattr(module, "LONG", None)
        if tests and long and not arguments.all and not arguments.only:
            if not arguments.list:
                say(f"left out (--all): {short_name(module)}: {long}")
        elif tests:
            work.append((module, tests))
    if arguments.list:
        for _, tests in work:
            for name, _ in tests:
                print(name)
        return 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        running = [pool.submit(run_module, module, tests, counts, arguments.echo)
                   for module, tests in work]
        try:
            for future in running:
                future.result()
        except KeyboardInterrupt:
            say("interrupted")
            # Not by an exception, which waits for all tests; the machines end with this process.
            os._exit(130)
    if arguments.counts:
        pathlib.Path(arguments.counts).write_text(json.dumps(
            {"passed": counts.passed, "failed": counts.failed, "skipped": counts.skipped,
             "failures": counts.failures, "seconds": counts.seconds}))
    else:
        print(counts)
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
