#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""watching.py SOURCE: the dashboard has what Grafana requires of it, and it and the alert rules name
no metric that docs/metrics.md has not (which a test compares with the program). Each alert is tested
by promtool's tests."""

import json
import re
import sys
from pathlib import Path

SOURCE = Path(sys.argv[1])
WORD = re.compile(r"\bhandover_[a-z0-9_]+")
problems = []


def complain(text):
    problems.append(text)


def documented():
    """Every name that a sample may have."""
    names = set()
    rows = re.findall(r"^\| `(handover_\w+)` \| (\w+) \|", (SOURCE / "docs/metrics.md").read_text(), re.M)
    for name, kind in rows:
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names.update(name + ending for ending in endings)
    if len(names) < 50:
        complain("docs/metrics.md cannot be read")
    return names


def check_names(where, expression, names):
    found = set(WORD.findall(expression))
    if not found and "node_textfile_mtime_seconds" not in expression:
        complain(f"{where}: names no metric: {expression}")
    for name in found - names:
        complain(f"{where}: there is no metric {name}")


def check_rules(names):
    folder = SOURCE / "packaging/prometheus"
    rules = (folder / "handover.rules.yml").read_text()
    expressions = re.findall(r"^ +expr: (.*)$", rules, re.M)
    alerts = re.findall(r"^ +- alert: (\w+)$", rules, re.M)
    if len(expressions) < len(alerts) or not alerts:
        complain("the rules cannot be read")
    for expression in expressions:
        check_names("rules", expression, names)
    tests = (folder / "handover.rules.test.yml").read_text()
    for alert in alerts:
        if not re.search(rf"alertname: {alert}\n +eval_time: \w+\n +exp_alerts:\n", tests):
            complain(f"no test has {alert} come")
        if not re.search(rf"alertname: {alert}, eval_time: \w+, exp_alerts: \[\]", tests):
            complain(f"no test has {alert} stay away")


def check_panel(panel, names, taken):
    where = f"panel '{panel.get('title')}'"
    for field in ("id", "type", "title", "gridPos"):
        if field not in panel:
            complain(f"{where}: no {field}")
    place = panel["gridPos"]
    cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
             for y in range(place["y"], place["y"] + place["h"])}
    if not cells or place["x"] + place["w"] > 24:
        complain(f"{where}: is not within 24 columns")
    if cells & taken:
        complain(f"{where}: lies over another")
    taken |= cells
    if panel["type"] == "row":
        return
    for field in ("description", "datasource", "fieldConfig", "options", "targets"):
        if field not in panel:
            complain(f"{where}: no {field}")
    if not panel["fieldConfig"]["defaults"].get("unit"):
        complain(f"{where}: no unit")
    ids = [target["refId"] for target in panel["targets"]]
    if not ids or len(ids) != len(set(ids)):
        complain(f"{where}: targets have no ids of their own")
    for target in panel["targets"]:
        if target["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
            complain(f"{where}: a data source of its own")
        if 'instance=~"$instance"' not in target["expr"]:
            complain(f"{where}: not of the host chosen: {target['expr']}")
        check_names(where, target["expr"], names)


def check_dashboard(names):
    dashboard = json.loads((SOURCE / "packaging/grafana/handover.json").read_text())
    required = {"uid": str, "title": str, "description": str, "tags": list, "schemaVersion": int,
                "version": int, "time": dict, "refresh": str, "timezone": str, "annotations": dict,
                "templating": dict, "panels": list}
    for field, kind in required.items():
        if not isinstance(dashboard.get(field), kind):
            complain(f"dashboard: {field} is no {kind.__name__}")
    if "id" in dashboard or "__inputs" in dashboard:
        complain("dashboard: has what only an export of one Grafana has")
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    if set(variables) != {"datasource", "instance"}:
        complain("dashboard: other variables than datasource and instance")
    check_names("variable instance", variables["instance"]["definition"], names)
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        complain("dashboard: two panels have one id")
    taken = set()
    for panel in dashboard["panels"]:
        check_panel(panel, names, taken)


def main():
    names = documented()
    check_rules(names)
    check_dashboard(names)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
