#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Adds up what CTest says of its tests: ctest_counts.py REPORT LOG STATUS.

REPORT is CTest's JUnit file, LOG its output, STATUS its exit code. Prints a JSON object
{"passed": …, "failed": …, "skipped": …, "failures": {name: what it said}}.
"""

import json
import re
import sys
import xml.etree.ElementTree


def unfinished(log):
    """Names of the tests that began and did not end, in their order."""
    began = {}
    for line in log.splitlines():
        if found := re.match(r"\s*Start\s+(\d+): (.*)", line):
            began[found[1]] = found[2]
        elif found := re.match(r"\s*\d+/\d+ Test\s+#(\d+):", line):
            began.pop(found[1], None)
    return list(began.values())


def cases(report):
    """Of a report that was not written, or not to its end: none."""
    try:
        return list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        return []


def counts(report, log, status):
    total = skipped = 0
    failures = {}
    for case in cases(report):
        total += 1
        if case.get("status") == "fail":
            failures[case.get("name")] = case.findtext("system-out") or ""
        skipped += case.get("status") in ("notrun", "disabled")
    if status != 0 and not failures:
        # CTest itself failed, or was ended: that counts as one.
        total += 1
        with open(log, encoding="utf-8", errors="replace") as file:
            left = unfinished(file.read())
        failures["ctest"] = "ended with exit code %d; not finished: %s" % (
            status, ", ".join(left) or "none")
    failed = len(failures)
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped,
            "failures": failures}


if __name__ == "__main__":
    json.dump(counts(sys.argv[1], sys.argv[2], int(sys.argv[3])), sys.stdout)
