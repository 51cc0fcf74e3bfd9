#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs clang-tidy on what has not passed yet. Ends with 1 if it finds something.

    tidy.py --root ROOT --read BUILD --unity UNITY --passed FOLDER --salt TEXT FOLDERS -- TOOL OPTIONS…

UNITY was configured with CMAKE_UNITY_BUILD: its compilation database names files that include several
sources each, so that the headers, most of the work, are looked at once for all of them. Clang's
analyzer follows paths in the main file alone, so here they become one: the sources' text, one after
the other, and what is found is told by the place in the source.

What passed leaves an empty file in the folder --passed. Its name stands for all that the opinion
depends on: --salt (the tool and its rules), the compiler's options, the sources, and each header of
ours that they were compiled with in BUILD, which was built: Ninja recorded what the compiler read.
"""

import argparse
import concurrent.futures
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys


@dataclasses.dataclass
class Unit:
    """One main file for clang-tidy."""

    file: pathlib.Path
    sources: list  # of what it consists
    places: list  # for each of its lines, (source, line number); empty if it is the source itself
    key: str = ""


def read_by_compiler(build):
    """Source → all that was read to compile it, from Ninja's record of the last build."""
    found = {}
    text = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True,
                          text=True).stdout
    for block in text.split("\n\n"):
        paths = [(build / line.strip()).resolve() for line in block.splitlines()[1:]]
        if paths:
            found.setdefault(paths[0], set()).update(paths)
    return found


def joined(file):
    """The unit of a main file; CMake's, which includes sources, is rewritten to contain them.

    CMake writes its own anew whenever it configures.
    """
    if file.parent.name != "Unity":
        return Unit(file, [file], [])
    sources = [pathlib.Path(path) for path in re.findall(r'^#include "(/.*)"$', file.read_text(), re.M)]
    lines, places = [], []
    for source in sources:
        for number, line in enumerate(source.read_text().splitlines(), 1):
            # What lies beside the source is found from here, too.
            header = re.match(r'#include "(.*)"', line)
            if header and (source.parent / header[1]).exists():
                line = f'#include "{source.parent / header[1]}"'
            lines.append(line)
            places.append((source, number))
    file.write_text("\n".join(lines) + "\n")
    return Unit(file, sources, places)


def units(arguments):
    """What there is to look at, with keys."""
    root = arguments.root
    read = read_by_compiler(arguments.read)
    commands = {}
    for entry in json.loads((arguments.unity / "compile_commands.json").read_text()):
        file = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        commands.setdefault(file, []).append(entry["command"].replace(str(root), ""))
    for file, how in sorted(commands.items()):
        unit = joined(file)
        if not any(source.is_relative_to(root / folder) for source in unit.sources
                   for folder in arguments.folders):
            continue
        digest = hashlib.sha256(repr((arguments.salt, sorted(how))).encode())
        for path in sorted({*unit.sources}.union(*(read.get(source, ()) for source in unit.sources))):
            if path.is_relative_to(root):
                digest.update(repr((str(path.relative_to(root)), path.read_bytes())).encode())
        unit.key = digest.hexdigest()[:16]
        yield unit


def in_source(unit, root, line):
    """A line of clang-tidy's output, about the source."""
    def place(match):
        source, number = unit.places[int(match[1]) - 1]
        return f"{source.relative_to(root)}:{number}:"

    return re.sub(re.escape(str(unit.file)) + r":(\d+):", place, line) if unit.places else line


def look(unit, arguments):
    """Whether it passed; prints what was found."""
    passed = arguments.passed / unit.key
    if passed.exists():
        passed.touch()
        return True
    done = subprocess.run([*arguments.tool, "--quiet", "-p", arguments.unity, unit.file],
                          check=False, capture_output=True, text=True)
    if done.returncode == 0:
        passed.touch()
        return True
    print("".join(f"{in_source(unit, arguments.root, line)}\n"
                  for line in (done.stdout + done.stderr).splitlines()), end="", flush=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("root", "read", "unity", "passed"):
        parser.add_argument(f"--{name}", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("--salt", required=True)
    parser.add_argument("folders", nargs="+")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:split])
    arguments.tool = sys.argv[split + 1:]
    work = list(units(arguments))
    # The largest first, lest the last one runs alone for long.
    work.sort(key=lambda unit: -len(unit.places))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return 0 if all(list(pool.map(lambda unit: look(unit, arguments), work))) else 1


sys.exit(main())
