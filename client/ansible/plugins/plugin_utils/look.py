# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a look at a host, or an attempt at it, makes of its note. Pure.

`note` is the host's note so far; `now` the answer of the module record, without "state" if the host did
not answer. `earlier` in a note is the failure that nothing has put right yet."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

from ansible_collections.handover.update.plugins.plugin_utils.rollout import DONE, FAILED
from ansible_collections.handover.update.plugins.plugin_utils.verdict import is_complete, verdict_of

# An update may be under way, or have ended while nobody looked: the record above `after` says it.
PENDING = ("begun", "lost")
# Failures that are still there when the next attempt does not even begin.
LASTING = ("unhealthy", "losses")
NO_ANSWER = "The host does not answer."


def earlier_of(note):
    """{} or {"outcome", "record", "reason"}."""
    carried = note.get("earlier") or {}
    outcome = note.get("outcome")
    if outcome in LASTING or (outcome in FAILED + PENDING and not carried):
        return {"outcome": outcome, "record": note.get("record") or {}, "reason": note.get("reason", "")}
    return carried


def carried_of(note):
    """What the next note takes over from this one."""
    earlier = earlier_of(note)
    return {"earlier": earlier} if earlier else {}


def noted_outcome(outcome):
    """A record's, as notes have it where losses are no success."""
    return "losses" if outcome == "done-with-losses" else outcome


def away(note, reason):
    """A host that does not answer. What failed there has failed still."""
    if note.get("outcome") in FAILED + PENDING:
        return dict(note, reason=note.get("reason") or reason or NO_ANSWER)
    return dict(carried_of(note), outcome="unreachable", reason=reason or NO_ANSWER)


def ended(note, record, allow_losses):
    """The note of an update that has ended while nobody looked."""
    said = verdict_of(record, allow_losses)
    failed = said.get("failed", False)
    return dict(carried_of(note) if failed else {}, record=record, reason=said.get("msg", ""),
                outcome=noted_outcome(said["outcome"]) if failed else said["outcome"],
                **{"from": note.get("from", "")})


def looked(note, now, kernel="", allow_losses=False, checks=False):
    """{"do", "note"}: what comes next, and the note if that goes well. "write": nothing more; "check": is
    the host well? ("passed" or unwell()); "ask": what would an update meet? (asked()). `checks` says
    whether there is a health command."""
    if "state" not in now:
        return {"do": "write", "note": away(note, now.get("msg", ""))}
    if note.get("outcome") in PENDING:
        record = now.get("record") or {}
        if is_complete(record):
            note = ended(note, record, allow_losses)
            if note["outcome"] in DONE:
                return {"do": "check", "note": note}
        elif record or now["state"] != "normal":
            return {"do": "write", "note": dict(
                note, reason="Its update is not over: handoverd is in state %s." % now["state"])}
    if kernel and kernel == now["release"]:
        return has_kernel(earlier_of(note), now, allow_losses, checks)
    return {"do": "ask", "note": dict(carried_of(note), outcome="ready", after=now["newest_id"],
                                      **{"from": now["release"]})}


def has_kernel(earlier, now, allow_losses, checks):
    """The host runs the roll-out's kernel. That is enough unless something failed there before."""
    note = {"outcome": "already", "from": now["release"], "to": now["release"]}
    if not earlier:
        return {"do": "write", "note": note}
    note["record"] = earlier["record"]
    if earlier["outcome"] == "losses":
        note["outcome"] = "done-with-losses"
        if not allow_losses:
            return {"do": "write", "note": dict(note, outcome="losses", reason=earlier["reason"])}
    if earlier["outcome"] == "unhealthy" and not checks:
        return {"do": "write", "note": dict(
            note, outcome="unhealthy",
            reason="%s It has the kernel: set handover_health_command, which says whether it is well now."
            % ((earlier["reason"] or "It was not well").rstrip(".") + "."))}
    return {"do": "check", "note": note}


def unwell(note, reason):
    """Instead of `note`."""
    return dict(note, outcome="unhealthy", reason=reason)


def asked(note, found):
    """With what preflight has found."""
    findings = found.get("findings")
    errors = [one for one in findings or [] if one.get("severity") == "error"]
    if findings is not None and not errors:
        return note
    reason = "; ".join("%s: %s" % (one["id"], one["message"]) for one in errors)
    left = {"outcome": "unreachable" if found.get("unreachable") else "vetoed", "from": note["from"],
            "reason": reason or found.get("msg", NO_ANSWER)}
    earlier = note.get("earlier") or {}
    if earlier.get("outcome") in LASTING:
        left.update(outcome=earlier["outcome"], record=earlier["record"],
                    reason="%s; now %s: %s" % (earlier["reason"], left["outcome"], left["reason"]))
    return dict(left, **carried_of(note))


def not_rehearsed(note, rehearsed):
    return dict(carried_of(note), outcome="not-rehearsed", record=rehearsed.get("record") or {},
                reason=rehearsed.get("msg", NO_ANSWER), **{"from": note.get("from", "")})


def begun(note, now):
    return dict(carried_of(note), outcome="begun", after=now["newest_id"], **{"from": now["release"]})


def failed(note, now, updated, reason):
    """An attempt that failed: before it began, in the update, or at the health command behind it.
    `updated` is what the module update said, without "outcome" if it could not."""
    if "state" not in now:
        return away(note, reason)
    record = updated.get("record") or {}
    outcome = updated.get("outcome", "lost")
    if "outcome" in updated and not updated.get("failed"):
        outcome = "unhealthy"
    return dict(carried_of(note), outcome=noted_outcome(outcome), after=now["newest_id"], record=record,
                reason=reason, **{"from": now["release"]})


def group_of(note):
    """done, ready, or left: nothing is begun there."""
    outcome = note.get("outcome")
    return "done" if outcome in DONE else "ready" if outcome == "ready" else "left"
