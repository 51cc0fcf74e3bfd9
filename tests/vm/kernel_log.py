# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds complaints of the kernel in its log: what of it fails a test, and what is let pass."""

import re

# A line that matches one of these fails the test in which it appeared.
COMPLAINTS = [
    r"\bWARNING: ",
    r"------------\[ cut here \]------------",
    r"\bBUG: ",
    r"kernel BUG at ",
    r"\bOops: ",
    r"Kernel panic",
    r"general protection fault",
    r"\bKASAN\b: ",
    r"\bUBSAN: ",
    # Lockdep: its first lines say WARNING, BUG or INFO, in brackets or not.
    r"possible (recursive|circular|irq)[ -].*lock",
    r"inconsistent lock state",
    r"lock order detected",
    r"[Ll]ock held when returning to user space",
    r"held lock freed",
    r"bad unlock balance",
    r"[Ii]nvalid wait context",
    r"DEBUG_LOCKS_WARN_ON",
    r"suspicious RCU usage",
    # Tasks that hang, stalls of RCU, lockdep's keys, lockdep turned off: none of it is news.
    r"\bINFO: ",
    r"rcu: .*(stall|detected)",
    r"soft lockup",
    r"hard LOCKUP",
    r"unreferenced object",
    r"[Mm]emory leak|\bleaked\b",
    r"Bad page state",
    r"page dumped because",
    r"(list_add|list_del) corruption",
    r"refcount_t: ",
    r"scheduling while atomic",
    r"Objects remaining",
    r"Trying to vfree\(\)|Trying to free ",
    r"BUG \S+ \(.*\): ",
    r"EXT4-fs error",
    r"\bsegfault at\b",
    r"Out of memory: Killed",
]

# (pattern, reason). Software emulation runs many times slower than the hardware for which the
# kernel's time limits were chosen, so a limit on time alone is no fault of ours.
ALLOWED = [
    (r"clocksource: .*(unstable|skew|WARNING)", "two emulated CPUs drift apart under host load"),
    (r"workqueue: .* hogged CPU", "an emulated CPU is slow; the work itself is the kernel's"),
    (r"hrtimer: interrupt took", "the host took the CPU away"),
    (r"EXT4-fs .*: INFO: recovery required on readonly filesystem",
     "an immediate kexec leaves the journal to be replayed, as a power cut does"),
]

_COMPLAINTS = re.compile("|".join(f"(?:{pattern})" for pattern in COMPLAINTS))
_ALLOWED = re.compile("|".join(f"(?:{pattern})" for pattern, _ in ALLOWED))


def complaints(text, allowed=()):
    """The lines of text that complain; allowed is a list of further patterns let pass."""
    also = [re.compile(pattern) for pattern in allowed]
    return [
        line
        for line in text.splitlines()
        if _COMPLAINTS.search(line)
        and not _ALLOWED.search(line)
        and not any(pattern.search(line) for pattern in also)
    ]
