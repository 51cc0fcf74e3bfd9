#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# fleet_simulation.sh PROGRAM: the same seed gives the same figures, more slots are never slower by much,
# never more hosts are in their update than there are slots, and nonsense is refused.
set -eu
first=$("$1" --hosts 500 --seed 7)
[ "$first" = "$("$1" --hosts 500 --seed 7)" ]
[ "$first" != "$("$1" --hosts 500 --seed 8)" ]
echo "$first" | awk '
  $1 ~ /^[0-9]+$/ && NF == 11 {
    rows++
    if ($8 > $1) { print "more at once than slots: " $0; wrong = 1 }
    if (rows > 1 && $4 > last + 24) { print "slower with more slots: " $0; wrong = 1 }
    last = $4
  }
  END { if (rows != 11) print "rows: " rows; exit wrong || rows != 11 }'
for wrong in "--hosts 0" "--hosts x" "--hosts" "--window 25" "--failures 101" "--bogus 1"; do
  # shellcheck disable=SC2086
  if "$1" $wrong >/dev/null 2>&1; then
    echo "'$wrong' was not refused"
    exit 1
  fi
done
