#!/usr/bin/python
# SPDX-License-Identifier: LGPL-2.1-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: preflight
short_description: Tell what a kernel update would meet on a host
version_added: "0.1.0"
description:
  - Asks handoverd what an update with these options would meet, and begins none.
  - No client is asked, and nothing is changed.
options:
  fail_on:
    description:
      - Which findings fail the task.
      - With C(never) they are only returned.
    type: str
    choices: [error, warning, never]
    default: error
attributes:
  check_mode:
    support: full
    description: It never changes anything.
extends_documentation_fragment:
  - handover.update.handoverctl
  - handover.update.handoverctl.target
author:
  - The handoverd project (@handoverd)
"""

EXAMPLES = r"""
- name: See what stands in the way of the newest kernel
  handover.update.preflight:
    kernel: newest
    fail_on: never
  register: found

- name: Show it
  ansible.builtin.debug:
    var: found.findings
"""

RETURN = r"""
findings:
  description: All of them, the gravest first.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Its id, as docs/preflight.md of handoverd lists them.
      type: str
      sample: kernel-bad
    severity:
      description: C(error), C(warning) or C(fact).
      type: str
    message:
      description: What was found.
      type: str
    advice:
      description: What to do about it.
      type: str
errors:
  description: How many errors there are; with one, an update is refused.
  returned: always
  type: int
warnings_found:
  description: How many warnings there are.
  returned: always
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.handover.update.plugins.module_utils.handoverctl import (
    FAILED, OK, PROGRAM_ARGUMENT, TARGET_ARGUMENTS, UPDATE_FAILED, Handoverctl, target_words,
)


def count(findings, severity):
    return len([one for one in findings if one.get("severity") == severity])


def main():
    arguments = dict(TARGET_ARGUMENTS, **PROGRAM_ARGUMENT)
    arguments["fail_on"] = {
        "type": "str", "choices": ["error", "warning", "never"], "default": "error"}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    words = ["preflight"] + target_words(module.params)
    status, document = Handoverctl(module).run(words, good=(OK, FAILED, UPDATE_FAILED))
    if not isinstance(document, dict) or "findings" not in document:
        module.fail_json(msg="handoverctl preflight says nothing.", rc=status)
    findings = document["findings"]
    result = {"changed": False, "findings": findings, "errors": count(findings, "error"),
              "warnings_found": count(findings, "warning")}
    wrong = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
    culprits = [one for one in findings if one["severity"] in wrong[module.params["fail_on"]]]
    if culprits:
        module.fail_json(
            msg="; ".join("%s: %s" % (one["id"], one["message"]) for one in culprits), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
