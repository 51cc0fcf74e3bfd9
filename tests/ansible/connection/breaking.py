# SPDX-License-Identifier: LGPL-2.1-or-later
"""A connection to this machine that breaks: for a host that is away, or goes away in a command. With a
file `leaves` in the host's directory the next command finds it gone (`away`)."""

import os
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: breaking
short_description: a connection that breaks
description: For tests.
options: {}
"""


class Connection(Local):
    transport = "breaking"

    def exec_command(self, *words, **settings):
        place = Path(os.environ["HANDOVER_TEST_HOSTS"], self._play_context.remote_addr)
        if (place / "leaves").exists():
            (place / "leaves").rename(place / "away")
        if (place / "away").exists():
            raise AnsibleConnectionFailure("no route to the host")
        done = super().exec_command(*words, **settings)
        if (place / "away").exists():
            raise AnsibleConnectionFailure("the connection broke")
        return done
