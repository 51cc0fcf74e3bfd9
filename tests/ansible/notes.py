#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""notes.py SOURCE: what the collection's pure parts make of records and notes."""

import csv
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
SOURCE = Path(sys.argv.pop(1))

# Where they import each other from; Ansible makes it of the collections that are installed.
PACKAGES = tempfile.TemporaryDirectory(prefix="handover-notes-")
COLLECTION = Path(PACKAGES.name, "ansible_collections/handover/update")
COLLECTION.parent.mkdir(parents=True)
for package in COLLECTION.parents[:2]:
    (package / "__init__.py").touch()
COLLECTION.symlink_to(SOURCE.resolve() / "client/ansible")
sys.path.insert(0, PACKAGES.name)
from ansible_collections.handover.update.plugins.module_utils import handoverctl  # noqa: E402
from ansible_collections.handover.update.plugins.plugin_utils import look, rollout, verdict  # noqa: E402

RECORD = {
    "id": 7, "outcome": "done", "from_release": "7.2", "to_release": "7.3", "losses": [],
    "blackout_usec": 1432000, "blackout_client": "vm-3", "finished_at": "2026-05-01T10:00:00Z",
    "reason": "",
    "timeline": {"clients": {"vm-3": {"blackout_usec": 1432000}, "db": {"blackout_usec": 20000},
                             "gone": {}}},
}


class Verdict(unittest.TestCase):
    def test_an_update_is_a_success_or_names_what_it_is(self):
        for record, losses, outcome, failed in [
                ({}, False, "lost", True),
                ({"outcome": "done"}, False, "done", False),
                ({"outcome": "done", "health": "passed"}, False, "done", False),
                ({"outcome": "done", "health": "failed"}, False, "unhealthy", True),
                ({"outcome": "done", "health": "running"}, False, "unhealthy", True),
                ({"outcome": "done-with-losses"}, False, "done-with-losses", True),
                ({"outcome": "done-with-losses"}, True, "done-with-losses", False),
                ({"outcome": "done-with-losses", "health": "failed"}, True, "unhealthy", True),
                ({"outcome": "cancelled"}, False, "cancelled", True),
                ({"outcome": "failed", "reason": "no"}, False, "failed", True)]:
            said = verdict.verdict_of(record, losses)
            self.assertEqual((said["outcome"], said.get("failed", False)), (outcome, failed), record)
            self.assertEqual("msg" in said, failed)

    def test_the_culprit_is_kept(self):
        said = verdict.verdict_of({"outcome": "failed", "error": "org.handover1.Error.Vetoed",
                                   "reason": "db says no"}, False)
        self.assertEqual(said["error"], "org.handover1.Error.Vetoed")
        self.assertIn("db says no", said["msg"])

    def test_a_record_is_waited_for_until_it_is_complete(self):
        self.assertFalse(verdict.is_complete({}))
        self.assertFalse(verdict.is_complete({"outcome": "done", "health": "running"}))
        self.assertTrue(verdict.is_complete({"outcome": "done"}))
        self.assertTrue(verdict.is_complete({"outcome": "failed"}))


class Records(unittest.TestCase):
    def test_after_means_the_newest_real_update_above_it(self):
        rehearsal = {"id": 9, "outcome": "rehearsed", "rehearsal": {}}
        failed_rehearsal = {"id": 8, "outcome": "failed", "rehearsal": {}}
        undone = {"id": 10, "outcome": "cancelled"}
        old = {"id": 3, "outcome": "done"}
        failed = {"id": 11, "outcome": "failed"}
        for records, after, found in [
                ([], 0, {}),
                ([RECORD, old], 3, RECORD),
                ([RECORD, old], 7, {}),
                ([undone, rehearsal, failed_rehearsal, RECORD, old], 3, RECORD),
                ([undone, rehearsal, failed_rehearsal, old], 3, {}),
                ([failed, undone, RECORD], 3, failed)]:
            self.assertEqual(handoverctl.record_of(records, after=after), found)
        self.assertEqual(handoverctl.record_of([undone, rehearsal, RECORD], wanted_id=9), rehearsal)
        self.assertEqual(handoverctl.record_of([undone, rehearsal, RECORD]), undone)
        self.assertEqual(handoverctl.record_of([undone], wanted_id=9), {})


