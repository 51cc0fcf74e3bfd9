# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the vm tests keep alive through updates, and how they look at it."""

import json
import re


def pairs(text):
    """Lines of "KEY VALUE", as our programs in the machine write them; numbers as such."""
    found = dict(line.split(" ", 1) for line in text.splitlines())
    return {key: int(value) if value.isdigit() else value for key, value in found.items()}


class Ticker:
    """tests/vm/guest/ticker.c under handover-memfd, as a service of the machine."""

    def __init__(self, machine, name="ticker"):
        self.machine = machine
        self.name = name

    @classmethod
    def start(cls, machine, name="ticker", size_mib=256, usec=2000):
        return cls.start_all(machine, [name], size_mib, usec)[0]

    @classmethod
    def start_all(cls, machine, names, size_mib, usec):
        for name in names:
            machine.put(
                f"/etc/handover/memfd/{name}.conf",
                f"SIZE={size_mib}M\n"
                f"COMMAND=/usr/bin/env TICKER_USEC={usec} /usr/lib/handover-test/ticker {name}\n",
            )
        # In one call: systemd reads all units again for each.
        units = " ".join(f"handover-memfd@{name}" for name in names)
        machine.sh(f"systemctl enable --now {units}", timeout=120)
        for name in names:
            machine.until(f"test -e /run/ticker/{name}", timeout=300)
        return [cls(machine, name) for name in names]

    def status(self):
        return pairs(self.machine.until(f"cat /run/ticker/{self.name}"))

    def wait_verified(self):
        return self.all_verified([self])[0]

    @staticmethod
    def all_verified(tickers):
        """The status of each, once all of them have looked at all of their memory."""
        # In one call: a busy machine takes a second for each.
        files = " ".join(f"/run/ticker/{ticker.name}" for ticker in tickers)
        text = tickers[0].machine.until(
            f"ls {files} > /dev/null && ! grep -q pending {files} && "
            f"for file in {files}; do echo; cat $file; done", timeout=120)
        return [pairs(status) for status in text.strip().split("\n\n")]

    def check_continued(self, before):
        return self.all_continued([self], [before])[0]

    @classmethod
    def all_continued(cls, tickers, before):
        """The same memory, a counter that went on, one start more."""
        release = tickers[0].machine.sh("uname -r")
        status = cls.all_verified(tickers)
        for then, now in zip(before, status, strict=True):
            assert now["verified"] == "yes", now
            assert now["counter"] > then["counter"], (then, now)
            assert now["starts"] == then["starts"] + 1, (then, now)
            assert now["first_release"] == then["first_release"], (then, now)
            assert now["memory"] == then["memory"], (then, now)
            assert now["release"] == release, (now, release)
        return status


def start_scripted(machine, count, descriptors=1, kib=64, first=None):
    """tests/vm/clients/scripted_clients.cpp as a service, whose name is returned: "scripted", or with
    `first` "scripted-FIRST"."""
    name = "scripted" if first is None else f"scripted-{first}"
    arguments = f"{count} {descriptors} {kib}" + ("" if first is None else f" {first}")
    machine.put(
        f"/etc/systemd/system/{name}.service",
        "[Unit]\nDefaultDependencies=no\nWants=handoverd.service\n"
        "Conflicts=shutdown.target\nBefore=shutdown.target\n"
        "[Service]\nType=notify\nTimeoutStartSec=5min\n"
        f"ExecStart=/usr/lib/handover-test/scripted-clients {arguments}\n"
        "[Install]\nWantedBy=multi-user.target\n",
    )
    machine.sh(f"systemctl daemon-reload; systemctl enable --now {name}", timeout=180)
    return name


def configure(machine, **fields):
    """Changes fields of the daemon's configuration, for a daemon that is started anew."""
    path = "/etc/handover/handoverd.json"
    before = machine.sh(f"cat {path}")
    machine.put(path, json.dumps(json.loads(before) | fields, indent=2))
    machine.sh("systemctl restart handoverd", timeout=90)
    wait_normal(machine)
    return before


def cgroup_of(machine, unit):
    """The unit's cgroup as a directory, for a shell: systemd escapes names with backslashes."""
    return "'/sys/fs/cgroup" + machine.sh(f"systemctl show -P ControlGroup {unit}") + "'"


def memory_of(machine, unit):
    """Bytes that are charged to the unit and what is below it."""
    return int(machine.sh(f"cat {cgroup_of(machine, unit)}/memory.current"))


