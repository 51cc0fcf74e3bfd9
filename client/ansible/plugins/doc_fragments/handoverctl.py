# SPDX-License-Identifier: LGPL-2.1-or-later
"""Options that several modules have."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type


class ModuleDocFragment(object):
    DOCUMENTATION = r"""
options:
  executable:
    description: Name or path of handoverctl.
    type: path
    default: handoverctl
"""

    # What an update goes into.
    TARGET = r"""
options:
  kernel:
    description:
      - A path on the host, a release, the id of a boot loader entry, C(default) or C(newest).
      - Without it, the configured or the newest kernel.
    type: str
  initrd:
    description: Its initial RAM disk, a path on the host. An empty text is none.
    type: str
  cmdline:
    description: Its command line.
    type: str
  allow:
    description: Ids of findings that count as warnings though they are errors.
    type: list
    elements: str
    default: []
"""
