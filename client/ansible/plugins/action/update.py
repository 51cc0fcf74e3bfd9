# SPDX-License-Identifier: LGPL-2.1-or-later
"""The controller's side of handover.update.update: begins the update on the host, and waits for the
host and its record over connections that break."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import time

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.handover.update.plugins.module_utils.handoverctl import UPDATE_ARGUMENTS
from ansible_collections.handover.update.plugins.plugin_utils.verdict import is_complete, verdict_of

COLLECTION = "handover.update."
TARGET = ("kernel", "initrd", "cmdline", "allow", "executable")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super(ActionModule, self).run(tmp, task_vars)
        self._vars = task_vars
        # Before anything is begun. What goes to the host goes as it was given: a path is one there.
        args = self.validate_argument_spec(argument_spec=UPDATE_ARGUMENTS)[1]
        for name in ("wait_timeout", "poll_seconds"):
            if args[name] < 1:
                raise AnsibleActionFail("%s is %d; give at least 1 second." % (name, args[name]))
        before = self._module("record", self._only(("executable",)))
        if before.get("failed"):
            return dict(result, outcome="refused", record={}, **self._failure(before))
        if args.get("kernel") and args["kernel"] == before["release"]:
            return dict(result, changed=False, outcome="already", record=before["record"])
        if self._task.check_mode:
            return dict(result, **self._look())
        deadline = time.time() + args["wait_timeout"]
        begun = self._begin()
        if begun.get("failed"):
            return dict(result, outcome="refused", record={}, **self._failure(begun))
        wanted = {"id": begun["update_id"]} if "update_id" in begun else {"after": before["newest_id"]}
        record = self._wait_for(wanted, deadline, args["poll_seconds"])
        result.update(changed=True, record=record)
        if "update_id" in begun:
            result["update_id"] = begun["update_id"]
        result.update(verdict_of(record, args["allow_losses"]))
        return result

    def _only(self, names):
        return dict((name, self._task.args[name]) for name in names if name in self._task.args)

    def _module(self, name, args):
        return self._execute_module(module_name=COLLECTION + name, module_args=args,
                                    task_vars=self._vars)

    @staticmethod
    def _failure(answer):
        kept = {"failed": True, "msg": answer.get("msg", "The host does not answer.")}
        for name in ("error", "rc", "findings"):
            if name in answer:
                kept[name] = answer[name]
        return kept

    def _look(self):
        """In check mode."""
        found = self._module("preflight", self._only(TARGET))
        if found.get("failed"):
            return dict(outcome="refused", record={}, **self._failure(found))
        return {"changed": True, "outcome": "skipped", "record": {}}

    def _begin(self):
        """What the module says; {} if the host has left before it could say anything."""
        try:
            return self._module("update", self._task.args)
        except AnsibleConnectionFailure:
            return {}

    def _wait_for(self, wanted, deadline, poll_seconds):
        """The complete record, or what there is of it at the deadline: {} if the host is lost."""
        args = dict(wanted, **self._only(("executable",)))
        record = {}
        while True:
            try:
                answer = self._module("record", args)
                record = answer.get("record") or record
            except AnsibleError:  # it is on its way; of connections, and of Python that is not there yet
                self._reset()
            if is_complete(record) or time.time() >= deadline:
                return record
            time.sleep(poll_seconds)

    def _reset(self):
        """A connection of ssh's that is kept open leads into the kernel that is gone."""
        try:
            self._connection.reset()
        except (AnsibleError, AttributeError, NotImplementedError):
            pass  # it has none to give up