class Looked(unittest.TestCase):
    """The next note of a host by its note and what it answers."""

    NOW = {"state": "normal", "release": "7.2", "newest_id": 9, "record": {}}
    AWAY = {"unreachable": True, "msg": "no route"}

    def look(self, note, now=None, do="write", **settings):
        step = look.looked(note, {**self.NOW, **(now or {})}, **settings)
        self.assertEqual(step["do"], do, step)
        return step["note"]

    def test_a_host_that_is_away_keeps_what_is_known_of_it(self):
        self.assertEqual(look.looked({}, self.AWAY)["note"], {"outcome": "unreachable", "reason": "no route"})
        for outcome in look.FAILED + look.PENDING:
            note = {"outcome": outcome, "from": "7.1", "after": 4, "reason": "why"}
            self.assertEqual(look.looked(note, self.AWAY), {"do": "write", "note": note})
        for outcome in ("ready", "vetoed", "unreachable"):
            note = look.looked({"outcome": outcome}, self.AWAY)["note"]
            self.assertEqual(note["outcome"], "unreachable")
            self.assertNotIn("after", note)

    def test_an_update_that_is_not_over_is_waited_for(self):
        for outcome in look.PENDING:
            note = {"outcome": outcome, "from": "7.1", "after": 4}
            for now in ({"state": "frozen"}, {"state": "restoring", "release": "7.3"}, {"state": "preparing"},
                        {"record": {"id": 5, "outcome": "done", "health": "running"}, "release": "7.3"}):
                kept = self.look(note, now, kernel="7.3")
                self.assertEqual((kept["outcome"], kept["after"]), (outcome, 4), now)

    def test_an_update_that_ended_is_adopted_once_the_host_is_well(self):
        for outcome in look.PENDING:
            note = {"outcome": outcome, "from": "7.1", "after": 4}
            for state in ("normal", "prepared"):
                adopted = self.look(note, {"state": state, "record": RECORD, "release": "7.3"}, "check")
                self.assertEqual((adopted["outcome"], adopted["record"]), ("done", RECORD))
                self.assertEqual(look.unwell(adopted, "no")["outcome"], "unhealthy")
            lossy = {"record": {**RECORD, "outcome": "done-with-losses"}, "release": "7.3"}
            self.assertEqual(self.look(note, lossy, "check", allow_losses=True)["outcome"], "done-with-losses")
            self.assertEqual(self.look(note, lossy, kernel="7.3")["outcome"], "losses")
            sick = {"record": {**RECORD, "health": "failed"}, "release": "7.3"}
            self.assertEqual(self.look(note, sick, kernel="7.3")["outcome"], "unhealthy")
            undone = self.look(note, {"record": {"id": 5, "outcome": "failed"}}, "ask", kernel="7.3")
            self.assertEqual((undone["outcome"], undone["after"]), ("ready", 9))

    def test_an_update_that_never_began_is_begun(self):
        for outcome in look.PENDING:
            self.assertEqual(self.look({"outcome": outcome, "after": 9}, do="ask")["outcome"], "ready")

    def test_a_host_that_has_the_kernel_is_asked_nothing(self):
        now = {"release": "7.3", "state": "preparing"}
        for note in ({}, {"outcome": "vetoed"}, {"outcome": "unreachable"}, {"outcome": "ready"}):
            self.assertEqual(self.look(note, now, kernel="7.3")["outcome"], "already")
            self.assertEqual(self.look(note, now, "ask")["outcome"], "ready")

    def test_a_failure_is_not_forgotten_since_the_host_has_the_kernel(self):
        now = {"release": "7.3"}
        losses = {"outcome": "losses", "record": {**RECORD, "losses": ["db"]}, "reason": "lost"}
        sick = {"outcome": "unhealthy", "record": RECORD, "reason": "no route"}
        # Whatever was noted of it since: neither of these was an update.
        for since in ({}, self.AWAY):
            for first in (losses, sick):
                note = look.looked(first, since)["note"] if since else first
                kept = self.look(note, now, kernel="7.3")
                self.assertEqual(kept["outcome"], first["outcome"])
                self.assertIn(first["reason"], kept["reason"])
        ready = self.look(sick, None, "ask", kernel="7.3")
        for note in (sick, ready, look.begun(ready, self.NOW), look.not_rehearsed(ready, {}),
                     look.failed(ready, self.NOW, {"outcome": "refused", "failed": True}, "")):
            self.assertEqual(self.look(note, now, kernel="7.3")["outcome"], "unhealthy", note)
            self.assertEqual(self.look(note, now, "check", kernel="7.3", checks=True)["outcome"], "already")
        self.assertEqual(self.look(losses, now, "check", kernel="7.3", allow_losses=True)["outcome"],
                         "done-with-losses")
        for outcome in ("failed", "cancelled", "refused", "not-rehearsed"):
            self.assertEqual(self.look({"outcome": outcome}, now, "check", kernel="7.3")["outcome"], "already")

    def test_preflight_lets_it_go_or_vetoes(self):
        ready = self.look({}, do="ask")
        warning, error = ({"id": "a", "severity": one, "message": "m"} for one in ("warning", "error"))
        self.assertEqual(look.asked(ready, {"findings": [warning]}), ready)
        self.assertEqual(look.asked(ready, {"findings": [warning, error]}),
                         {"outcome": "vetoed", "from": "7.2", "reason": "a: m"})
        self.assertEqual(look.asked(ready, {"failed": True, "msg": "Busy"})["reason"], "Busy")
        self.assertEqual(look.asked(ready, self.AWAY)["outcome"], "unreachable")
        sick = look.asked(self.look({"outcome": "unhealthy"}, do="ask"), {"findings": [error]})
        self.assertEqual((sick["outcome"], look.group_of(sick)), ("unhealthy", "left"))

    def test_an_attempt_that_failed_says_how_far_it_came(self):
        ready = self.look({}, do="ask")
        for now, updated, outcome in [
                (self.AWAY, {}, "unreachable"),
                ({"failed": True}, {}, "unreachable"),
                (self.NOW, {}, "lost"),
                (self.NOW, self.AWAY, "lost"),
                (self.NOW, {"outcome": "refused", "failed": True}, "refused"),
                (self.NOW, {"outcome": "done-with-losses", "failed": True}, "losses"),
                (self.NOW, {"outcome": "done", "record": RECORD}, "unhealthy")]:
            note = look.failed(ready, now, updated, "why")
            self.assertEqual((note["outcome"], note["reason"]), (outcome, "why"))
            self.assertEqual(note.get("after"), 9 if "state" in now else None)


