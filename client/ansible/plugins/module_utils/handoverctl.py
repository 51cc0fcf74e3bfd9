# SPDX-License-Identifier: LGPL-2.1-or-later
"""handoverctl as the modules run it: JSON in values, its errors as failures of the module."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json
import signal

# Exit statuses of handoverctl that are no failure of the call itself (handoverctl(1)).
OK = 0
FAILED = 1
UPDATE_FAILED = 6
CANCELLED = 7

PROGRAM_ARGUMENT = {"executable": {"type": "path", "default": "handoverctl"}}
TARGET_ARGUMENTS = {
    "kernel": {"type": "str"},
    "initrd": {"type": "str"},
    "cmdline": {"type": "str"},
    "allow": {"type": "list", "elements": "str", "default": []},
}
UPDATE_ARGUMENTS = dict(
    TARGET_ARGUMENTS,
    mode={"type": "str", "choices": ["immediate", "orderly"]},
    allow_losses={"type": "bool", "default": False},
    wait_timeout={"type": "int", "default": 900},
    poll_seconds={"type": "int", "default": 3},
    **PROGRAM_ARGUMENT
)


def target_words(params):
    """The arguments of preflight and update that name the target. An empty initrd is none."""
    words = []
    if params["kernel"]:
        words.append(params["kernel"])
    for option in ("initrd", "cmdline"):
        if params[option] is not None:
            words += ["--" + option, params[option]]
    for finding in params["allow"]:
        words += ["--allow", finding]
    return words


def is_real(record):
    """Whether the kernel was left, or was meant to be: no rehearsal, nor what undid one."""
    return "rehearsal" not in record and record.get("outcome") not in ("rehearsed", "cancelled")


def record_of(records, wanted_id=None, after=None):
    """The record with that id, the newest of a real update above `after`, or the newest; {} if there is
    none. `records` has the newest first."""
    for record in records:
        if wanted_id is not None and record.get("id") != wanted_id:
            continue
        if after is not None and not (record.get("id", 0) > after and is_real(record)):
            continue
        return record
    return {}


def parse_object(text):
    """The JSON document in it, or None."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def error_of(stderr):
    """(name, sentence) of what handoverctl --json says on standard error."""
    for line in reversed(stderr.splitlines()):
        said = parse_object(line)
        if isinstance(said, dict) and "message" in said:
            return said.get("error", ""), said["message"]
    return "", stderr.strip()


class Handoverctl(object):
    def __init__(self, module):
        self.module = module
        self.program = module.get_bin_path(module.params["executable"], required=True)

    def run(self, words, good=(OK,)):
        """(exit status, document). Fails the module with the error's name unless the status is one of
        `good`."""
        status, out, err = self.module.run_command([self.program, "--json", "--quiet"] + words)
        document = parse_object(out)
        if status not in good or (document is None and out.strip()):
            name, message = error_of(err)
            self.module.fail_json(
                msg=message or "handoverctl ended with exit status %d" % status,
                error=name, rc=status, document=document)
        return status, document

    def records(self, most):
        """Past updates, newest first."""
        return self.run(["history", "--most", str(most)])[1] or []

    def status(self):
        status = self.run(["status"])[1]
        if not isinstance(status, dict):
            self.module.fail_json(msg="handoverctl status says nothing.", error="", rc=OK)
        return status


def go_on_without_terminal():
    """A connection that breaks must not leave half of our work: what follows is undone by ourselves."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
