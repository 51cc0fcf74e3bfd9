#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks that the includes keep the arrows of docs/architecture.md: each folder includes of ours only
# what stands below it, and the core does no input or output.
#
#   include_directions.sh SOURCE    print every wrong include; 1 if there is one
#   include_directions.sh --self-test    plant wrong includes and see that each is found
set -eu

# Reads every file once: a process for each include would take a minute.
# shellcheck disable=SC2016
program='
# Which folders of daemon/ a file may include from. Nothing is said of tests: they may anything.
function allowed_for(file) {
  if (file ~ /^daemon\/core\//) return "core"
  if (file ~ /^daemon\/backend\//) return "core backend"
  if (file ~ /^daemon\/system\//) return "core system"
  if (file ~ /^daemon\/engine\//) return "core backend system engine"
  if (file ~ /^daemon\/bus\//) return "core backend system engine bus"
  if (file ~ /^daemon\/.*\//) return ""  # a new folder says here what it may
  if (file ~ /^daemon\//) return "core backend system engine bus"  # main.cpp knows everything
  return ""  # client, kmod: nobody
}

# Without "..".
function plain(path, parts, count, i, kept, result) {
  count = split(path, parts, "/")
  for (i = 1; i <= count; i++) {
    if (parts[i] == ".." && kept > 0) kept--
    else if (parts[i] != ".") parts[++kept] = parts[i]
  }
  result = parts[1]
  for (i = 2; i <= kept; i++) result = result "/" parts[i]
  return result
}

# The folder of daemon/ that is meant; "" if it is not ours.
function folder_of(include, candidate, parts) {
  candidate = plain(directory "/" include)
  if (!(candidate in there)) candidate = plain("daemon/" include)
  if (!(candidate in there) || candidate !~ /^daemon\/.*\//) return ""
  split(candidate, parts, "/")
  return parts[2]
}

BEGIN {
  # What a pure core cannot need. unique_fd.h has the one close().
  impure = "^(systemd/|spdlog/|sys/|linux/|fstream$|iostream$|filesystem$|chrono$|ctime$|" \
    "time\\.h$|thread$|mutex$|atomic$|fcntl\\.h$|unistd\\.h$|cstdlib$)"
  for (i = 1; i < ARGC; i++) there[ARGV[i]] = 1
}

FNR == 1 {
  allowed = " " allowed_for(FILENAME) " "
  directory = FILENAME
  sub(/\/[^\/]*$/, "", directory)
}

/^[ \t]*#[ \t]*include[ \t]*[<"][^>"]*[>"]/ {
  include = $0
  sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", include)
  sub(/[>"].*/, "", include)
  folder = folder_of(include)
  if (folder != "") {
    if (index(allowed, " " folder " ")) next
    print FILENAME " includes " include " of daemon/" folder "; allowed there:" allowed
    wrong++
  } else if (FILENAME ~ /^daemon\/core\// && FILENAME != "daemon/core/unique_fd.h" &&
             include ~ impure) {
    print FILENAME " includes <" include ">; the core knows no files, clock, threads or bus"
    wrong++
  }
}

END {
  print ARGC - 1 " files checked, " wrong + 0 " wrong includes"
  exit wrong != 0
}'

check() {
  (
    cd "$1"
    # Of its folders not all are there in the self-test.
    find daemon client kmod -name '*.h' -o -name '*.hpp' -o -name '*.cpp' -o -name '*.c' \
      2>/dev/null | sort >"$list" || true
    [ -s "$list" ] || exit 1
    # Our names have no spaces.
    # shellcheck disable=SC2046
    awk "$program" $(cat "$list")
  )
}

self_test() {
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch" "$list"' EXIT
  missed=0
  # File, its include, and whether that is wrong.
  while read -r file include verdict; do
    rm -rf "${scratch:?}/tree"
    for folder in core backend system engine bus; do
      mkdir -p "$scratch/tree/daemon/$folder"
      : >"$scratch/tree/daemon/$folder/$folder.h"
    done
    mkdir -p "$(dirname "$scratch/tree/$file")"
    echo "#include $include" >"$scratch/tree/$file"
    if check "$scratch/tree" >"$scratch/output"; then found=right; else found=wrong; fi
    if [ "$found" != "$verdict" ]; then
      echo "$file with #include $include was found $found, not $verdict:"
      cat "$scratch/output"
      missed=$((missed + 1))
    fi
  done <<'CASES'
daemon/core/a.cpp "core/core.h" right
daemon/core/a.cpp "core.h" right
daemon/core/a.cpp <string> right
daemon/core/a.cpp "backend/backend.h" wrong
daemon/core/a.cpp "../system/system.h" wrong
daemon/core/a.cpp <bus/bus.h> wrong
daemon/core/a.cpp <fstream> wrong
daemon/core/a.cpp <systemd/sd-bus.h> wrong
daemon/backend/a.cpp "core/core.h" right
daemon/backend/a.cpp "system/system.h" wrong
daemon/backend/a.cpp "bus/bus.h" wrong
daemon/system/a.cpp "core/core.h" right
daemon/system/a.cpp "backend/backend.h" wrong
daemon/engine/a.cpp "system/system.h" right
daemon/engine/a.cpp "engine/engine.h" right
daemon/engine/a.cpp "bus/bus.h" wrong
daemon/system/a.cpp "engine/engine.h" wrong
daemon/elsewhere/a.cpp "core/core.h" wrong
daemon/bus/a.cpp "backend/backend.h" right
daemon/bus/a.cpp "engine/engine.h" right
daemon/bus/a.cpp "system/system.h" right
daemon/main.cpp "bus/bus.h" right
client/lib/a.cpp "core/core.h" wrong
client/memfd/a.cpp "../../daemon/core/core.h" wrong
client/ctl/a.cpp "a.h" right
kmod/a.c "../daemon/core/core.h" wrong
tests/unit/a.cpp "bus/bus.h" right
CASES
  if [ "$missed" -gt 0 ]; then
    echo "$missed cases misjudged"
    return 1
  fi
  echo "every case judged as it should be"
}

list=$(mktemp)
trap 'rm -f "$list"' EXIT
case ${1-} in
  --self-test) self_test ;;
  '')
    echo "usage: $0 SOURCE | --self-test" >&2
    exit 2
    ;;
  *) check "$(realpath "$1")" ;;
esac
