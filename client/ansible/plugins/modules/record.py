#!/usr/bin/python
# SPDX-License-Identifier: LGPL-2.1-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: record
short_description: Read the record of a host's updates
version_added: "0.1.0"
description:
  - Returns handoverd's state, the running kernel, and the record of one update.
options:
  id:
    description: The update whose record is wanted. Without it and I(after), the newest.
    type: int
  after:
    description:
      - The newest record of an update whose id is greater than this.
      - Rehearsals are passed over, and what was cancelled.
    type: int
attributes:
  check_mode:
    support: full
    description: It never changes anything.
extends_documentation_fragment:
  - handover.update.handoverctl
author:
  - The handoverd project (@handoverd)
"""

EXAMPLES = r"""
- name: Read how the newest update went
  handover.update.record:
  register: newest

- name: Show its blackout
  ansible.builtin.debug:
    msg: "{{ newest.record.blackout_usec | default('none') }}"
"""

RETURN = r"""
record:
  description: The record, as docs/history.md of handoverd has it; empty if there is none.
  returned: always
  type: dict
newest_id:
  description: Id of the newest record; 0 if there is none.
  returned: always
  type: int
state:
  description: The daemon's state, C(normal) say.
  returned: always
  type: str
generation:
  description: Live updates since the cold boot.
  returned: always
  type: int
release:
  description: The running kernel.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.handover.update.plugins.module_utils.handoverctl import (
    PROGRAM_ARGUMENT, Handoverctl, record_of,
)

# All that handoverd keeps.
MOST = 10000


def main():
    arguments = dict(id={"type": "int"}, after={"type": "int"}, **PROGRAM_ARGUMENT)
    module = AnsibleModule(argument_spec=arguments, mutually_exclusive=[("id", "after")],
                           supports_check_mode=True)
    handoverctl = Handoverctl(module)
    status = handoverctl.status()
    wanted, after = module.params["id"], module.params["after"]
    records = handoverctl.records(1 if wanted is None and after is None else MOST)
    module.exit_json(
        changed=False, record=record_of(records, wanted, after),
        newest_id=records[0].get("id", 0) if records else 0, state=status["state"],
        generation=status["generation"], release=status["kernel"])


if __name__ == "__main__":
    main()
