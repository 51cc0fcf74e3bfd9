# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Everything that tests/vm needs, in build/vm: disk images and environment.json, which names them.

# The newest systemd (keeps LUO sessions in its fd store) and one that knows nothing of LUO.
MACHINE_SUITES=(forky trixie)

# machine_parts: kernels and root file systems, into the cache. Downloads run beside the builds.
machine_parts() {
    local suite background=() job
    kernel_choose
    for suite in "${MACHINE_SUITES[@]}"; do
        rootfs_build "$suite" &
        background+=($!)
    done
    # shellcheck disable=SC2086  # two words: package and version
    kernel_build $KERNEL_FROM
    # shellcheck disable=SC2086
    kernel_build $KERNEL_TO
    for job in "${background[@]}"; do
        wait "$job" || die "a root file system could not be made"
    done
}

# The guest's own programs and units, and what our build installs, as one tree.
machine_overlay() {
    local overlay=$1 build=$2 guest=$REPO/tests/vm/guest program
    rm -rf "$overlay"
    mkdir -p "$overlay/usr/lib/handover-test" "$overlay/usr/lib/systemd/system"
    if [ -n "$build" ]; then
        DESTDIR=$overlay cmake --install "$build"
        DESTDIR=$overlay cmake --install "$build" --component test
        DESTDIR=$overlay cmake --install "$build" --component test
    fi
    for program in "$guest"/*.c; do
        # Static: it runs in any suite's root file system.
        gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static \
            -o "$overlay/usr/lib/handover-test/$(basename "$program" .c)" "$program"
    done
    cp "$guest"/*.service "$overlay/usr/lib/systemd/system/"
    # Not in /boot: nobody is to take it for the newest kernel of this machine.
    if [ -e "$KERNEL_WITHOUT_KHO" ]; then
        cp "$KERNEL_WITHOUT_KHO" "$overlay/usr/lib/handover-test/vmlinuz-without-kho"
    fi
    if [ -d "$guest/root" ]; then
        cp -a "$guest/root/." "$overlay/"
    fi
}

# machine_prepare BUILD: writes the images for the project built in BUILD ("" for none) and
# build/vm/environment.json. Needs machine_parts first. Does nothing when all is as it was.
machine_prepare() {
    # shellcheck disable=SC2153  # BUILD is the folder of all builds
    local build=$1 vm=$BUILD/vm from to suite key kernels
    # shellcheck disable=SC2086
    from=$(kernel_directory $KERNEL_FROM)
    # shellcheck disable=SC2086
    to=$(kernel_directory $KERNEL_TO)
    mapfile -t kernels < <(printf '%s\n' "$from" "$to" | sort -u)
    mkdir -p "$vm"
    logged overlay machine_overlay "$vm/overlay" "$build"
    for suite in "${MACHINE_SUITES[@]}"; do
        key=$(digest "$from" "$to" "$(rootfs_tar "$suite")" \
            "$(stat --format=%Y "$(rootfs_tar "$suite")")" "$(declare -f rootfs_image_steps)" \
            "$(cd "$vm/overlay" && find . -type f -print0 | sort -z | xargs -0 sha256sum)")
        if [ -e "$vm/root-$suite.img" ] && [ "$(cat "$vm/root-$suite.key" 2>/dev/null)" = "$key" ]; then
            continue
        fi
        say "writing the disk image of $suite"
        rm -f "$vm/root-$suite.key"
        logged "image-$suite" rootfs_image "$suite" "$vm/root-$suite.img" "$vm/overlay" \
            "${kernels[@]}"
        printf '%s\n' "$key" >"$vm/root-$suite.key"
    done
    python3 - "$vm/environment.json" "$vm" "$from" "$to" "${MACHINE_SUITES[@]}" <<'PYTHON'
import json, sys
path, vm, kernel_from, kernel_to, *suites = sys.argv[1:]
with open(path, "w") as file:
    json.dump({"kernels": {"from": kernel_from, "to": kernel_to},
               "images": {suite: f"{vm}/root-{suite}.img" for suite in suites}}, file, indent=2)
PYTHON
}
