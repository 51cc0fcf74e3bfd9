# SPDX-License-Identifier: LGPL-2.1-or-later
"""plugin_utils/look.py for the role host."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

from ansible_collections.handover.update.plugins.plugin_utils import look


class FilterModule(object):
    def filters(self):
        return {one.__name__: one for one in (
            look.looked, look.unwell, look.asked, look.not_rehearsed, look.begun, look.failed,
            look.group_of)}
