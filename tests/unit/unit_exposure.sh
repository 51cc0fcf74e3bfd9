#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# unit_exposure.sh MOST UNIT...: each unit file is good, and its exposure by systemd-analyze is at
# most MOST (times ten). 77 where systemd-analyze is not there or too old for that.
set -eu

most=$1
shift
systemd-analyze security --help 2>/dev/null | grep -q -e --offline || exit 77
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
for unit in "$@"; do
  name=$(basename "$unit" | sed 's/@/@x/')
  cp "$unit" "$directory/$name"
  if ! systemd-analyze security --offline=true --no-pager --threshold="$most" \
    "$directory/$name" >"$directory/report" 2>&1; then
    cat "$directory/report"
    exit 1
  fi
  # Without this a unit that cannot be read would pass.
  grep "Overall exposure level for $name" "$directory/report"
  # What runs for one task, or for one connection, is not started again.
  if grep -qE '^(Type=oneshot|StandardInput=socket)$' "$unit"; then continue; fi
  grep -q '^Restart=on-failure$' "$unit"
  grep -q '^RestartSec=' "$unit"
  grep -q '^StartLimitIntervalSec=0$' "$unit"
done
