#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Checks that the includes keep the arrows of docs/architecture.md: each folder includes of ours only
# what stands below it, and the core does no input or output.
#
#   include_directions.sh SOURCE    print every wrong include; 1 if there is one
#   include_directions.sh --self-test    plant wrong includes and see that each is found
set -eu

# Which folders of daemon/ a file may include from. Nothing is said of tests: they may anything.
allowed_for() {
  case $1 in
    daemon/core/*) echo "core" ;;
    daemon/backend/*) echo "core backend" ;;
    daemon/system/*) echo "core system" ;;
    daemon/engine/*) echo "core backend system engine" ;;
    daemon/bus/*) echo "core backend system engine bus" ;;
    daemon/*/*) echo "" ;;                             # a new folder says here what it may
    daemon/*) echo "core backend system engine bus" ;; # main.cpp knows everything
    *) echo "" ;;                                      # client, kmod: nobody
  esac
}

# The folder of daemon/ that `#include "$2"` in file $1 of tree $3 means; nothing if it is not ours.
folder_of() {
  for candidate in "$3/$(dirname "$1")/$2" "$3/daemon/$2"; do
    [ -f "$candidate" ] || continue
    resolved=$(realpath --relative-to="$3" "$candidate")
    case $resolved in
      daemon/*/*)
        resolved=${resolved#daemon/}
        echo "${resolved%%/*}"
        ;;
    esac
    return
  done
}

# What a pure core cannot need. unique_fd.h has the one close().
impure='^(systemd/|spdlog/|sys/|linux/|fstream$|iostream$|filesystem$|chrono$|ctime$|time\.h$|thread$|mutex$|atomic$|fcntl\.h$|unistd\.h$|cstdlib$)'

check() {
  tree=$1
  wrong=0
  checked=0
  list=$(cd "$tree" && find daemon client kmod -name '*.h' -o -name '*.hpp' -o -name '*.cpp' \
    -o -name '*.c' 2>/dev/null | sort) || true
  for file in $list; do
    checked=$((checked + 1))
    allowed=" $(allowed_for "$file") "
    includes=$(sed -n \
      's/^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\([^>"]*\)[>"].*/\1/p' "$tree/$file")
    while read -r include; do
      [ -n "$include" ] || continue
      folder=$(folder_of "$file" "$include" "$tree")
      if [ -n "$folder" ]; then
        case $allowed in
          *" $folder "*) ;;
          *)
            echo "$file includes $include of daemon/$folder; allowed there:$allowed"
            wrong=$((wrong + 1))
            ;;
        esac
      elif [ "${file#daemon/core/}" != "$file" ] && [ "$file" != daemon/core/unique_fd.h ] &&
        echo "$include" | grep -Eq "$impure"; then
        echo "$file includes <$include>; the core knows no files, clock, threads or bus"
        wrong=$((wrong + 1))
      fi
    done <<INCLUDES
$includes
INCLUDES
  done
  echo "$checked files checked, $wrong wrong includes"
  [ "$checked" -gt 0 ] && [ "$wrong" -eq 0 ]
}

self_test() {
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
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

case ${1-} in
  --self-test) self_test ;;
  '')
    echo "usage: $0 SOURCE | --self-test" >&2
    exit 2
    ;;
  *) check "$(realpath "$1")" ;;
esac
