# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Root file systems of the test machines: a suite's packages as a tar in the cache, and the disk
# image made of it with our build, the kernels and the guest's own files.

# What a guest needs beyond minbase: systemd as PID 1, a bus, polkit, and the libraries that our
# binaries link.
ROOTFS_PACKAGES=(systemd systemd-sysv dbus udev kmod polkitd libarchive13t64 zlib1g)
# SUITE-vmm is SUITE with a QEMU, for the guests of handover-vmm, and with the programs of
# docs/workloads.md. It is a root file system of its own: the firmware and libraries that QEMU brings
# would make every other machine's image twice as large.
ROOTFS_PACKAGES_VMM=(qemu-system-x86 memcached python3 valkey-server)
# trixie is a host that GRUB boots, as far as handoverd knows.
ROOTFS_PACKAGES_TRIXIE=(grub2-common)
ROOTFS_RECIPE=1
# An archive older than this is made anew, so that tests meet the suite's present state.
ROOTFS_DAYS=14

# rootfs_packages SUITE: what its root file system is made of, one a line.
rootfs_packages() {
    printf '%s\n' "${ROOTFS_PACKAGES[@]}"
    if [[ $1 == trixie ]]; then
        printf '%s\n' "${ROOTFS_PACKAGES_TRIXIE[@]}"
    fi
    if [[ $1 == *-vmm ]]; then
        printf '%s\n' "${ROOTFS_PACKAGES_VMM[@]}"
    fi
}

rootfs_tar() {
    local packages
    mapfile -t packages < <(rootfs_packages "$1")
    printf '%s/rootfs/%s-%s.tar.zst\n' "$CACHE" "$1" \
        "$(digest "$ROOTFS_RECIPE" "$1" "${packages[@]}")"
}

rootfs_bootstrap() {
    local suite=$1 tar=$2 mirror include
    mirror=$(archive_mirror)
    include=$(rootfs_packages "$suite" | paste -s -d,)
    as_root mmdebstrap --variant=minbase --format=tar --include="$include" \
        --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --keyring=/usr/share/keyrings "${suite%-vmm}" - "deb $mirror ${suite%-vmm} main" |
        zstd --quiet --force -T0 -3 -o "$tar.new"
    mv "$tar.new" "$tar"
}

# rootfs_build SUITE: makes that suite's archive unless a young one is in the cache.
rootfs_build() {
    local suite=$1 tar
    tar=$(rootfs_tar "$suite")
    mkdir -p "$(dirname "$tar")"
    if [ -z "${HANDOVER_REFRESH:-}" ] && fresh "$tar" "$ROOTFS_DAYS"; then
        note "root file system $suite is in the cache"
        return 0
    fi
    say "making a root file system of $suite"
    if logged "rootfs-$suite" rootfs_bootstrap "$suite" "$tar"; then
        return 0
    fi
    rm -f "$tar.new"
    [ -e "$tar" ] || return 1
    note "could not make a new one: staying with the one of $(date -r "$tar" +%F)"
}

# Runs as root (sudo bash): unpacks, adds, and writes an ext4 image. $1 is the work directory.
rootfs_image_steps() {
    set -euo pipefail
    local work=$1 tar=$2 image=$3 overlay=$4 owner=$5 kernel release unit libraries
    shift 5
    rm -rf "$work"
    mkdir -p "$work"
    zstd --quiet --decompress --stdout "$tar" | tar -x -C "$work" --numeric-owner
    # Our files, with root as owner. --keep-directory-symlink: /lib is a link into /usr.
    tar -C "$overlay" -c . --owner=0 --group=0 --numeric-owner |
        tar -x -C "$work" --keep-directory-symlink --no-overwrite-dir
    for kernel in "$@"; do
        release=$(cat "$kernel/release")
        install -D -m 0644 "$kernel/bzImage" "$work/boot/vmlinuz-$release"
        install -D -m 0644 "$kernel/config" "$work/boot/config-$release"
        mkdir -p "$work/usr/lib/modules"
        cp -a "$kernel/modules/lib/modules/$release" "$work/usr/lib/modules/"
        chown -R 0:0 "$work/usr/lib/modules/$release"
        # The companion module came with the overlay.
        depmod --basedir "$work" "$release"
    done
    # An installed machine: it has an identity, and its caches are newer than /usr, so that no
    # first-boot or update service (ConditionFirstBoot=, ConditionNeedsUpdate=) runs.
    tr -d - </proc/sys/kernel/random/uuid >"$work/etc/machine-id"
    mkdir -p "$work/var/lib/dbus" "$work/var/log/journal"
    # What installing a package does to the units in it; templates have no instance yet.
    for unit in "$overlay"/usr/lib/systemd/system/*.*; do
        if [[ $unit != *@.* ]] && grep -q '^\[Install\]' "$unit"; then
            chroot "$work" systemctl preset "${unit##*/}"
        fi
    done
    # The same for the journal's catalog. By the image's own program, and not in a chroot: it opens its
    # files by /proc, which the image does not have and a container may not mount.
    libraries=$(dirname "$work"/usr/lib/*/libc.so.6)
    "$libraries"/ld-linux-x86-64.so.2 --library-path "$libraries:$libraries/systemd" \
        "$work/usr/bin/journalctl" --root="$work" --update-catalog
    # Tests start them by units of ours.
    for unit in memcached valkey-server; do
        ln -sf /dev/null "$work/etc/systemd/system/$unit.service"
    done
    # Modules that the test kernels do not have: each unit costs some processes at every boot.
    for unit in modprobe@{configfs,drm,efi_pstore,fuse}.service; do
        ln -s /dev/null "$work/etc/systemd/system/$unit"
    done
    touch "$work/usr" "$work/etc/.updated" "$work/var/.updated"
    rm -f "$image.new"
    truncate --size=2G "$image.new"
    # The journal is kept: a real host's root has one, and an immediate kexec replays it.
    mke2fs -q -t ext4 -L handover-root -d "$work" -E lazy_itable_init=1,nodiscard -m 0 "$image.new"
    chown "$owner" "$image.new"
    mv "$image.new" "$image"
    rm -rf "$work"
}

# rootfs_image SUITE IMAGE OVERLAY KERNEL…: writes IMAGE out of the suite's archive, the files
# under OVERLAY and the kernels (directories of the cache).
rootfs_image() {
    local suite=$1 image=$2 overlay=$3 tar
    shift 3
    tar=$(rootfs_tar "$suite")
    mkdir -p "$(dirname "$image")"
    # Unpacked files carry set-uid bits and devices: they stay where only root can look.
    # shellcheck disable=SC2016  # expanded by the inner shell
    as_root bash -c "$(declare -f rootfs_image_steps)"'; umask 022; work=$(mktemp -d); trap "rm -rf \"$work\"" EXIT; rootfs_image_steps "$work/root" "$@"' \
        rootfs-image "$tar" "$image" "$overlay" "$(id -u):$(id -g)" "$@"
}
