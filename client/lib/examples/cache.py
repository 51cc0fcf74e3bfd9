#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A cache whose memory survives kernel updates, its own crashes and those of the daemon.

It speaks D-Bus itself (docs/dbus.md), by python3-dbus and python3-gi, and takes "put KEY VALUE" and
"get KEY" on standard input. The argument is the name of the client and of its session."""
import mmap
import os
import struct
import sys

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

SERVICE = "org.handover1"
ERROR = "org.handover1.Error."
BYTES = 1 << 20
TOKEN = dbus.UInt64(1)
RETRY_MSEC = 200


class Memory:
    """What survives. It is whole at any instant: a line counts when the number in the first eight
    bytes says so, which is written last."""

    def __init__(self, fd):
        self.fd = fd
        self.bytes = mmap.mmap(fd, BYTES)

    @classmethod
    def make(cls, name):
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(fd, BYTES)
        return cls(fd)

    def close(self):
        self.bytes.close()
        os.close(self.fd)

    def used(self):
        return struct.unpack_from("=Q", self.bytes)[0]

    def put(self, line):
        line = line.encode() + b"\n"
        at = 8 + self.used()
        if at + len(line) > BYTES:
            return False
        self.bytes[at:at + len(line)] = line
        struct.pack_into("=Q", self.bytes, 0, self.used() + len(line))
        return True

    def get(self, key):
        found = "-"
        for line in self.bytes[8:8 + self.used()].decode().splitlines():
            if line.startswith(key + " "):
                found = line[len(key) + 1:]
        return found


def named(error, name):
    return error.get_dbus_name() == ERROR + name


class Cache(dbus.service.Object):
    INTERFACE = "org.handover1.Client"

    def __init__(self, bus, name):
        super().__init__(bus, "/org/example/cache")
        self.bus = bus
        self.name = name
        self.memory = None
        self.preserved = False
        self.frozen = False
        self.begun = False
        # Called with "" as well, when the daemon is away.
        self.watch = bus.watch_name_owner(SERVICE, self.owner_changed)
        GLib.timeout_add(RETRY_MSEC, self.retry)
        GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, self.read_command)

    def manager(self):
        return dbus.Interface(self.bus.get_object(SERVICE, "/org/handover1", introspect=False),
                              "org.handover1.Manager")

    def session(self, path):
        return dbus.Interface(self.bus.get_object(SERVICE, path, introspect=False),
                              "org.handover1.Session")

    def owner_changed(self, owner):
        """Another daemon: it may know us, or not, and may hold our session, or not."""
        if not owner:
            return
        self.owner = owner
        state = self.manager().RegisterClient(
            self.name, dbus.ObjectPath("/org/example/cache"), dbus.Array([], "s"),
            dbus.Dictionary({}, "sv"))
        if state == "restoring":
            return  # Restore will be called, and brings the memory
        if self.begun:
            self.preserved = self.is_held()
        else:
            self.begin()

    def own_session(self):
        """What ListSessions says of our session; None if there is none."""
        for session in self.manager().ListSessions():
            if str(session[0]) == self.name:
                return session
        return None

    def is_held(self):
        """A session alone is not enough: we may have died before the memory was in it."""
        session = self.own_session()
        return session is not None and not session[5] and session[6] > 0

    def begin(self):
        """There is no memory yet, or an earlier process of ours left it."""
        self.begun = True
        try:
            self.retrieve()
            self.preserved = True
            print("found again", flush=True)
        except dbus.DBusException as error:
            if not named(error, "NoSuchSession") and not named(error, "NoSuchToken"):
                raise
            self.memory = Memory.make(self.name)
            self.preserve()
        print("ready", flush=True)

    def retrieve(self):
        path = self.manager().GetSession(self.name)
        memory = Memory(self.session(path).Retrieve(TOKEN).take())
        if self.memory:
            self.memory.close()
        self.memory = memory

    def create_session(self):
        options = dbus.Dictionary({"client": self.name}, "sv")
        try:
            return self.manager().CreateSession(self.name, options)
        except dbus.DBusException as error:
            empty = self.own_session() if named(error, "NameTaken") else None
            if empty is None or empty[5] or empty[6] > 0:
                raise
            # An earlier process of ours died before the memory was in it.
            self.session(empty[1]).Discard()
            return self.manager().CreateSession(self.name, options)

    def preserve(self):
        """Has the daemon hold the memory, unless it does."""
        if self.preserved:
            return
        path = self.create_session()
        try:
            self.session(path).Preserve(TOKEN, dbus.types.UnixFd(self.memory.fd),
                                        dbus.Dictionary({}, "sv"))
        except dbus.DBusException:
            # A session without the memory would be in the way of the next attempt.
            self.session(path).Discard()
            raise
        self.preserved = True

    def retry(self):
        if self.memory and not self.preserved and not self.frozen:
            try:
                self.preserve()
            except dbus.DBusException:
                pass  # an update runs, say: Prepare of the next one tells if it still fails
        return True

    def check(self, sender):
        """Only the daemon may call."""
        if sender != self.owner:
            raise dbus.DBusException("Only handoverd may call this client.",
                                     name="org.freedesktop.DBus.Error.AccessDenied")

    @dbus.service.method(INTERFACE, in_signature="a{sv}", sender_keyword="sender")
    def Prepare(self, _context, sender=None):
        self.check(sender)
        self.preserve()  # what it raises is the veto: better no update than a loss

    @dbus.service.method(INTERFACE, in_signature="a{sv}", sender_keyword="sender")
    def Cancel(self, _context, sender=None):
        self.check(sender)

    @dbus.service.method(INTERFACE, in_signature="a{sv}", sender_keyword="sender")
    def Freeze(self, _context, sender=None):
        self.check(sender)
        self.frozen = True  # no more commands are taken: nothing is written from here on

    @dbus.service.method(INTERFACE, in_signature="a{sv}", sender_keyword="sender")
    def Thaw(self, _context, sender=None):
        self.check(sender)
        self.frozen = False

    @dbus.service.method(INTERFACE, in_signature="a{sv}", sender_keyword="sender")
    def Restore(self, context, sender=None):
        """In the new kernel."""
        self.check(sender)
        self.retrieve()
        self.begun = True
        self.frozen = False
        self.preserved = False  # with the answer the session of the earlier kernel ends
        print(f"restored in generation {context['generation']}", flush=True)

    def read_command(self, *_event):
        if self.frozen or not self.memory:
            # Later: the line stays where it is.
            GLib.timeout_add(10, self.watch_input)
            return False
        line = sys.stdin.buffer.raw.readline().decode()
        words = line.split()
        if not line:
            loop.quit()
        elif len(words) > 2 and words[0] == "put":
            print("ok" if self.memory.put(line[4:].rstrip("\n")) else "full", flush=True)
        elif len(words) == 2 and words[0] == "get":
            print(self.memory.get(words[1]), flush=True)
        else:
            print("put KEY VALUE or get KEY", flush=True)
        return True

    def watch_input(self):
        GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, self.read_command)
        return False


DBusGMainLoop(set_as_default=True)
loop = GLib.MainLoop()
cache = Cache(dbus.SystemBus(), sys.argv[1] if len(sys.argv) > 1 else "cache")
loop.run()
