# SPDX-License-Identifier: LGPL-2.1-or-later
"""handover.update.rollout: the notes of a roll-out, on the controller."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import os

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.handover.update.plugins.plugin_utils import rollout

ARGUMENTS = {
    "command": {"type": "str", "choices": ["read", "write", "judge", "report"], "required": True},
    "directory": {"type": "str", "required": True},
    "note": {"type": "dict", "default": {}},
    "most_percent": {"type": "float", "default": 10.0},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "title": {"type": "str", "default": "Roll-out"},
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super(ActionModule, self).run(tmp, task_vars)
        args = self.validate_argument_spec(argument_spec=ARGUMENTS)[1]
        args["directory"] = os.path.abspath(os.path.expanduser(args["directory"]))
        try:
            result.update(getattr(self, "_" + args["command"])(args, task_vars["inventory_hostname"]))
        except (OSError, ValueError) as error:
            raise AnsibleActionFail("The roll-out's directory %s: %s" % (args["directory"], error))
        return result

    def _read(self, args, host):
        note = rollout.read_note(args["directory"], host)
        return {"changed": False, "note": note, "done": rollout.is_done(note)}

    def _write(self, args, host):
        changed = rollout.read_note(args["directory"], host) != args["note"]
        if changed and not self._task.check_mode:
            rollout.write_note(args["directory"], host, args["note"])
        return {"changed": changed}

    def _notes(self, args):
        return rollout.notes_of(args["hosts"], rollout.read_notes(args["directory"]))

    @staticmethod
    def _said(verdict):
        return {"stop": verdict["stop"], "tried": verdict["tried"], "share": verdict["share"],
                "failed_hosts": verdict["failed"], "failed_names": verdict["names"]}

    def _judge(self, args, host):
        return dict(self._said(rollout.judged(self._notes(args), args["most_percent"])), changed=False)

    def _report(self, args, host):
        notes = self._notes(args)
        rows = rollout.rows_of(args["hosts"], notes)
        verdict = rollout.judged(notes, args["most_percent"])
        paths = {"csv": os.path.join(args["directory"], "report.csv"),
                 "markdown": os.path.join(args["directory"], "report.md")}
        if not self._task.check_mode:
            rollout.write_file(paths["csv"], rollout.csv_of(rows))
            rollout.write_file(paths["markdown"], rollout.markdown_of(rows, args["title"], verdict))
        return dict(self._said(verdict), changed=True, counts=rollout.counts_of(rows),
                    complete=all(row["outcome"] in rollout.DONE for row in rows), **paths)
