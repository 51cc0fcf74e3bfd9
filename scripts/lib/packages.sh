# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2034  # the lists are used by the scripts that source this
# The Debian packages that building, testing and the test machine need, and their installation.

# To build handoverd and its tests (Debian 12 and 13 know all of these names).
PACKAGES_BUILD=(
    build-essential ca-certificates ccache cmake dbus libarchive-dev libcli11-dev
    libcurl4-openssl-dev libexpected-dev libgtest-dev libsystemd-dev ninja-build
    nlohmann-json3-dev pkg-config python3 python3-dbus python3-gi zlib1g-dev
)
# For the tests of the fleet's gate (the lock's server, certificates, wall(1)), metrics, roll-outs.
PACKAGES_FLEET=(ansible-core bsdutils etcd-server openssl prometheus python3-prometheus-client)
# To build kernels and root file systems and to run them.
PACKAGES_MACHINE=(
    bc bison debian-archive-keyring e2fsprogs flex kmod libelf-dev libssl-dev lz4 mmdebstrap
    qemu-system-x86 rsync xz-utils zstd
)
# To look for mistakes in the sources, the completions and client/ansible.
PACKAGES_LINT=(ansible-lint clang-format clang-tidy fish shellcheck zsh)
# To look for mistakes in the companion module, against the test kernels.
PACKAGES_MODULE=(perl sparse)

# Packages whose unit Debian enables and starts at once, though only a program of theirs is needed here.
declare -A SERVERS_OF_PACKAGES=([etcd-server]=etcd [prometheus]=prometheus)

installed() {
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# keep_servers_off PACKAGE…: those that are about to be installed. Their units are masked: without that
# a server would listen on this host from now on. Debian's scripts leave a mask of the administrator's
# alone; 'systemctl unmask' takes it back.
keep_servers_off() {
    local package unit
    for package in "$@"; do
        unit=/etc/systemd/system/${SERVERS_OF_PACKAGES[$package]:-}.service
        if [ -n "${SERVERS_OF_PACKAGES[$package]:-}" ] && [ ! -e "$unit" ]; then
            note "${unit##*/} is masked: only a program of that package is needed"
            as_root mkdir -p /etc/systemd/system
            as_root ln -s /dev/null "$unit"
        fi
    done
}

# install_packages PACKAGE…: installs what is missing; the package lists are fetched only then.
install_packages() {
    local package missing=()
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    # sudo asks for the password now, not in the middle of a step whose output goes to a log.
    as_root true
    keep_servers_off "${missing[@]}"
    say "installing ${#missing[@]} packages: ${missing[*]}"
    # A machine that has just been started may be installing its own updates: apt waits for that.
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get
        --option DPkg::Lock::Timeout=300 install --yes --no-install-recommends "${missing[@]}")
    # Lists may be missing (fresh container) or name versions that are gone from the mirror.
    if apt-cache show "${missing[@]}" >/dev/null 2>&1 &&
        logged apt-install as_root "${install[@]}" 2>/dev/null; then
        return 0
    fi
    logged apt-update as_root apt-get update || note "apt-get update had errors; going on"
    logged apt-install as_root "${install[@]}"
}
