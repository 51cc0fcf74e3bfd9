#!/usr/bin/python
# SPDX-License-Identifier: LGPL-2.1-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: rehearse
short_description: Rehearse a kernel update on a host
version_added: "0.1.0"
description:
  - Does all of an update up to the reboot call, thaws everybody, and undoes what was prepared.
  - Workloads stand still for as long as a freeze takes.
  - If the connection breaks meanwhile, the host undoes it all the same.
options:
  mode:
    description: How the update would leave the kernel. Without it, as handoverd is configured.
    type: str
    choices: [immediate, orderly]
  at_most:
    description: Undo it as soon as anybody stands still for longer, for example C(500ms).
    type: str
  keep_prepared:
    description: Stay prepared, so that an update goes on from there.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: In check mode nothing is rehearsed, and the record is empty.
extends_documentation_fragment:
  - handover.update.handoverctl
  - handover.update.handoverctl.target
author:
  - The handoverd project (@handoverd)
"""

EXAMPLES = r"""
- name: See that nobody would stand still for longer than half a second
  handover.update.rehearse:
    at_most: 500ms
  register: rehearsal
"""

RETURN = r"""
record:
  description: The rehearsal's record, as docs/history.md of handoverd has it.
  returned: always
  type: dict
outcome:
  description: C(rehearsed), C(cancelled) or C(failed); C(skipped) in check mode.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.handover.update.plugins.module_utils.handoverctl import (
    CANCELLED, FAILED, OK, PROGRAM_ARGUMENT, TARGET_ARGUMENTS, UPDATE_FAILED, Handoverctl,
    go_on_without_terminal, target_words,
)


def main():
    arguments = dict(TARGET_ARGUMENTS, mode={"type": "str", "choices": ["immediate", "orderly"]},
                     at_most={"type": "str"}, keep_prepared={"type": "bool", "default": False},
                     **PROGRAM_ARGUMENT)
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    handoverctl = Handoverctl(module)
    was_prepared = handoverctl.status()["state"] == "prepared"
    changed = module.params["keep_prepared"] and not was_prepared
    if module.check_mode:
        module.exit_json(changed=changed, record={}, outcome="skipped")
    go_on_without_terminal()
    words = ["update", "--rehearse"] + target_words(module.params)
    if module.params["mode"]:
        words.append("--" + module.params["mode"])
    if module.params["at_most"]:
        words += ["--at-most", module.params["at_most"]]
    document = handoverctl.run(words, good=(OK, FAILED, UPDATE_FAILED, CANCELLED))[1]
    if not isinstance(document, dict):
        module.fail_json(msg="handoverctl update --rehearse says nothing.", outcome="failed")
    record = document.get("update", {})
    outcome = record.get("outcome", document.get("result", "failed"))
    if outcome != "rehearsed":
        module.fail_json(msg="The rehearsal %s: %s" % (outcome, document.get("reason", "")),
                         record=record, outcome=outcome)
    # What somebody had prepared before stays prepared.
    if not module.params["keep_prepared"] and not was_prepared:
        handoverctl.run(["cancel"])
    module.exit_json(changed=changed, record=record, outcome=outcome)


if __name__ == "__main__":
    main()
