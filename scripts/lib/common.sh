# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What every script needs: where things are, progress lines, root rights, logged steps.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Outside the checkout, so that a fresh clone finds kernels and root file systems again.
CACHE=${HANDOVER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/handoverd}
BUILD=$REPO/build
LOGS=$BUILD/logs
mkdir -p "$CACHE" "$LOGS"
export REPO CACHE BUILD LOGS

# duration SECONDS: as minutes and seconds.
duration() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

elapsed() {
    duration "$SECONDS"
}

say() {
    printf '==> [%s] %s\n' "$(elapsed)" "$*"
}

note() {
    printf '    %s\n' "$*"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command with root rights: as it is for root, through sudo for anybody else.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "'$1' needs root rights, and there is no sudo here: run as root or install sudo"
    fi
}

# keep_root: asks for sudo's password now, and keeps it from asking once more in the middle of a step
# whose output goes to a log: two kernels take longer than it remembers.
keep_root() {
    as_root true
    if [ "$(id -u)" -eq 0 ]; then
        return 0
    fi
    while sleep 60 && kill -0 "$$" 2>/dev/null; do
        sudo --non-interactive --validate || break
    done >/dev/null 2>&1 </dev/null &
}

# logged NAME COMMAND…: runs COMMAND, also one of our functions, with its output in LOGS/NAME.log. Every 20 seconds it says
# how long that has taken and what came last; when COMMAND fails it shows the log's end.
logged() {
    local name=$1 log=$LOGS/$1.log started=$SECONDS ticker status=0
    shift
    if [ "$(type -t "$1")" = function ]; then
        set -- bash "$REPO/scripts/lib/step.sh" "$@"
    fi
    : >"$log"
    (
        # A command substitution inside would keep this loop's sleep alive after a kill.
        trap 'kill "${pause:-}" 2>/dev/null; exit 0' TERM
        while :; do
            sleep 20 &
            pause=$!
            wait "$pause"
            # Ctrl-C ends the script and not this, which bash has ignore it.
            kill -0 "$$" 2>/dev/null || exit 0
            printf '    … %s: %d s, %s\n' "$name" $((SECONDS - started)) \
                "$(tail -n 1 "$log" | tr -d '\r' | sed 's/^ *//' | cut -c 1-70)"
        done
    ) &
    ticker=$!
    "$@" >>"$log" 2>&1 || status=$?
    kill "$ticker" 2>/dev/null || true
    wait "$ticker" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        printf '%s failed (exit code %d); the end of %s:\n' "$name" "$status" "$log" >&2
        tail -n 60 "$log" | sed 's/^/    | /' >&2
    fi
    return "$status"
}

# digest STRING…: a short name for content, used as cache key.
digest() {
    printf '%s\0' "$@" | sha256sum | cut -c 1-12
}

# fresh FILE DAYS: whether FILE is there and younger than DAYS.
fresh() {
    [ -e "$1" ] && [ -n "$(find "$1" -maxdepth 0 -mtime "-$2")" ]
}
