#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demo without a virtual machine: an update on the emulated backend, on a bus of its own."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SIZE_MIB = 256
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
</policy></busconfig>
"""


class Mismatch(Exception):
    """The demo did not show what it promises."""


def expect(condition, text):
    if not condition:
        raise Mismatch(text)


def wait_for(what, ready, timeout=30):
    deadline = time.monotonic() + timeout
    while not ready():
        expect(time.monotonic() < deadline, f"no {what} within {timeout} s")
        time.sleep(0.02)


class Demo:
    """The processes of the demo and the directory in which all of it lives."""

    def __init__(self, build, directory):
        self.build = pathlib.Path(build)
        self.directory = pathlib.Path(directory)
        self.logs = REPOSITORY / "build" / "logs" / "local-demo"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.processes = []
        self.environment = dict(
            os.environ,
            DBUS_SYSTEM_BUS_ADDRESS=f"unix:path={directory}/bus",
            HANDOVER_PRIVATE_SOCKET=f"{directory}/run/private",
            TICKER_DIRECTORY=f"{directory}/ticker",
        )

    def start(self, name, *command):
        with open(self.logs / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                [str(word) for word in command], env=self.environment, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def handoverctl(self, *arguments):
        answer = subprocess.run(
            [str(self.build / "client/ctl/handoverctl"), *arguments], env=self.environment,
            capture_output=True, text=True, timeout=120, check=False,
        )
        expect(answer.returncode == 0, f"handoverctl {' '.join(arguments)}: {answer.stderr}")
        return answer.stdout

    def ticker(self):
        text = (self.directory / "ticker" / "demo").read_text()
        return dict(line.split(" ", 1) for line in text.splitlines())

    def memory(self):
        """The checksum of the client's memory behind its first page, where it counts."""
        keeper = self.processes[-1].pid
        found = pathlib.Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        expect(len(found) == 1, f"the client has not one program: {found}")
        digest = hashlib.sha256()
        with open(f"/proc/{found[0]}/fd/3", "rb") as file:
            file.seek(4096)
            while data := file.read(1 << 20):
                digest.update(data)
        return digest.hexdigest()[:16]


def show(ticker, memory):
    print(f"    counter {ticker['counter']}, {int(ticker['memory']) >> 20} MiB, checksum {memory}")


def run(demo):
    directory = demo.directory
    (directory / "bus.conf").write_text(BUS.format(socket=directory / "bus"))
    ticker = directory / "ticker-program"
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-pthread", "-o", ticker,
                    REPOSITORY / "tests/vm/guest/ticker.c"], check=True)
    print("==> a D-Bus daemon and handoverd --backend emulated, in a directory of their own")
    demo.start("dbus-daemon", "dbus-daemon", f"--config-file={directory}/bus.conf", "--nofork",
               "--nopidfile", "--nosyslog")
    wait_for("bus", (directory / "bus").exists)
    demo.start("handoverd", demo.build / "daemon/handoverd", "--backend", "emulated",
               "--runtime-directory", directory / "run", "--state-directory", directory / "state")
    wait_for("private socket of handoverd", (directory / "run/private").exists)
    print(f"==> a client: handover-memfd keeps {SIZE_MIB} MiB for a program that counts")
    demo.start("client", demo.build / "client/memfd/handover-memfd", "run", "--name", "demo",
               "--size", f"{SIZE_MIB}M", "--freeze", "sigstop", "--", ticker, "demo")
    wait_for("ticker", (directory / "ticker" / "demo").exists)
    wait_for("registration", lambda: json.loads(demo.handoverctl("--json", "clients")))
    print(demo.handoverctl("status"), end="")
    before, memory = demo.ticker(), demo.memory()
    show(before, memory)

    print("==> handoverctl update")
    demo.handoverctl("update")
    wait_for("end of the update", lambda: json.loads(
        demo.handoverctl("--json", "status"))["state"] == "normal")
    wait_for("tick after the update", lambda: int(demo.ticker()["counter"]) > int(before["counter"]))
    time.sleep(0.5)  # the ticker renews its account five times a second
    after = demo.ticker()
    show(after, demo.memory())
    expect(demo.memory() == memory, "the memory changed")
    expect(int(after["counter"]) > int(before["counter"]), f"the counter went back: {after}")
    expect(after["starts"] == before["starts"], "the program was started again")
    entry = json.loads(demo.handoverctl("--json", "history"))[0]
    expect(entry["outcome"] == "done", f"the update's outcome is {entry['outcome']}")
    print(demo.handoverctl("history", str(entry["id"])))
    print("Emulated: handoverd was executed again in place of a kexec, and the program was stopped")
    print("meanwhile. No kernel was booted; scripts/demo without --local does that.")


def main():
    build = sys.argv[1]
    # SIGTERM ends as ^C does, so that no process is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="handover-demo-") as directory:
        demo = Demo(build, directory)
        try:
            for name in ("run", "state", "ticker"):
                (demo.directory / name).mkdir()
            run(demo)
        except (Mismatch, OSError, subprocess.SubprocessError) as problem:
            print(f"FAILED: {problem}", file=sys.stderr)
            for log in sorted(demo.logs.glob("*.log")):
                print(f"--- {log.name}\n" + log.read_text(errors="replace")[-2000:],
                      file=sys.stderr)
            return 1
        finally:
            demo.stop()
    print(f"Logs: {demo.logs}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
