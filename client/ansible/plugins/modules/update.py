#!/usr/bin/python
# SPDX-License-Identifier: LGPL-2.1-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: update
short_description: Carry a host into another kernel, and wait for it
version_added: "0.1.0"
description:
  - Begins an update of handoverd, waits until the host is there again and the update's record is
    complete, the health command's verdict included, and returns the record.
  - A host whose kernel is I(kernel) already, named by its release, is left alone.
options:
  mode:
    description: How to leave the kernel. Without it, as handoverd is configured.
    type: str
    choices: [immediate, orderly]
  allow_losses:
    description: Whether an update that lost something is a success.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds the host has, from the beginning to its complete record.
    type: int
    default: 900
  poll_seconds:
    description: How long to wait between two looks.
    type: int
    default: 3
attributes:
  check_mode:
    support: full
    description: In check mode preflight is asked, and an error of it fails the task.
  action:
    support: full
    description: The waiting is done on the controller, over connections that break.
extends_documentation_fragment:
  - handover.update.handoverctl
  - handover.update.handoverctl.target
author:
  - The handoverd project (@handoverd)
"""

EXAMPLES = r"""
- name: Go into the newest kernel
  handover.update.update:
    kernel: newest
    wait_timeout: 600
  register: updated

- name: Show how long workloads stood still
  ansible.builtin.debug:
    msg: "{{ updated.record.blackout_usec | int // 1000 }} ms"
"""

RETURN = r"""
record:
  description: The update's record, as docs/history.md of handoverd has it; empty if there is none.
  returned: always
  type: dict
outcome:
  description:
    - C(done), C(done-with-losses), C(cancelled) or C(failed) as in the record.
    - C(refused) if the update never began, C(lost) if the host did not come back in time, and
      C(already) if it had the kernel.
  returned: always
  type: str
error:
  description: Name of the D-Bus error that ended or refused it.
  returned: on failure, if there is one
  type: str
update_id:
  description: Id of the update.
  returned: once it has begun
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.handover.update.plugins.module_utils.handoverctl import (
    UPDATE_ARGUMENTS, Handoverctl, target_words,
)


def main():
    """On the host: begins the update. The action plugin of the same name does the rest."""
    module = AnsibleModule(argument_spec=UPDATE_ARGUMENTS, supports_check_mode=True)
    if module.check_mode:
        module.exit_json(changed=True)
    words = ["update", "--no-block"] + target_words(module.params)
    if module.params["mode"]:
        words.append("--" + module.params["mode"])
    document = Handoverctl(module).run(words)[1]
    # Without an id it is found as the first record behind the newest one.
    begun = {"update_id": document["id"]} if isinstance(document, dict) and "id" in document else {}
    module.exit_json(changed=True, **begun)


if __name__ == "__main__":
    main()
