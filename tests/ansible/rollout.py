#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rollout.py SOURCE BUILD: the collection as it is installed, with the real ansible-playbook, on thirty
hosts (hosts.py): vetoes, a host that is not well, one that is lost; waves, the stop, going on, an
interrupted run, the reports. 77 where Ansible is not installed."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from controller import Controller
from hosts import Host, wait_for

SOURCE, BUILD = Path(sys.argv[1]), Path(sys.argv[2])
COUNT = 30
CANARY, BUSY_DISK, SICK, REFUSES, BUSY_BUS, LOST = "h01", "h05", "h08", "h12", "h17", "h20"
VETO = {BUSY_DISK: "the disk is busy", BUSY_BUS: "the bus is busy"}


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(found, wanted, what):
    expect(found == wanted, f"{what}: {found!r}, not {wanted!r}")


class Fleet:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.hosts = {}
        self.controller = Controller(directory)
        self.environment = self.controller.environment

    def boot(self):
        for number in range(1, COUNT + 1):
            host = Host(BUILD, self.directory, f"h{number:02}")
            self.hosts[host.name] = host
            host.health = host.directory / "health"
            host.health.write_text("#!/bin/sh\nexit 0\n")
            host.health.chmod(0o755)
            host.config["health"] = {"command": [str(host.health)]}
            host.boot()
        for host in self.hosts.values():
            wait_for(f"handoverd of {host.name}", host.serves)
        for name in (CANARY, "h02", "h30"):
            self.hosts[name].keep_memory()

    def write_inventory(self, executables):
        hosts = {
            name: {
                "handover_environment": host.environment,
                "handover_executable": executables.get(name, host.program("client/ctl/handoverctl")),
            } for name, host in self.hosts.items()
        }
        variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable,
                     "handover_poll_seconds": 1, "handover_wait_timeout": 10}
        (self.directory / "hosts.json").write_text(
            json.dumps({"all": {"hosts": hosts, "vars": variables}}))

    def command(self, rollout, *words, example=None, **settings):
        """With the settings of a file, if there is an `example`; those that are given count more."""
        waves = {} if example else {"handover_waves": [4, "30%", "100%"]}
        settings = {"handover_directory": str(self.directory / rollout), **waves, **settings}
        return ["ansible-playbook", "-i", str(self.directory / "hosts.json"),
                "handover.update.rollout", *(["-e", f"@{example}"] if example else []),
                "-e", json.dumps(settings), *words]

    def roll_out(self, rollout, *words, **settings):
        started = time.monotonic()
        done = subprocess.run(self.command(rollout, *words, **settings), env=self.environment,
                              cwd=self.directory, capture_output=True, text=True, check=False)
        (self.directory / "output").write_text(done.stdout + done.stderr)
        print(f"    {rollout}: exit status {done.returncode}, {time.monotonic() - started:.0f} s")
        return done

    def rows(self, rollout):
        with open(self.directory / rollout / "report.csv", encoding="utf-8", newline="") as file:
            return {row["host"]: row for row in csv.DictReader(file)}

    def outcomes(self, rollout):
        return {name: row["outcome"] for name, row in self.rows(rollout).items()}

    def updates(self):
        return {name: len(host.updates()) for name, host in self.hosts.items()}


def dying_handoverctl(host):
    """The host is gone as soon as its update has begun."""
    path = host.directory / "dying-handoverctl"
    path.write_text(
        "#!/bin/sh\n"
        f"{host.program('client/ctl/handoverctl')} \"$@\"\nstatus=$?\n"
        "case \" $* \" in *' update --no-block'*) kill -9 " + str(host.daemon.pid) + " ;; esac\n"
        "exit $status\n")
    path.chmod(0o755)
    return str(path)


def looks_only(fleet):
    print("==> --check changes nothing, and names who would be left out; with the examples' settings")
    for example, hosts, left in [
            ("ten-thousand-hosts", "h0*", BUSY_DISK), ("ten-hosts", "h01:h02:h03:h04", None)]:
        path = SOURCE / f"client/ansible/examples/{example}.yml"
        # A play reads only as many of them as it needs. Ansible takes no other shares.
        for wave in json.loads(re.search(r"^handover_waves: (.*)$", path.read_text(), re.M)[1]):
            expect(re.fullmatch(r"[1-9]\d*%?", str(wave)), f"{example}: {wave} is no wave")
        done = fleet.roll_out("checked", "--check", example=path, handover_hosts=hosts,
                              handover_kernel="", handover_canaries=1)
        equal(done.returncode, 2 if left else 0, "exit status")
        text = " ".join(done.stdout.split())
        wanted = f"{left} vetoed (" if left else "Every host would be updated."
        expect(wanted in text, f"{wanted} is not said")
        expect("TASK [handover.update.host : Update the host]" in text, "there are no waves")
        for host in ("h02", "h03", "h04"):
            expect(f"{host} failed" not in text and f"{host} refused" not in text, text)
    equal(set(fleet.updates().values()), {0}, "updates")
    equal(list((fleet.directory / "checked").glob("*")) if (fleet.directory / "checked").exists()
          else [], [], "what was written")


