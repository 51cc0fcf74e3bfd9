#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""exported_symbols.py LIBRARY MAP API HEADER

What LIBRARY exports, what its version script MAP names, and the functions that HEADER declares with
the macro API are the same; MAP is sorted, and names no pattern."""
import re
import subprocess
import sys


def exported(library):
    """Without the versions, which the linker defines as symbols of their own."""
    lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                           stdout=subprocess.PIPE, text=True).stdout.splitlines()
    symbols = [line.split()[-2:] for line in lines]
    return {name.split("@")[0] for kind, name in symbols if kind != "A"}


def without_comments(path):
    with open(path, encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)


def named(map_file):
    """In the order of the file."""
    symbols = []
    for node in re.findall(r"global:(.*?)local:", without_comments(map_file), flags=re.S):
        symbols += [name.strip() for name in node.split(";") if name.strip()]
    return symbols


def declared(header, api):
    text = re.sub(r"^#.*$", "", without_comments(header), flags=re.M)
    return set(re.findall(rf"\b{api}\b[^;(]*?\b(\w+)\s*\(", text))


def complain(what, names):
    for name in sorted(names):
        print(f"{name} {what}", file=sys.stderr)
    return bool(names)


def main():
    library, map_file, api, header = sys.argv[1:]
    in_map = named(map_file)
    wrong = complain("is a pattern: name what is exported", [n for n in in_map if "*" in n])
    if in_map != sorted(set(in_map)):
        print(f"{map_file} is not sorted, or names a symbol twice", file=sys.stderr)
        wrong = True
    in_header = declared(header, api)
    if not in_header:
        sys.exit(f"{header} declares nothing with {api}")
    in_library = exported(library)
    wrong |= complain("is declared and not in the map", in_header - set(in_map))
    wrong |= complain("is in the map and not declared", set(in_map) - in_header)
    wrong |= complain("is exported and not declared", in_library - in_header)
    wrong |= complain("is declared and not exported", in_header - in_library)
    sys.exit(1 if wrong else 0)


main()
