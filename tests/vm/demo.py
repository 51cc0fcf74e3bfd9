#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scripts/demo shows: memory, and guests, going through a real kernel update."""

import argparse
import sys
import time

import chain
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


class Memory:
    """One program that counts in a large memory."""

    about = "a service that counts every 2 ms in 256 MiB of memory"
    machine = {}

    def __init__(self, machine):
        self.ticker = Ticker.start(machine, "demo", 256)
        self.before = self.ticker.status()

    def checks(self):
        """What has to be right in the new kernel: (name, right, detail)."""
        before, after = self.before, self.ticker.wait_verified()
        right = after["verified"] == "yes"
        yield ("memory", right, f"{after['memory'] >> 20} MiB, checksum {'right' if right else 'WRONG'}")
        yield ("counter", after["counter"] > before["counter"],
               f"{before['counter']} -> {after['counter']}, not restarted; "
               f"{after['gap_usec'] / 1e6:.2f} s between two ticks")


class Guests:
    """Guests that need a device, which needs the memory of ten programs."""

    about = "ten memfd clients, a device with a DMA map, two QEMU guests"
    machine = chain.MACHINE

    def __init__(self, machine):
        self.chain = chain.Chain(machine)
        self.before = self.chain.look()

    def checks(self):
        before, after = self.before, self.chain.check(self.before)
        for name, then, now in zip(chain.MEMORY, before["tickers"], after["tickers"]):
            yield (name, now["verified"] == "yes", f"counter {then['counter']} -> {now['counter']}")
        then, now = before["device"], after["device"]
        yield (chain.DEVICE, now["errors"] == 0,
               f"{then['rounds']} -> {now['rounds']} rounds of DMA through the same IOVAs")
        for guest, then, now in zip(self.chain.guests, before["guests"], after["guests"]):
            stopped = guest.status()["carried"]["stopped_usec"] / 1e6
            yield (f"guest {guest.name}", now > then,
                   f"tick {then} -> {now}, same boot id, memory right; stopped for {stopped:.2f} s")


def look_at_clients(machine):
    show(machine, "handoverctl clients")
    show(machine, "handoverctl sessions")


def run(machine, workload, mode):
    """The whole of it; what is not as it should be."""
    say(f"booting kernel {machine.release('from')} in QEMU (software emulation)")
    machine.wait_up()
    show(machine, "uname -r")
    show(machine, "handoverctl status")
    say(f"starting {workload.about}")
    before = machine.sh("uname -r")
    workload = workload(machine)
    look_at_clients(machine)
    say(f"updating the kernel to {machine.release('to')}")
    boot = machine.boots[-1][0]
    follow(machine, f"handoverctl update {image(machine, 'to')} --{mode}", machine.boot_count())
    say("in the new kernel; looking at all of the memory")
    wait_normal(machine)
    machine.wait_up()
    checks = list(workload.checks())
    show(machine, "uname -r")
    look_at_clients(machine)
    record = newest_record(machine)
    show(machine, f"handoverctl history {record['id']}")
    after = machine.sh("uname -r")
    checks = [
        ("kernel", before != after or machine.release("from") == machine.release("to"),
         f"{before} -> {after}"),
        ("a new boot", machine.boots[-1][0] != boot, "another boot id"),
        *checks,
        ("update", record["outcome"] == "done", record["outcome"]),
    ]
    say("summary")
    for name, right, detail in checks:
        print(f"    {'ok  ' if right else 'FAIL'}  {name:<11} {detail}")
    print(f"    blackout    {record.get('blackout_usec', 0) / 1e6:.2f} s by the CPU's counter")
    problems = [name for name, right, _ in checks if not right]
    complaints = machine.complaints()
    if complaints:
        problems.append("kernel log")
        print("\n".join(complaints))
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["immediate", "orderly"], default="immediate")
    parser.add_argument("--vmm", action="store_true", help="guests and a device, too")
    parser.add_argument("--echo", action="store_true", help="show the machine's console")
    arguments = parser.parse_args()
    workload = Guests if arguments.vmm else Memory
    with Machine("demo", echo=arguments.echo, **workload.machine) as machine:
        try:
            problems = run(machine, workload, arguments.mode)
        except (MachineError, AssertionError) as error:
            problems = [str(error)]
        print(f"    log         {machine.console_path}")
    if problems:
        print("demo: FAILED: " + "; ".join(problems), file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