def stops(fleet):
    print("==> two hosts fail in the second wave: the third does not come")
    done = fleet.roll_out("may", handover_most_percent=5)
    equal(done.returncode, 2, "exit status")
    expect("The roll-out was stopped" in done.stdout, "the message does not say that it stopped")
    expect(f"Failed: {SICK}, {REFUSES}." in done.stdout, "the message does not name who failed")
    outcomes = fleet.outcomes("may")
    equal(list(outcomes), list(fleet.hosts), "hosts in the report")
    # One canary, four, and 30 % of the 27 that are in waves; those with a veto are in none.
    tried = [name for name in fleet.hosts if name not in VETO][:1 + 4 + 8]
    for name, outcome in outcomes.items():
        wanted = {BUSY_DISK: "vetoed", BUSY_BUS: "vetoed", SICK: "unhealthy", REFUSES: "failed"}.get(
            name, "done" if name in tried else "ready")
        equal(outcome, wanted, name)
    updates = fleet.updates()
    for name in fleet.hosts:
        equal(updates[name], 1 if name in tried else 0, f"updates of {name}")
    rows = fleet.rows("may")
    for name, reason in VETO.items():
        expect(reason in rows[name]["reason"], rows[name]["reason"])
    expect("not today" in rows[REFUSES]["reason"], rows[REFUSES]["reason"])
    for name in (CANARY, "h02"):
        expect(float(rows[name]["blackout_ms"]) > 0, f"{name} has no blackout")
        equal(rows[name]["blackout_client"], "cache", "who stood still")
        equal(rows[name]["standstill_ms"], rows[name]["blackout_ms"], "the longest standstill")
        equal(rows[name]["losses"], "0", "losses")
    equal(rows[CANARY]["from"], os.uname().release, "from")
    rehearsals = {name: len(host.json("history")) - updates[name]
                  for name, host in fleet.hosts.items()}
    equal([name for name, count in rehearsals.items() if count], [CANARY], "who rehearsed")
    equal(fleet.hosts[CANARY].json("status")["state"], "normal", "the canary's state")
    text = (fleet.directory / "may/report.md").read_text()
    expect("- stopped: 2 of 13 hosts failed (15.4 %)" in text, text)


def goes_on(fleet):
    print("==> what was wrong is put right: it goes on, and one host is lost")
    for name in (*VETO, REFUSES):
        for path in (fleet.hosts[name].directory / "hooks").glob("*/*"):
            path.unlink()
    fleet.hosts[SICK].health.write_text("#!/bin/sh\nexit 0\n")
    before = fleet.updates()
    done = fleet.roll_out("may", handover_most_percent=5)
    equal(done.returncode, 2, "exit status")
    outcomes = fleet.outcomes("may")
    equal({name for name, one in outcomes.items() if one != "done"}, {LOST}, "who is not done")
    equal(outcomes[LOST], "lost", LOST)
    after = fleet.updates()
    for name, host in fleet.hosts.items():
        if name == LOST:
            continue
        was_done = before[name] == 1 and name not in (SICK, REFUSES)
        equal(after[name] - before[name], 0 if was_done else 1, f"new updates of {name}")

    print("==> the lost host is started again")
    fleet.hosts[LOST].boot()
    wait_for("the lost host", fleet.hosts[LOST].serves)
    fleet.write_inventory({})
    done = fleet.roll_out("may", handover_most_percent=5)
    equal(done.returncode, 0, "exit status")
    equal(set(fleet.outcomes("may").values()), {"done"}, "outcomes")
    equal(fleet.updates()["h30"], 1, "updates of h30")


def bears_interruption(fleet):
    print("==> a run that is killed in the middle is gone on with, and nobody is updated twice")
    some = "h0*"
    before = fleet.updates()
    notes = fleet.directory / "june/hosts"
    with open(fleet.directory / "killed", "wb") as log:
        run = subprocess.Popen(fleet.command("june", handover_waves=["100%"], handover_hosts=some), env=fleet.environment,
                               cwd=fleet.directory, stdout=log, stderr=log, start_new_session=True)

    def begun():
        texts = [path.read_text() for path in notes.glob("*.json")] if notes.exists() else []
        return len([text for text in texts if '"begun"' in text]) >= 3

    wait_for("an update of the second roll-out", begun, 120)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    wait_for("the end of all updates",
             lambda: all(host.json("status")["state"] == "normal" for host in fleet.hosts.values()))
    equal([path for path in fleet.directory.glob("june/**/*lock*")], [], "locks")
    done = fleet.roll_out("june", handover_waves=["100%"], handover_hosts=some)
    equal(done.returncode, 0, "exit status")
    after = fleet.updates()
    for name in fleet.hosts:
        equal(after[name] - before[name], 1 if name.startswith("h0") else 0, f"updates of {name}")


def main():
    if not shutil.which("ansible-playbook"):
        sys.exit(77)
    # SIGTERM ends as ^C does, so that no process is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="handover-fleet-") as directory:
        fleet = Fleet(directory)
        try:
            fleet.controller.install(SOURCE)
            fleet.boot()
            for name, reason in VETO.items():
                fleet.hosts[name].hook("preflight", f"#!/bin/sh\necho {reason}\nexit 1\n")
            fleet.hosts[REFUSES].hook("prepare", "#!/bin/sh\necho not today\nexit 1\n")
            fleet.hosts[SICK].health.write_text("#!/bin/sh\necho no route\nexit 1\n")
            fleet.write_inventory({LOST: dying_handoverctl(fleet.hosts[LOST])})
            looks_only(fleet)
            stops(fleet)
            goes_on(fleet)
            bears_interruption(fleet)
        except (AssertionError, TimeoutError) as problem:
            output = fleet.directory / "output"
            print(output.read_text() if output.exists() else "", file=sys.stderr)
            for report in fleet.directory.glob("*/report.md"):
                print(report.read_text(), file=sys.stderr)
            sys.exit(f"FAILED: {problem}")
        finally:
            for host in fleet.hosts.values():
                host.end()


main()
