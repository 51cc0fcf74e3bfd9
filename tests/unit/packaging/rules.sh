#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# rules.sh DIRECTORY: the alert rules there, by Prometheus' own program. 77 where it is not installed.
set -eu
command -v promtool >/dev/null || exit 77
cd "$1"
promtool check rules handover.rules.yml
promtool test rules handover.rules.test.yml
