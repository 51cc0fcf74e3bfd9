# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Debian suites other than the host's own, read by an apt with its own lists: the host's is left alone.

ARCHIVE=$CACHE/archive

# archive_mirror: the URI of the Debian mirror that this host's own apt uses.
# shellcheck disable=SC2016  # the fields of a format are apt's to expand
archive_mirror() {
    local uri
    if [ -n "${HANDOVER_MIRROR:-}" ]; then
        printf '%s\n' "${HANDOVER_MIRROR%/}"
        return 0
    fi
    # Origin Debian is also that of the security archive, which has none of these suites. The
    # fields know nothing before the first apt-get update; the URI alone is then the best guess.
    uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 2>/dev/null |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" && !found { print $3; found = 1 }')
    if [ -z "$uri" ]; then
        uri=$(apt-get indextargets --format '$(SITE)' 2>/dev/null |
            awk '/\/debian\/?$/ && !found { print; found = 1 }')
    fi
    # Debian's cloud images name their mirror in a file of its own.
    if [[ $uri == mirror+file:* ]]; then
        uri=$(awk '/^[a-z]+:/ && !found { print $1; found = 1 }' "${uri#mirror+file:}")
    fi
    [ -n "$uri" ] || return 1
    printf '%s\n' "${uri%/}"
}

archive_keyring() {
    local keyring
    for keyring in /usr/share/keyrings/debian-archive-keyring.{pgp,gpg}; do
        if [ -e "$keyring" ]; then
            printf '%s\n' "$keyring"
            return 0
        fi
    done
    return 1
}

# archive_apt TOOL ARGUMENT…: apt-get or apt-cache on the private lists.
archive_apt() {
    local tool=$1
    shift
    "$tool" \
        -o Dir::Etc::sourcelist="$ARCHIVE/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o Dir::State::Lists="$ARCHIVE/lists" -o Dir::Cache="$ARCHIVE/cache" \
        -o Debug::NoLocking=true -o APT::Sandbox::User=root \
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::Retries=3 "$@"
}

# archive_update SUITE…: fetches the lists of those suites that the mirror has.
archive_update() {
    local mirror keyring suite
    mirror=$(archive_mirror) || {
        printf 'no Debian mirror among the apt sources of this host: set HANDOVER_MIRROR\n' >&2
        return 1
    }
    keyring=$(archive_keyring) || return 1
    mkdir -p "$ARCHIVE/lists/partial" "$ARCHIVE/cache/archives/partial"
    : >"$ARCHIVE/sources.list"
    for suite in "$@"; do
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" \
            >>"$ARCHIVE/sources.list"
    done
    # A mirror without one of the suites is no error as long as another one answers.
    archive_apt apt-get update || true
    [ -n "$(find "$ARCHIVE/lists" -maxdepth 1 -name '*_Packages*' -print -quit)" ]
}
