# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Work that is wanted later, done in the CPU time that nothing else wants: emulated machines leave
# a quarter of two CPUs idle. It counts for nothing and its failures are not told: who needs a part
# of it does that part again, aloud, and finds what is done.

AHEAD=

# ahead_start FUNCTION ARGUMENT…: runs one of our functions so until ahead_stop.
ahead_start() {
    local idle=(nice -n 19)
    # Stronger than any nice value: the scheduler takes the CPU away at once.
    if chrt --idle 0 true 2>/dev/null; then
        idle=(chrt --idle 0)
    fi
    # A process group of its own, to be ended as a whole. Not a session: each session has its share
    # of the CPUs, whatever its processes' priorities (sched(7), autogroup).
    set -m
    "${idle[@]}" bash "$REPO/scripts/lib/step.sh" "$@" >"$LOGS/ahead.log" 2>&1 </dev/null &
    AHEAD=$!
    set +m
    trap ahead_stop EXIT
}

# ahead_stop: ends it; nothing of it runs any more afterwards.
ahead_stop() {
    if [ -z "$AHEAD" ]; then
        return 0
    fi
    kill -TERM -- "-$AHEAD" 2>/dev/null || true
    wait "$AHEAD" 2>/dev/null || true
    # Ninja deletes what its compilers left half done, and ends after them.
    while kill -0 -- "-$AHEAD" 2>/dev/null; do
        sleep 0.1
    done
    AHEAD=
}
