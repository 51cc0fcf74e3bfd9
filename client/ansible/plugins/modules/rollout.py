#!/usr/bin/python
# SPDX-License-Identifier: LGPL-2.1-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
---
module: rollout
short_description: Keep what a roll-out knows of its hosts
version_added: "0.1.0"
description:
  - Reads and writes a note for each host in a directory on the controller, so that a roll-out that was
    interrupted goes on where it was, and reports on all of it.
  - It runs on the controller only, and nothing is locked.
options:
  command:
    description:
      - C(read) returns this host's note, C(write) puts I(note) in its place.
      - C(judge) says whether too many hosts have failed.
      - C(report) writes C(report.csv) and C(report.md) beside the notes.
    type: str
    choices: [read, write, judge, report]
    required: true
  directory:
    description: The directory on the controller.
    type: str
    required: true
  note:
    description: What to write. Its C(outcome) decides whether the host is done.
    type: dict
    default: {}
  most_percent:
    description: How many of 100 hosts that were tried may fail.
    type: float
    default: 10.0
  hosts:
    description:
      - All hosts of the roll-out, for C(judge) and C(report). Notes of others do not count.
      - Without any, all that have notes.
    type: list
    elements: str
    default: []
  title:
    description: The report's.
    type: str
    default: Roll-out
attributes:
  check_mode:
    support: full
    description: In check mode nothing is written.
  action:
    support: full
    description: It is an action plugin; nothing is sent to the host.
author:
  - The handoverd project (@handoverd)
"""

EXAMPLES = r"""
- name: Write the report
  handover.update.rollout:
    command: report
    directory: /srv/rollouts/2026-05
    hosts: "{{ groups['all'] }}"
"""

RETURN = r"""
note:
  description: This host's note; empty if there is none.
  returned: with C(read)
  type: dict
done:
  description: Whether this host is done.
  returned: with C(read)
  type: bool
stop:
  description: Whether more hosts have failed than may.
  returned: with C(judge) and C(report)
  type: bool
tried:
  description: How many hosts were tried.
  returned: with C(judge) and C(report)
  type: int
failed_hosts:
  description: How many of them failed.
  returned: with C(judge) and C(report)
  type: int
failed_names:
  description: Their names.
  returned: with C(judge) and C(report)
  type: list
  elements: str
share:
  description: The same of 100.
  returned: with C(judge) and C(report)
  type: float
counts:
  description: How many hosts there are of each outcome.
  returned: with C(report)
  type: dict
complete:
  description: Whether each host is done.
  returned: with C(report)
  type: bool
csv:
  description: Path of the report.
  returned: with C(report)
  type: str
markdown:
  description: Path of the report.
  returned: with C(report)
  type: str
"""

# All of it is plugins/action/rollout.py.
