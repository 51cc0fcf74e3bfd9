#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A test machine: QEMU with the test kernels, its console, and a command channel into it.

Run by itself it boots a machine and runs one command there:
    tests/vm/machine.py [--suite forky] [--kernel to] [--nodes 2] [COMMAND]
"""

import argparse
import base64
import ctypes
import json
import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kernel_log  # noqa: E402

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / "build" / "vm" / "environment.json"

# What every test kernel is told, in the first boot and after each kexec.
COMMAND_LINE = [
    "root=/dev/vda",
    "rootfstype=ext4",
    "rw",
    "console=ttyS0",
    # Enough to see every complaint at once, and "Starting new kernel"; the rest is fetched from
    # dmesg. Each line on the emulated serial port costs time in the blackout.
    "loglevel=6",
    # The emulated counters run alike on all CPUs; checking that only costs time when the host is
    # busy.
    "tsc=reliable",
    # A busy host holds a CPU up for longer than the 21 s that a stall of RCU takes.
    "rcupdate.rcu_cpu_stall_timeout=300",
    "kho=on",
    "liveupdate=on",
    "transparent_hugepage_shmem=advise",
    # Nobody logs in on the console.
    "systemd.getty_auto=0",
    # systemd's own delay before an early reboot is for people, not for tests.
    "systemd.minimum_uptime_sec=0",
    "panic=-1",
    # Else systemd (257 and later) asks the console three times what kind of terminal it is and
    # waits 333 ms each time for an answer that a silent serial port never gives: fixup_environment()
    # and reset_dev_console_fd(), the first things that PID 1 does.
    "systemd.tty.term.console=vt220",
    "systemd.tty.rows.console=25",
    "systemd.tty.columns.console=80",
]


# A plain CPU: emulating "max" takes a quarter more time, since libraries then choose their AVX
# code. An Intel one, since for it the kernel takes the counter as constant and does not measure
# each CPU's speed at boot (0.5 s). Huge pages of 1 GiB and random numbers are wanted by tests.
CPU = "Nehalem,+pdpe1gb,+rdrand,+rdseed"


class MachineError(Exception):
    """Something about the machine went wrong; the text says what, with the console's end."""


class Rebooted(MachineError):
    """The machine went into another kernel while a command ran."""


class CommandFailed(AssertionError):
    """A command in the machine ended with another exit code than 0."""


def _die_with_parent():
    # PR_SET_PDEATHSIG: whatever happens to the test runner, no QEMU is left behind.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _debugger_packets(connection):
    """The packets that GDB's remote protocol brings, without their frames.

    None is acknowledged: the next request does that, and a "+" that comes when the machine is running
    stops it (gdb_read_byte() in QEMU).
    """
    received = b""
    while True:
        packet = re.match(rb"[^$]*\$([^#]*)#..", received)
        if packet:
            received = received[packet.end():]
            yield packet.group(1)
            continue
        data = connection.recv(4096)
        if not data:
            raise OSError("QEMU closed its debugger's port")
        received += data


class Command:
    """A command that runs in the machine; wait() gives (exit code, output)."""

    def __init__(self, machine, number, text):
        self._machine = machine
        self.number = number
        self.text = text
        self.output = bytearray()
        self.code = None
        self.lost = False
        self.done = threading.Event()

    def wait(self, timeout=60):
        if not self.done.wait(timeout):
            self._machine.kill(self)
            raise self._machine.error(
                f"no end of command after {timeout} s: {self.text}\n"
                f"its output so far: {bytes(self.output[-2000:]).decode(errors='replace')}"
            )
        if self.lost:
            error = Rebooted if self._machine.running() else MachineError
            raise self._machine.error(f"the machine was gone before the end of: {self.text}", error)
        return self.code, bytes(self.output).decode(errors="replace")


def numa_options(memory, cpus, nodes):
    """QEMU's arguments for that many nodes of the same size; the last one gets what is left over."""
    if nodes == 1:
        return []
    mib = int(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]
    options = []
    for node in range(nodes):
        size = mib // nodes if node < nodes - 1 else mib - mib // nodes * (nodes - 1)
        first, last = cpus * node // nodes, cpus * (node + 1) // nodes - 1
        options += ["-object", f"memory-backend-ram,id=node{node},size={size}M"]
        options += ["-numa", f"node,nodeid={node},memdev=node{node}"
                    + (f",cpus={first}-{last}" if last >= first else "")]
    return options


def new_disk(directory, label, size):
    """A disk with an empty file system of that name, as a file there."""
    image = os.path.join(directory, f"{label}.img")
    with open(image, "wb") as file:
        file.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
    # Debian leaves /usr/sbin out of a user's PATH.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", label, image], check=True,
                   env={**os.environ, "PATH": path})
    return image


