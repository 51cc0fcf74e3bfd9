#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""tidy_files.py ROOT BUILD SALT FOLDER…: what clang-tidy has to look at, one "KEY FILE" a line.

FILEs are compiled in BUILD and lie in one of the FOLDERs of ROOT. A KEY stands for all that the
opinion on a file depends on: SALT (the tool and its rules), how the file is compiled, its own
contents and those of each header of ours that the compiler read for it.
"""

import hashlib
import json
import pathlib
import subprocess
import sys


def read_by_compiler(build):
    """File → all that was read to compile it, from Ninja's record of the last build."""
    found = {}
    text = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True,
                          text=True).stdout
    for block in text.split("\n\n"):
        paths = [(build / line.strip()).resolve() for line in block.splitlines()[1:]]
        if paths:
            found.setdefault(paths[0], set()).update(paths)
    return found


def main(root, build, salt, *folders):
    root, build = pathlib.Path(root).resolve(), pathlib.Path(build).resolve()
    read = read_by_compiler(build)
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if any(file.is_relative_to(root / folder) for folder in folders):
            commands.setdefault(file, []).append(entry["command"].replace(str(root), ""))
    for file, how in sorted(commands.items()):
        digest = hashlib.sha256(repr((salt, sorted(how))).encode())
        for path in sorted(read.get(file, {file})):
            if path.is_relative_to(root):
                digest.update(repr((str(path.relative_to(root)), path.read_bytes())).encode())
        print(digest.hexdigest()[:16], file.relative_to(root))


main(*sys.argv[1:])
