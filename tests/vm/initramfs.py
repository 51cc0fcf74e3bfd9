# SPDX-License-Identifier: LGPL-2.1-or-later
"""An initramfs with a program, and perhaps files, in it (Documentation/driver-api/early-userspace/buffer-format.rst)."""

_DIRECTORY, _FILE, _DEVICE = 0o040755, 0o100755, 0o020600


def _entry(name, mode, contents=b"", device=(0, 0), number=0):
    """One file of a cpio archive in the "newc" form."""
    encoded = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(contents), 0, 0, *device, len(encoded), 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + encoded) + _padded(contents)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)


def initramfs(init, files=None):
    """The archive, not compressed, whose /init is that program; with files by path (their directories
    are not made: for who looks into the archive, not for who boots it)."""
    return b"".join([
        _entry("dev", _DIRECTORY, number=1),
        _entry("dev/console", _DEVICE, device=(5, 1), number=2),
        _entry("init", _FILE, init, number=3),
        *(_entry(name, _FILE, contents, number=number)
          for number, (name, contents) in enumerate((files or {}).items(), start=4)),
        _entry("TRAILER!!!", 0),
    ])
