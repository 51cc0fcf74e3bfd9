# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Everything that tests/vm needs, in build/vm: disk images and environment.json, which names them.

# The newest systemd (keeps LUO sessions in its fd store) and one that knows nothing of LUO; the first
# once more with a QEMU in it.
MACHINE_SUITES=(forky trixie forky-vmm)

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
    if machine_checking; then
        # shellcheck disable=SC2086
        kernel_build $KERNEL_TO checking.config
    fi
    for job in "${background[@]}"; do
        wait "$job" || die "a root file system could not be made"
    done
}

# The checking kernel (as "to", with KASAN, lockdep and KHO's own checks) takes twice as long to build
# as the others, and the tests on it longer than all others together: only when asked for.
machine_checking() {
    [ -n "${HANDOVER_CHECKING:-}" ]
}

# machine_kernels: the directories of the test kernels: from, to and, if it is used, checking.
machine_kernels() {
    # shellcheck disable=SC2086
    kernel_directory $KERNEL_FROM
    # shellcheck disable=SC2086
    kernel_directory $KERNEL_TO
    if machine_checking; then
        # shellcheck disable=SC2086
        kernel_directory $KERNEL_TO checking.config
    fi
}

# The guest's own programs and units, our build, and the companion module, as one tree.
machine_overlay() {
    local overlay=$1 build=$2 guest=$REPO/tests/vm/guest program kernel
    shift 2
    rm -rf "$overlay"
    mkdir -p "$overlay/usr/lib/handover-test" "$overlay/usr/lib/systemd/system"
    if [ -n "$build" ]; then
        DESTDIR=$overlay cmake --install "$build"
        DESTDIR=$overlay cmake --install "$build" --component test
    fi
    for program in "$guest"/*.c; do
        # Static: it runs in any suite's root file system.
        gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static \
            -o "$overlay/usr/lib/handover-test/$(basename "$program" .c)" "$program"
    done
    for program in "$guest"/*/main.c; do
        program=$(dirname "$program")
        gcc -std=gnu11 -O2 -Wall -Wextra -Werror -static -pthread -I "$REPO/kmod/include/uapi" \
            -I "$REPO/tests/vm/guest" -o "$overlay/usr/lib/handover-test/$(basename "$program")" \
            "$program"/*.c
    done
    if module_there; then
        for kernel in "$@"; do
            module_install "$kernel" "$overlay"
        done
    fi
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
    local build=$1 vm=$BUILD/vm suite key kernel named kernels
    mapfile -t named < <(machine_kernels)
    mapfile -t kernels < <(printf '%s\n' "${named[@]}" | sort -u)
    mkdir -p "$vm"
    if module_there; then
        for kernel in "${kernels[@]}"; do
            module_build "$kernel"
        done
    fi
    logged overlay machine_overlay "$vm/overlay" "$build" "${kernels[@]}"
    for suite in "${MACHINE_SUITES[@]}"; do
        key=$(digest "${kernels[@]}" "$(rootfs_tar "$suite")" \
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
    python3 - "$vm/environment.json" "$vm" "${MACHINE_SUITES[*]}" "${named[@]}" <<'PYTHON'
import json, sys
path, vm, suites, *kernels = sys.argv[1:]
with open(path, "w") as file:
    json.dump({"kernels": dict(zip(("from", "to", "checking"), kernels)),
               "images": {suite: f"{vm}/root-{suite}.img" for suite in suites.split()}},
              file, indent=2)
PYTHON
}
