# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a record says of its update. Pure."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type


def is_complete(record):
    """Nothing of it is still to come, but losses at the end of the claim time."""
    return bool(record.get("outcome")) and record.get("health") != "running"


def verdict_of(record, allow_losses):
    """{"outcome": …} and, of what is no success, failed, msg and error."""
    outcome = record.get("outcome")
    if not outcome:
        return {"failed": True, "outcome": "lost",
                "msg": "The host did not come back in time with a record of its update."}
    said = {"outcome": outcome}
    if record.get("error"):
        said["error"] = record["error"]
    if outcome not in ("done", "done-with-losses"):
        said.update(failed=True, msg="The update %s: %s" % (outcome, record.get("reason", "")))
    elif outcome == "done-with-losses" and not allow_losses:
        said.update(failed=True, msg="State was lost: %s" % "; ".join(record.get("losses", [])))
    elif record.get("health") == "failed":
        said.update(failed=True, outcome="unhealthy",
                    msg="The new kernel is not well: %s" % record.get("health_reason", ""))
    elif record.get("health") == "running":
        said.update(failed=True, outcome="unhealthy",
                    msg="The health command did not end in time.")
    return said
