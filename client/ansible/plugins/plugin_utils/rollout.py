# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a roll-out knows of its hosts: a note for each, in a directory on the controller. Pure but for
read_note(), read_notes() and write_note()."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import csv
import io
import json
import os
import tempfile

from urllib.parse import quote, unquote

# How a host's part of the roll-out has ended, or where it stands.
DONE = ("done", "already", "done-with-losses")
FAILED = ("failed", "cancelled", "refused", "lost", "unhealthy", "losses", "not-rehearsed")
LEFT = ("vetoed", "unreachable")  # nothing was begun there
COLUMNS = ("host", "from", "to", "outcome", "blackout_ms", "blackout_client", "standstill_ms",
           "losses", "finished_at", "reason")


def path_of(directory, host):
    """A name of an inventory may hold anything, '/' too."""
    return os.path.join(directory, "hosts", quote(host, safe="") + ".json")


def read_note(directory, host):
    """{} if there is none."""
    try:
        with open(path_of(directory, host), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def read_notes(directory):
    """{host: note}"""
    folder = os.path.join(directory, "hosts")
    if not os.path.isdir(folder):
        return {}
    hosts = [unquote(name[:-5]) for name in os.listdir(folder) if name.endswith(".json")]
    return {host: read_note(directory, host) for host in sorted(hosts)}


def write_file(path, text):
    """As a whole, or not at all: a controller may be switched off."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_note(directory, host, note):
    write_file(path_of(directory, host), json.dumps(note, indent=1, sort_keys=True) + "\n")


def is_done(note):
    return note.get("outcome") in DONE


def notes_of(hosts, notes):
    """Those of these hosts; of all without any. A host that was left out neither stops the others nor
    is reported."""
    wanted = set(hosts)
    return {host: note for host, note in notes.items() if not wanted or host in wanted}


def judged(notes, most_percent):
    """Whether the roll-out goes on: the share of failures among the hosts that were tried."""
    names = sorted(host for host, note in notes.items() if note.get("outcome") in FAILED)
    failed = len(names)
    tried = failed + len([note for note in notes.values() if is_done(note)])
    share = 100.0 * failed / tried if tried else 0.0
    return {"tried": tried, "failed": failed, "names": names, "share": round(share, 1),
            "stop": failed > 0 and share > most_percent}


def milliseconds(usec):
    return round(usec / 1000.0, 3) if isinstance(usec, (int, float)) else ""


def longest_standstill(record):
    """Of a client, in µs; None if none was measured."""
    clients = record.get("timeline", {}).get("clients", {})
    times = [one["blackout_usec"] for one in clients.values() if "blackout_usec" in one]
    return max(times) if times else None


def row_of(host, note):
    record = note.get("record") or {}
    losses = record.get("losses", [])
    return {
        "host": host,
        "from": record.get("from_release") or note.get("from", ""),
        "to": record.get("to_release") or note.get("to", ""),
        "outcome": note.get("outcome", "begun" if note else "not tried"),
        "blackout_ms": milliseconds(record.get("blackout_usec")),
        "blackout_client": record.get("blackout_client", ""),
        "standstill_ms": milliseconds(longest_standstill(record)),
        "losses": len(losses),
        "finished_at": record.get("finished_at", ""),
        "reason": note.get("reason") or record.get("reason", "") or "; ".join(losses),
    }


def rows_of(hosts, notes):
    """Of each host of the roll-out, in its order; of those that the notes know without any."""
    return [row_of(host, notes.get(host, {})) for host in hosts or sorted(notes)]


def csv_of(rows):
    """RFC 4180. A cell that a spreadsheet would take for a formula is quoted for it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        cells = [str(row[column]) for column in COLUMNS]
        writer.writerow(["'" + cell if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells])
    return text.getvalue()


def counts_of(rows):
    counts = {}
    for row in rows:
        counts[row["outcome"]] = counts.get(row["outcome"], 0) + 1
    return counts


def markdown_cell(value):
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def markdown_of(rows, title, verdict):
    times = sorted(row["blackout_ms"] for row in rows if row["blackout_ms"] != "")
    lines = ["# " + title, ""]
    lines += ["- %s: %d" % one for one in sorted(counts_of(rows).items())]
    if times:
        lines.append("- blackout: median %s ms, longest %s ms" % (times[len(times) // 2], times[-1]))
    if verdict["stop"]:
        lines.append("- stopped: %(failed)d of %(tried)d hosts failed (%(share)s %%)" % verdict)
    lines += ["", "| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        lines.append("| " + " | ".join(markdown_cell(row[column]) for column in COLUMNS) + " |")
    return "\n".join(lines) + "\n"
