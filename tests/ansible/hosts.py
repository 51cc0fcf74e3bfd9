# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hosts for roll-outs: each a D-Bus daemon and a handoverd of its own with the emulated backend, in a
directory. Updates are real to it; the daemon is executed again in place of a kexec."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

BUS = """<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>
"""


def wait_for(what, ready, seconds=60):
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds} s")
        time.sleep(0.02)


class Host:
    def __init__(self, build, directory, name):
        self.build, self.name = Path(build), name
        self.directory = Path(directory) / name
        for part in ("run", "state", "hooks"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        self.config = {"backend": "emulated"}
        self.processes = []
        self.environment = {
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.directory}/bus",
            "HANDOVER_PRIVATE_SOCKET": f"{self.directory}/run/private",
        }

    def program(self, part):
        return str(self.build / part)

    def start_process(self, name, *command):
        with open(self.directory / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                [str(word) for word in command], env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True)
        self.processes.append(process)
        return process

    def start_bus(self):
        path = self.directory / "bus.conf"
        path.write_text(BUS.format(socket=self.directory / "bus"))
        self.start_process("dbus-daemon", "dbus-daemon", f"--config-file={path}", "--nofork",
                           "--nopidfile", "--nosyslog")

    def boot(self):
        if not self.processes:
            self.start_bus()
        (self.directory / "handoverd.json").write_text(json.dumps(self.config))
        self.daemon = self.start_process(
            "handoverd", self.program("daemon/handoverd"), "--config",
            self.directory / "handoverd.json", "--runtime-directory", self.directory / "run",
            "--state-directory", self.directory / "state", "--hooks-directory",
            self.directory / "hooks")

    def serves(self):
        return self.ctl("status").returncode == 0

    def keep_memory(self):
        """A client, so that there is somebody to stand still."""
        self.start_process(
            "client", self.program("client/memfd/handover-memfd"), "run", "--name", "cache", "--size",
            "1M", "--freeze", "sigstop", "--", "/bin/sleep", "1000")
        wait_for(f"client of {self.name}", lambda: self.json("clients"))

    def hook(self, stage, text):
        """An administrator's program."""
        folder = self.directory / "hooks" / stage
        folder.mkdir(exist_ok=True)
        path = folder / "50-test"
        path.write_text(text)
        path.chmod(0o755)
        return path

    def ctl(self, *words):
        return subprocess.run(
            [self.program("client/ctl/handoverctl"), "--json", *words],
            env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60,
            check=False)

    def json(self, *words):
        done = self.ctl(*words)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def updates(self):
        """Those on record, newest first; not the rehearsals, nor what undoes them."""
        return [one for one in self.json("history") or []
                if "rehearsal" not in one and one["outcome"] != "cancelled"]

    def kill(self):
        self.daemon.kill()
        self.daemon.wait()

    def end(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
