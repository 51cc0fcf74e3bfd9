#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scripts/demo shows: a program with 256 MiB of memory goes through a real kernel update."""

import argparse
import sys
import time

from machine import Machine, MachineError
from workload import Ticker, image, newest_record, wait_normal

STARTED = time.monotonic()


def say(text):
    elapsed = int(time.monotonic() - STARTED)
    print(f"==> [{elapsed // 60}:{elapsed % 60:02}] {text}", flush=True)


def show(machine, command):
    print(f"    # {command}")
    for line in machine.sh(command).splitlines():
        print(f"    {line}", flush=True)


def follow(machine, command, boots):
    """Shows a command's output as it comes, until the kernel goes under it."""
    print(f"    # {command}")
    running, shown, deadline = machine.start(command), 0, time.monotonic() + 240
    while machine.boot_count() == boots and time.monotonic() < deadline:
        text = bytes(running.output[shown:]).decode(errors="replace")
        end = text.rfind("\n") + 1
        for line in text[:end].splitlines():
            print(f"    {line}", flush=True)
        shown += len(text[:end].encode())
        if running.done.is_set() and running.code not in (None, 0):
            raise MachineError(f"'{command}' ended with exit code {running.code}")
        time.sleep(0.1)
    machine.wait_boot(boots + 1, timeout=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["immediate", "orderly"], default="immediate")
    parser.add_argument("--echo", action="store_true", help="show the machine's console")
    arguments = parser.parse_args()
    problems = []
    with Machine("demo", echo=arguments.echo) as machine:
        try:
            say(f"booting kernel {machine.release('from')} in QEMU (software emulation)")
            machine.wait_up()
            show(machine, "uname -r")
            show(machine, "handoverctl status")
            say("starting a program that counts every 2 ms in 256 MiB of memory, as a service")
            ticker = Ticker.start(machine, "demo", 256)
            before = ticker.status()
            show(machine, "handoverctl clients")
            show(machine, "handoverctl sessions")
            say(f"updating the kernel to {machine.release('to')}")
            boot = machine.boots[-1][0]
            follow(machine, f"handoverctl update {image(machine, 'to')} --{arguments.mode}",
                   machine.boot_count())
            say("in the new kernel; looking at all of the memory")
            wait_normal(machine)
            after = ticker.wait_verified()
            machine.wait_up()
            show(machine, "uname -r")
            show(machine, "handoverctl sessions")
            record = newest_record(machine)
            show(machine, f"handoverctl history {record['id']}")
            checks = [
                ("kernel", before["release"] != after["release"]
                 or machine.release("from") == machine.release("to"),
                 f"{before['release']} -> {after['release']}"),
                ("a new boot", machine.boots[-1][0] != boot, "another boot id"),
                ("memory", after["verified"] == "yes",
                 f"{after['memory'] >> 20} MiB, checksum {'right' if after['verified'] == 'yes' else 'WRONG'}"),
                ("counter", after["counter"] > before["counter"],
                 f"{before['counter']} -> {after['counter']}, not restarted"),
                ("update", record["outcome"] == "done", record["outcome"]),
            ]
            problems = [name for name, right, _ in checks if not right]
            say("summary")
            for name, right, detail in checks:
                print(f"    {'ok  ' if right else 'FAIL'}  {name:<11} {detail}")
            blackout = record.get("blackout_usec", 0) / 1e6
            print(f"    blackout    {blackout:.2f} s by the CPU's counter (the program saw "
                  f"{after['gap_usec'] / 1e6:.2f} s between two ticks)")
            complaints = machine.complaints()
            if complaints:
                problems.append("kernel log")
                print("\n".join(complaints))
        except (MachineError, AssertionError) as error:
            problems.append(str(error))
        print(f"    log         {machine.console_path}")
    if problems:
        print("demo: FAILED: " + "; ".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