def events(machine, message_id):
    """The journal's entries of this boot with that MESSAGE_ID (docs/journal.md)."""
    text = machine.sh(f"journalctl --sync; journalctl -b --no-pager -o json MESSAGE_ID={message_id}")
    return [json.loads(line) for line in text.splitlines()]


def check_confinement(machine):
    """handoverd.service is confined as its unit says: exposure, devices, network."""
    text = machine.sh("systemd-analyze security --no-pager handoverd | tail -n 1")
    assert float(re.search(r"handoverd.service: ([0-9.]+)", text)[1]) <= 2.5, text
    group = machine.sh("systemctl show -P ControlGroup handoverd")
    inside = f"sh -c 'echo $$ > /sys/fs/cgroup{group}/cgroup.procs && exec \"$@\"' inside"
    machine.sh(f"{inside} head -c 1 /dev/urandom > /dev/null")
    code, output = machine.run(f"{inside} head -c 1 /dev/vda")
    assert code != 0 and "Operation not permitted" in output, output
    pid = machine.sh("systemctl show -P MainPID handoverd")
    here, there = machine.sh(f"readlink /proc/self/ns/net /proc/{pid}/ns/net").splitlines()
    assert here != there, here


def started_beside(machine, clients=()):
    """Units of this boot that started before handoverd let it go on, and that are neither clients nor
    what it needs itself. Only right after a boot: a restart of the daemon changes its times."""
    text = machine.sh("systemctl show --property=Id,InactiveExitTimestampMonotonic,"
                      "ActiveEnterTimestampMonotonic '*.service' '*.mount'")
    units = [dict(line.split("=", 1) for line in block.splitlines()) for block in text.split("\n\n")]
    began = {unit["Id"]: int(unit["InactiveExitTimestampMonotonic"]) for unit in units}
    ready = next(int(unit["ActiveEnterTimestampMonotonic"]) for unit in units
                 if unit["Id"] == "handoverd.service")
    # The root file system was there before PID 1.
    expected = {"handoverd.service", "modprobe@handover.service", "handover-test-agent.service",
                "-.mount", *clients}
    return sorted(name for name, when in began.items() if 0 < when < ready and name not in expected)


def ctl(machine, arguments, timeout=60):
    """handoverctl --json, parsed."""
    return json.loads(machine.sh(f"handoverctl --json {arguments}", timeout=timeout))


def refused(machine, arguments, name, under=""):
    """handoverctl refuses by one line, which is returned, and by the error of that name. `under` is
    a command that executes it."""
    code, line = machine.run(f"{under} handoverctl {arguments}")
    assert code != 0, arguments
    assert len(line.strip().splitlines()) == 1, (arguments, line)
    code, output = machine.run(f"{under} handoverctl --json {arguments}")
    assert code != 0 and name in output, (arguments, name, output)
    return line


def image(machine, which):
    return f"/boot/vmlinuz-{machine.release(which)}"


def other(machine):
    """The kernel of the two that does not run."""
    return "from" if machine.sh("uname -r") == machine.release("to") else "to"


def update(machine, which=None, *options):
    """A whole live update into the kernel "from" or "to" (default: the other one); its record."""
    which = which or other(machine)
    generation = ctl(machine, "status")["generation"]
    command = " ".join(["handoverctl", "update", image(machine, which), *options])
    _, release = machine.kexec(command, timeout=240)
    assert release == machine.release(which), release
    wait_normal(machine)
    entry = newest_record(machine)
    assert entry["outcome"] == "done", entry
    assert entry["generation"] == generation + 1, entry
    assert entry["to_release"] == release, entry
    return entry


def rehearse(machine, *options):
    """All of an update into the other kernel but the reboot call; its record."""
    boot_id = machine.sh("cat /proc/sys/kernel/random/boot_id")
    command = " ".join(["update --rehearse", image(machine, other(machine)), *options])
    entry = ctl(machine, command, timeout=240)["update"]
    assert boot_id == machine.sh("cat /proc/sys/kernel/random/boot_id")
    assert entry["outcome"] == "rehearsed", entry
    assert ctl(machine, "status")["state"] == "prepared"
    return entry


def wait_normal(machine, timeout=120):
    machine.until("handoverctl status --json | grep -Eq '\"state\": *\"normal\"'", timeout=timeout)


def newest_record(machine):
    return ctl(machine, "history -n 1")[0]


def phases(entry):
    """One readable line: every phase in milliseconds, and the blackout."""
    parts = [f"{phase['name']} {phase['usec'] / 1000:.0f}" for phase in entry["phases"]]
    blackout = entry.get("blackout_usec")
    total = f"; blackout {blackout / 1000:.0f} ms" if blackout else ""
    return ", ".join(parts) + total