class Judged(unittest.TestCase):
    @staticmethod
    def notes(**counts):
        outcomes = [name.replace("_", "-") for name, count in counts.items() for _ in range(count)]
        return {"h%d" % i: {"outcome": one} for i, one in enumerate(outcomes)}

    def test_the_share_is_of_the_hosts_that_were_tried(self):
        for counts, most, stop in [
                ({}, 0, False),
                ({"done": 10}, 0, False),
                ({"done": 9, "failed": 1}, 0, True),
                ({"done": 9, "failed": 1}, 10, False),
                ({"done": 9, "lost": 1, "unhealthy": 1}, 10, True),
                ({"ready": 100, "vetoed": 5, "unreachable": 5, "begun": 1}, 0, False),
                ({"not_rehearsed": 1, "ready": 9}, 50, True),
                ({"already": 9, "cancelled": 1}, 10, False)]:
            self.assertEqual(rollout.judged(self.notes(**counts), most)["stop"], stop, counts)

    def test_a_host_that_is_left_out_does_not_count(self):
        notes = self.notes(done=1, failed=1, unhealthy=1)
        self.assertEqual(rollout.judged(notes, 0)["names"], ["h1", "h2"])
        self.assertEqual(rollout.judged(rollout.notes_of(["h0", "h2"], notes), 0)["names"], ["h2"])
        self.assertFalse(rollout.judged(rollout.notes_of(["h0", "h9"], notes), 0)["stop"])
        self.assertEqual(rollout.notes_of([], notes), notes)

    def test_each_outcome_is_of_one_kind(self):
        self.assertFalse(set(rollout.DONE) & set(rollout.FAILED))
        self.assertFalse(set(rollout.LEFT) & set(rollout.DONE + rollout.FAILED))


