# SPDX-License-Identifier: LGPL-2.1-or-later
"""The controller: the collection as a user installs it, in a directory of its own."""

import os
import subprocess
from pathlib import Path


class Controller:
    def __init__(self, directory, **settings):
        self.directory = Path(directory)
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
            "ANSIBLE_HOME": str(self.directory / "home"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "home/tmp"),
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "LC_ALL": "C.UTF-8",
            **settings,
        }

    def install(self, source):
        (self.directory / "ansible.cfg").write_text(
            "[defaults]\nforks = 8\nnocows = True\nlocalhost_warning = False\n"
            "[connection]\npipelining = True\n")
        subprocess.run(
            ["ansible-galaxy", "collection", "install", "-p", self.directory / "collections",
             Path(source) / "client/ansible"],
            env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def playbook(self, *words, **environment):
        return subprocess.run(
            ["ansible-playbook", *map(str, words)], env={**self.environment, **environment},
            cwd=self.directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
