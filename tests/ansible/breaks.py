#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""breaks.py SOURCE: a roll-out whose hosts go away at each of its steps, with the real ansible-playbook,
connections that break (connection/breaking.py), and a handoverctl that answers what it is told.
rollout.py has real hosts. 77 where Ansible is not installed."""

import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
from controller import Controller  # noqa: E402

SOURCE = Path(sys.argv.pop(1)).resolve()
if not shutil.which("ansible-playbook"):
    sys.exit(77)

# Says what `answers` has for the command, then touches files, and changes the answers.
HANDOVERCTL = """#!{python}
import json, pathlib, sys
place = pathlib.Path({place!r})
words = [word for word in sys.argv[1:] if word not in ("--json", "--quiet")]
command = "rehearse" if "--rehearse" in words else words[0]
with (place / "calls").open("a") as file:
    file.write(command + "\\n")
answers = json.loads((place / "answers").read_text())
if answers[command] is not None:
    print(json.dumps(answers[command]))
for name in answers["touches"].get(command, []):
    (place / name).touch()
answers.update(answers["then"].get(command, {{}}))
(place / "answers").write_text(json.dumps(answers))
"""
OLD = {"id": 3, "outcome": "done", "from_release": "7.1", "to_release": "7.2"}
DONE = {"id": 7, "outcome": "done", "from_release": "7.2", "to_release": "7.3"}
REHEARSED = {"id": 8, "outcome": "rehearsed", "rehearsal": {}}
BUSY = {"findings": [{"id": "busy", "severity": "error", "message": "not now"}]}


def status(release="7.2", state="normal"):
    return {"state": state, "generation": 1, "kernel": release}


class Host:
    def __init__(self, directory, name):
        self.place = Path(directory) / name
        self.place.mkdir(parents=True)
        self.note_path = Path(directory).parent / "rollout/hosts" / f"{name}.json"
        self.answers = {
            "status": status(), "history": [OLD], "preflight": {"findings": []},
            "rehearse": {"result": "rehearsed", "update": REHEARSED}, "cancel": {},
            "update": {"id": 7}, "touches": {},
            "then": {"update": {"history": [DONE, OLD], "status": status("7.3")}},
        }
        self.script("handoverctl", HANDOVERCTL.format(python=sys.executable, place=str(self.place)))
        self.well()

    def script(self, name, text):
        (self.place / name).write_text(text)
        (self.place / name).chmod(0o755)

    def well(self):
        self.script("health", "#!/bin/sh\nexit 0\n")

    def answer(self, **answers):
        """Also: the host is there, as it is unless it is told otherwise."""
        for name in ("away", "leaves"):
            (self.place / name).unlink(missing_ok=True)
        self.answers.update(answers)
        (self.place / "answers").write_text(json.dumps(self.answers))

    def noted(self, **note):
        self.note_path.parent.mkdir(parents=True, exist_ok=True)
        self.note_path.write_text(json.dumps(note))

    def note(self):
        return json.loads(self.note_path.read_text())

    def calls(self, command):
        path = self.place / "calls"
        return path.read_text().split().count(command) if path.exists() else 0


class Breaks(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="handover-breaks-")
        self.addCleanup(place.cleanup)
        self.directory = Path(place.name)
        self.controller = Controller(
            place.name, HANDOVER_TEST_HOSTS=str(self.directory / "hosts"),
            ANSIBLE_CONNECTION_PLUGINS=str(Path(__file__).resolve().parent / "connection"))
        self.controller.install(SOURCE)
        self.hosts = {}

    def host(self, name, **answers):
        host = self.hosts[name] = Host(self.directory / "hosts", name)
        host.answer(**answers)
        return host

    def play(self, *words):
        variables = {
            "ansible_connection": "breaking", "ansible_python_interpreter": sys.executable,
            "handover_place": f"{self.directory}/hosts/{{{{ inventory_hostname }}}}",
            "handover_executable": "{{ handover_place }}/handoverctl",
            "handover_health_command": ["{{ handover_place }}/health"],
            "handover_health_retries": 1, "handover_health_delay": 0,
            "handover_poll_seconds": 1, "handover_wait_timeout": 4}
        inventory = self.directory / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": {name: {} for name in self.hosts},
                                                 "vars": variables}}))
        done = self.controller.playbook("-i", inventory, *words)
        self.output = done.stdout + done.stderr
        return done.returncode

    def roll_out(self):
        return self.play(
            "handover.update.rollout", "-e", json.dumps({
                "handover_directory": str(self.directory / "rollout"), "handover_kernel": "7.3",
                "handover_most_percent": 100, "handover_waves": ["100%"],
                # Of which two are done already, as the first run finds.
                "handover_canaries": 3}))

    def expect(self, outcomes, updates):
        for name, host in self.hosts.items():
            with self.subTest(name):
                self.assertEqual(host.note()["outcome"], outcomes.get(name, "done"), host.note())
                self.assertEqual(host.calls("update"), updates.get(name, 0))

    def test_hosts_that_go_away_are_neither_forgotten_nor_updated_twice(self):
        canary = self.host("a-canary", touches={"rehearse": ["away"]})
        before = self.host("before", touches={"preflight": ["leaves"]})
        behind = self.host("behind")
        behind.script("health", f"#!/bin/sh\ntouch {behind.place}/away\n")
        begun = self.host("begun", status=status("7.3", "restoring"), preflight=BUSY)
        begun.noted(outcome="begun", after=5, **{"from": "7.2"})
        ended = self.host("ended", history=[REHEARSED, DONE, OLD], status=status("7.3"))
        ended.noted(outcome="begun", after=5, **{"from": "7.2"})
        has = self.host("has", status=status("7.3"), preflight=BUSY)
        lost = self.host("lost")
        lost.noted(outcome="lost", after=5, **{"from": "7.2"})
        (lost.place / "away").touch()
        self.host("says-nothing", update=None)
        sick = self.host("sick", status=status("7.3"))
        sick.noted(outcome="unhealthy", reason="no route", **{"from": "7.2"})
        sick.script("health", "#!/bin/sh\necho still no route\nexit 1\n")
        unwell = self.host("unwell", history=[DONE, OLD], status=status("7.3"))
        unwell.noted(outcome="lost", after=5, **{"from": "7.2"})
        unwell.script("health", "#!/bin/sh\nexit 1\n")
        without = self.host("without", status=None)

        self.assertEqual(self.roll_out(), 2, self.output)
        self.expect({"a-canary": "not-rehearsed", "before": "unreachable", "behind": "unhealthy",
                     "begun": "begun", "has": "already", "lost": "lost", "sick": "unhealthy",
                     "unwell": "unhealthy", "without": "unreachable"},
                    {"behind": 1, "says-nothing": 1})
        self.assertIn("Failed: a-canary, behind, lost, sick, unwell.", " ".join(self.output.split()))
        self.assertEqual((begun.note()["after"], lost.note()["after"]), (5, 5))
        self.assertNotIn("after", before.note())
        self.assertIn("still no route", sick.note()["reason"])
        self.assertIn("status says nothing", without.note()["reason"])
        self.assertIn("does not answer", behind.note()["reason"])
        self.assertEqual((begun.calls("preflight"), has.calls("preflight")), (0, 0))
        self.assertNotIn("Traceback", self.output)

        for host in (canary, before):
            host.answer(touches={})
        begun.answer(status=status("7.3"), history=[DONE, OLD])
        lost.answer(status=status("7.3"), history=[DONE, OLD])
        behind.answer(status=status("7.3"), history=[DONE, OLD])
        without.answer(status=status())
        for host in (behind, sick, unwell):
            host.well()
        self.assertEqual(self.roll_out(), 0, self.output)
        self.expect({name: "already" for name in ("has", "behind", "sick", "unwell")},
                    {"a-canary": 1, "before": 1, "behind": 1, "says-nothing": 1, "without": 1})
        self.assertEqual(ended.note()["record"], DONE)

    def test_wrong_arguments_are_told_before_anything_begins(self):
        host = self.host("one")
        wrong = [({"poll_seconds": "soon"}, "poll_seconds"), ({"poll_seconds": 0}, "at least 1 second"),
                 ({"wait_timeout": -5}, "at least 1 second"), ({"mode": "fast"}, "immediate, orderly"),
                 ({"kernal": "7.3"}, "kernal")]
        (self.directory / "play.yml").write_text(json.dumps([{
            "hosts": "all", "gather_facts": False, "tasks": [
                task for arguments, text in wrong for task in (
                    {"handover.update.update": {
                        **arguments, "executable": "{{ handover_executable }}"},
                     "register": "said", "ignore_errors": True},
                    {"ansible.builtin.assert": {"that": "said.failed and text in said.msg"},
                     "vars": {"text": text}})]}]))
        self.assertEqual(self.play("play.yml"), 0, self.output)
        self.assertNotIn("Traceback", self.output)
        self.assertFalse((host.place / "calls").exists())


unittest.main()