class Notes(unittest.TestCase):
    def test_they_are_there_again_by_any_name(self):
        with tempfile.TemporaryDirectory() as directory:
            self.assertEqual(rollout.read_notes(directory), {})
            for host in ("a", "a/../../b", "ü [::1]", ".hidden", "%2F"):
                rollout.write_note(directory, host, {"outcome": host})
                self.assertEqual(rollout.read_note(directory, host), {"outcome": host})
            self.assertEqual(len(rollout.read_notes(directory)), 5)
            self.assertEqual({path.parent.name for path in Path(directory).rglob("*.json")}, {"hosts"})
            rollout.write_note(directory, "a", {"outcome": "done"})
            self.assertTrue(rollout.is_done(rollout.read_note(directory, "a")))
            self.assertEqual(rollout.read_note(directory, "b"), {})

    def test_what_cannot_be_written_leaves_what_was(self):
        with tempfile.TemporaryDirectory() as directory:
            rollout.write_note(directory, "a", {"outcome": "done"})
            with self.assertRaises(UnicodeEncodeError):
                rollout.write_file(rollout.path_of(directory, "a"), "\ud800")
            self.assertEqual(rollout.read_note(directory, "a"), {"outcome": "done"})
            self.assertEqual(len(list(Path(directory, "hosts").iterdir())), 1)


class Report(unittest.TestCase):
    def rows(self):
        # "old" was left out since.
        notes = {"b": {"outcome": "done", "record": RECORD},
                 "c": {"outcome": "vetoed", "from": "7.2", "reason": "=cmd|' /C calc'!A0"},
                 "old": {"outcome": "begun"}}
        return rollout.rows_of(["c", "b", "d"], notes)

    def test_it_has_each_host_once_in_the_inventorys_order(self):
        rows = self.rows()
        self.assertEqual([row["host"] for row in rows], ["c", "b", "d"])
        self.assertEqual([row["outcome"] for row in rows], ["vetoed", "done", "not tried"])
        self.assertEqual(rows[1]["blackout_ms"], 1432)
        self.assertEqual(rows[1]["standstill_ms"], 1432)
        self.assertEqual((rows[1]["from"], rows[1]["to"]), ("7.2", "7.3"))

    def test_csv_is_read_back_and_is_no_formula(self):
        read = list(csv.DictReader(io.StringIO(rollout.csv_of(self.rows()))))
        self.assertEqual(read[1]["blackout_client"], "vm-3")
        self.assertEqual(read[0]["reason"][0], "'")

    def test_markdown_keeps_its_columns(self):
        rows = self.rows()
        rows[1]["reason"] = "a | b\nc"
        text = rollout.markdown_of(rows, "May", rollout.judged({}, 0))
        table = [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(len(table), 2 + len(rows))
        for line in table:
            self.assertEqual(line.replace("\\|", "").count("|"), len(rollout.COLUMNS) + 1, line)
        self.assertIn("- blackout: median 1432.0 ms, longest 1432.0 ms", text)

    def test_losses_are_counted_and_told(self):
        row = rollout.row_of("a", {"outcome": "losses", "record": {"losses": ["one", "two"]}})
        self.assertEqual((row["losses"], row["reason"]), (2, "one; two"))


unittest.main()
