#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""role.py SOURCE BUILD: the role handoverd, by the real ansible-playbook: --check where nothing is
installed yet, and handover-fleet's configuration. 77 where Ansible is not installed."""

import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
from controller import Controller  # noqa: E402

BUILD = Path(sys.argv.pop(2)).resolve()
SOURCE = Path(sys.argv.pop(1)).resolve()
if not shutil.which("ansible-playbook"):
    sys.exit(77)

PLAY = """- hosts: localhost
  connection: local
  gather_facts: false
  roles: [handover.update.handoverd]
"""


class Role(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="handover-role-")
        self.addCleanup(place.cleanup)
        self.directory = Path(place.name)
        # The role checks handover-fleet's configuration with the program that will read it.
        self.controller = Controller(
            place.name, PATH=f"{BUILD / 'client/fleet'}:{os.environ['PATH']}")
        self.controller.install(SOURCE)
        (self.directory / "play.yml").write_text(PLAY)

    def play(self, *words, **settings):
        settings = {"handoverd_packages": [], "ansible_python_interpreter": sys.executable, **settings}
        done = self.controller.playbook("play.yml", "-e", json.dumps(settings), *words)
        self.output = done.stdout + done.stderr
        return done.returncode

    def test_check_passes_where_nothing_is_installed(self):
        config, fleet = self.directory / "etc/handoverd.json", self.directory / "etc/fleet.json"
        self.assertEqual(self.play(
            "--check", "--diff", handoverd_config={"backend": "emulated"},
            handoverd_config_file=str(config), handoverd_fleet_config={"windows": []},
            handoverd_fleet_config_file=str(fleet), handoverd_metrics=True,
            handoverd_metrics_directory=str(self.directory / "metrics")), 0, self.output)
        self.assertFalse(config.parent.exists())
        self.assertFalse((self.directory / "metrics").exists())

    def test_the_fleets_configuration_is_checked_and_written(self):
        path = self.directory / "etc/fleet.json"
        wanted = {"windows": [{"calendar": "Sat 02:00", "length-seconds": 3600}]}
        settings = {"handoverd_enabled": False, "handoverd_fleet_config_file": str(path)}
        self.assertEqual(self.play(**settings), 0, self.output)
        self.assertFalse(path.exists())
        self.assertEqual(self.play(handoverd_fleet_config=wanted, **settings), 0, self.output)
        self.assertEqual(json.loads(path.read_text()), wanted)
        self.assertIn("changed=2", self.output)
        self.assertEqual(self.play(handoverd_fleet_config=wanted, **settings), 0, self.output)
        self.assertIn("changed=0", self.output)
        self.assertEqual(self.play(handoverd_fleet_config={"window": []}, **settings), 2, self.output)
        self.assertIn("window", self.output)
        self.assertEqual(json.loads(path.read_text()), wanted)


unittest.main()