class Machine:
    """One QEMU process. Use it in a with statement, or call stop().

    kernel:   "from", "to", "checking" (as "to", with KASAN, lockdep and KHO's own checks; takes
              several times as long), or a directory of a built kernel
    suite:    which root file system image
    memory:   in MiB or GiB, as 4096M or 4G
    nodes:    NUMA nodes among which memory and CPUs are divided evenly
    append:   further words on the kernel command line
    devices:  further arguments of QEMU
    disks:    further disks: {label of the empty ext4 on it: size}, as {"data": "64M"}
    dead_disk: a second disk, /dev/vdb, with the same file system as the root's; soon after it is
              mounted and written to it answers no more
    """

    def __init__(
        self,
        name="machine",
        kernel="from",
        suite="forky",
        memory="4G",
        cpus=2,
        nodes=1,
        append=(),
        devices=(),
        disks=None,
        dead_disk=False,
        machine_type="q35",
        cpu=CPU,
        environment=None,
        echo=False,
    ):
        self.environment = environment or json.loads(ENVIRONMENT.read_text())
        self.name = name
        self.kernel = self.kernel_directory(kernel)
        self.command_line = " ".join([*COMMAND_LINE, *append])
        self.echo = echo
        self.allowed = []
        self.boots = []  # (boot id, release, host's monotonic time of HELLO, guest's boot time)
        self._commands = {}
        self._next_number = 1
        self._checked = 0
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._console = []  # (host's monotonic time, line)
        logs = REPOSITORY / "build" / "logs" / "vm"
        logs.mkdir(parents=True, exist_ok=True)
        self.console_path = logs / f"{name}.console.log"
        self._directory = tempfile.TemporaryDirectory(prefix="handover-vm-")
        socket_path = os.path.join(self._directory.name, "agent")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(socket_path)
        listener.listen(1)
        self._emulated = os.environ.get("HANDOVER_KVM") != "1"
        accel = "tcg,thread=multi" if self._emulated else "kvm"
        self._debugger_path = os.path.join(self._directory.name, "debugger")
        self.started = time.monotonic()
        if dead_disk:
            # After 8 MiB, one byte a second.
            devices = [
                *("-drive", f"file={self.environment['images'][suite]},if=none,id=dead,format=raw,"
                  "snapshot=on,throttling.bps-write=1,throttling.bps-write-max=8388608"),
                *("-device", "virtio-blk-pci,drive=dead"),
                *devices,
            ]
        for label, size in (disks or {}).items():
            image = new_disk(self._directory.name, label, size)
            devices = [
                *devices,
                *("-drive", f"file={image},if=none,id={label},format=raw,cache=unsafe"),
                *("-device", f"virtio-blk-pci,drive={label}"),
            ]
        # QEMU keeps what the guest writes in an unnamed file (snapshot=on): each machine starts
        # from the same image, and nothing is left of it.
        self._qemu = subprocess.Popen(
            [
                "qemu-system-x86_64",
                *("-name", name, "-nodefaults", "-no-user-config", "-display", "none"),
                *("-accel", accel, "-cpu", cpu, "-M", machine_type),
                *("-smp", str(cpus), "-m", memory),
                *numa_options(memory, cpus, nodes),
                *("-kernel", str(self.kernel / "bzImage"), "-append", self.command_line),
                *("-drive", f"file={self.environment['images'][suite]},if=none,id=root,"
                  "format=raw,snapshot=on,cache=unsafe"),
                *("-device", "virtio-blk-pci,drive=root"),
                *("-device", "virtio-rng-pci"),
                *("-device", "virtio-serial-pci"),
                *("-chardev", f"socket,id=agent,path={socket_path}"),
                *("-device", "virtserialport,chardev=agent,name=org.handover.test"),
                *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
                *("-chardev", f"socket,id=debugger,path={self._debugger_path},server=on,wait=off"),
                *("-gdb", "chardev:debugger"),
                *devices,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent,
        )
        threading.Thread(target=self._read_console, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()
        listener.settimeout(30)
        try:
            self._channel, _ = listener.accept()
        except TimeoutError:
            self.stop()
            raise MachineError(f"QEMU did not start: {self.console(20)}") from None
        finally:
            listener.close()
        threading.Thread(target=self._read_channel, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # What stands around the machine

    def kernel_directory(self, which):
        """The directory of the kernel "from", "to" or "checking", or of another one by its path."""
        return pathlib.Path(self.environment["kernels"].get(which, which))

    def release(self, which):
        """What uname -r says under the kernel "from", "to" or "checking"."""
        return (self.kernel_directory(which) / "release").read_text().strip()

    def running(self):
        return self._qemu.poll() is None

    def stop(self):
        self._qemu.kill()
        self._qemu.wait()
        self._directory.cleanup()

    def error(self, text, kind=MachineError):
        state = "" if self.running() else f" (QEMU has ended: {self._qemu.returncode})"
        return kind(f"{text}{state}\n--- console, last 60 lines ---\n{self.console(60)}")

    # Threads that read

    def _read_console(self):
        with open(self.console_path, "w", encoding="utf-8") as log:
            for raw in self._qemu.stdout:
                self._console_line(raw.decode(errors="replace").rstrip("\r\n"), log)
        with self._changed:
            self._lose_commands()
            self._changed.notify_all()

    def _console_line(self, line, log):
        now = time.monotonic()
        log.write(f"[{now - self.started:9.3f}] {line}\n")
        log.flush()
        if self.echo:
            print(f"    | {line}", flush=True)
        with self._changed:
            self._console.append((now, line))
            self._changed.notify_all()
        if self._emulated and line.endswith("Starting new kernel"):
            try:
                self._forget_translations()
            except OSError as error:
                with self._changed:
                    self._console.append((now, f"QEMU: translations are still there: {error}"))

    def _forget_translations(self):
        """Makes QEMU drop the code that it translated for the kernel that is being left.

        QEMU watches each page out of which it translated code. The new kernel overwrites those
        pages as data, and each 8-byte write then takes a slow path: 6 s of CPU time between kexec
        and the first unit in place of 0.1 s, which no real machine has. A single step through
        the debugger's port drops all translations (gdb_vm_state_change() in QEMU) in 5 ms.
        """
        with socket.socket(socket.AF_UNIX) as debugger:
            debugger.settimeout(120)
            # Connecting stops the machine, and detaching (D) lets it run again.
            debugger.connect(self._debugger_path)
            # QEMU before 8.1 says so (T02), later ones only answer (allow_stop_reply).
            packets = _debugger_packets(debugger)
            for request, answer in ((b"s", b"T05"), (b"D", b"OK")):
                debugger.sendall(b"$%s#%02x" % (request, sum(request) & 255))
                while not next(packets).startswith(answer):
                    pass

    def _read_errors(self):
        for raw in self._qemu.stderr:
            with self._changed:
                self._console.append((time.monotonic(), "QEMU: " + raw.decode().rstrip()))

    def _read_channel(self):
        pending = b""
        while True:
            try:
                data = self._channel.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._frame(line.decode(errors="replace").split())

    def _frame(self, words):
        with self._changed:
            if len(words) == 4 and words[0] == "HELLO":
                # Whatever ran in the kernel before is gone, and so are its answers.
                self._lose_commands()
                self.boots.append((words[1], words[2], time.monotonic(), float(words[3])))
            elif len(words) == 3 and words[0] == "OUT" and words[1].isdigit():
                command = self._commands.get(int(words[1]))
                if command:
                    command.output += base64.b64decode(words[2])
            elif len(words) == 3 and words[0] == "EXIT" and words[1].isdigit():
                command = self._commands.pop(int(words[1]), None)
                if command:
                    command.code = int(words[2])
                    command.done.set()
            self._changed.notify_all()

    def _lose_commands(self):
        for command in self._commands.values():
            command.lost = True
            command.done.set()
        self._commands.clear()

    # The console

    def console(self, last=None):
        """The console's text so far, or its last lines."""
        with self._lock:
            lines = [line for _, line in self._console]
        return "\n".join(lines[-last:] if last else lines)

    def console_time(self, pattern, after=0.0):
        """The host's time of the first console line with that text, or None."""
        with self._lock:
            for when, line in self._console:
                if when >= after and pattern in line:
                    return when
        return None

    # Boots

    def wait_boot(self, count=1, timeout=120):
        """Waits for the count-th boot's agent, counted from 1; returns (boot id, release)."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len({boot[0] for boot in self.boots}) < count:
                left = deadline - time.monotonic()
                if left <= 0 or not self.running():
                    break
                self._changed.wait(min(left, 1))
            done = len({boot[0] for boot in self.boots}) >= count
        if not done:
            raise self.error(f"boot {count} did not reach the agent within {timeout} s")
        return self.boots[-1][:2]

    def boot_count(self):
        return len({boot[0] for boot in self.boots})

    def wait_up(self, timeout=120):
        """Waits until systemd has started everything (or says what failed)."""
        deadline = time.monotonic() + timeout
        self.wait_boot(max(1, self.boot_count()), timeout)
        # PID 1 answers only once it has made its socket.
        code, state = self.run(
            "until test -S /run/systemd/private; do sleep 0.1; done; "
            "systemctl is-system-running --wait",
            timeout=max(1, deadline - time.monotonic()),
        )
        if state.strip() not in ("running", "degraded"):
            raise self.error(f"the system is {state.strip() or code}")
        return state.strip()

    def load(self, which="to", append=()):
        """Loads a kernel for kexec, past handoverd: for tests of this harness and for peers."""
        image = f"/boot/vmlinuz-{self.release(which)}"
        line = " ".join([self.command_line, *append])
        self.sh(f"/usr/lib/handover-test/kexec-file load {image} {shlex.quote(line)}")

    # Commands

    def start(self, text, stdin=b""):
        """Starts a shell command and returns at once with its Command."""
        with self._changed:
            if not self.boots:
                raise MachineError("the machine has no agent yet: call wait_boot()")
            boot_id = self.boots[-1][0]
            command = Command(self, self._next_number, text)
            self._next_number += 1
            self._commands[command.number] = command
        if isinstance(stdin, str):
            stdin = stdin.encode()
        words = [
            "RUN",
            boot_id,
            str(command.number),
            base64.b64encode(text.encode()).decode(),
            base64.b64encode(stdin).decode() or "-",
        ]
        try:
            self._channel.sendall(("\n" + " ".join(words) + "\n").encode())
        except OSError as error:
            raise self.error(f"the command channel is closed: {error}") from None
        return command

    def kill(self, command):
        """Kills a command and what it started."""
        if self.boots and self.running():
            self._channel.sendall(f"\nKILL {self.boots[-1][0]} {command.number}\n".encode())

    def run(self, text, timeout=60, stdin=b""):
        """Runs a shell command; returns (exit code, output)."""
        return self.start(text, stdin).wait(timeout)

    def sh(self, text, timeout=60, stdin=b""):
        """Runs a shell command that must succeed; returns its output without the last newline."""
        code, output = self.run(text, timeout, stdin)
        if code != 0:
            raise CommandFailed(f"exit code {code}: {text}\n{output}")
        return output.rstrip("\n")

    def until(self, text, timeout=60, pause=0.2):
        """Repeats a shell command, in the machine, until it succeeds; returns its output."""
        return self.sh(
            f"end=$((SECONDS + {int(timeout)})); until output=$({{ {text}; }} 2>&1); do "
            f'if [ $SECONDS -ge $end ]; then echo "$output"; exit 1; fi; sleep {pause}; done; '
            'printf %s "$output"',
            timeout + 30,
        )

    def put(self, path, contents, mode="0644"):
        """Writes a file in the machine."""
        path = shlex.quote(path)
        self.sh(f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}",
                stdin=contents)

    def get(self, path):
        """Reads a file of the machine, as bytes."""
        command = self.start(f"cat {shlex.quote(path)}")
        code, output = command.wait()
        if code != 0:
            raise CommandFailed(output)
        return bytes(command.output)

    def kexec(self, command, timeout=120):
        """Runs a command that ends in another kernel; waits for that kernel's agent.

        Returns (boot id, release). A command that comes back without a kexec is an error.
        """
        boots = self.boot_count()
        running = self.start(command)
        deadline = time.monotonic() + timeout
        while self.boot_count() == boots:
            if time.monotonic() > deadline:
                raise self.error(f"no new kernel within {timeout} s after: {command}")
            if not self.running():
                raise self.error(f"QEMU ended during: {command}")
            # An orderly kexec's command ends at once, with 0; the kernel goes later.
            if running.done.is_set() and running.code not in (None, 0):
                output = bytes(running.output).decode(errors="replace")
                raise CommandFailed(f"exit code {running.code}: {command}\n{output}")
            time.sleep(0.05)
        return self.boots[-1][:2]

    # The kernel's log

    def complaints(self):
        """Complaints of the kernel since the last call, on the console and in dmesg."""
        with self._lock:
            lines = [line for _, line in self._console]
        text = "\n".join(lines[self._checked:])
        self._checked = len(lines)
        if self.running() and self.boots:
            # --clear would take the lines from other readers; a mark in the log does not.
            log = self.sh("dmesg --notime")
            log = log.rsplit("handover-test: log checked", 1)[-1]
            self.sh("echo 'handover-test: log checked' > /dev/kmsg")
            text += "\n" + log
        return kernel_log.complaints(text, self.allowed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="forky")
    parser.add_argument("--kernel", default="from", help="from, to, checking, or a directory")
    parser.add_argument("--append", action="append", default=[], help="kernel command line word")
    parser.add_argument("--memory", default="4G", help="as 4096M or 4G")
    parser.add_argument("--nodes", type=int, default=1, help="NUMA nodes")
    parser.add_argument("--timeout", type=float, default=300)
    parser.add_argument("command", nargs="?", default="systemd-analyze; systemctl --failed")
    arguments = parser.parse_args()
    with Machine("by-hand", arguments.kernel, arguments.suite, append=arguments.append,
                 memory=arguments.memory, nodes=arguments.nodes, echo=True) as machine:
        machine.wait_boot()
        machine.wait_up()
        code, output = machine.run(arguments.command, arguments.timeout)
        print(output, end="" if output.endswith("\n") else "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
