# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Test kernels: which source packages the suites offer, and their build into the cache.
#
# A kernel in the cache is a directory:
#   release       what uname -r will say
#   source        the source package and its version
#   config        the full configuration
#   bzImage       the image
#   modules/      lib/modules/RELEASE, stripped, as they are installed
#   headers/      what make headers_install gives (uapi)
#   kdir.tar.zst  a tree to build modules against (KDIR)

# Suites with a new enough kernel in them; Debian's own images enable no KHO, its sources have it.
KERNEL_SUITES=(forky sid trixie-backports)
# Part of every key: raise it when the recipe below changes what is built.
KERNEL_RECIPE=1
# Sources are looked up again after so many days; until then the last choice stands.
KERNEL_CHOICE_DAYS=14

KERNELS=$CACHE/kernels
# A kernel image as Debian ships it, without KHO: no host may be updated to it.
KERNEL_WITHOUT_KHO=$CACHE/debian-kernel/vmlinuz
KERNEL_FRAGMENTS=$REPO/tests/vm/kernel

# kernel_offers: "PACKAGE VERSION" of each linux-source-7.x that the suites offer, oldest first.
kernel_offers() {
    local package version
    archive_apt apt-cache pkgnames linux-source-7. | sort -V | while read -r package; do
        version=$(archive_apt apt-cache madison "$package" |
            awk -F'|' '{ gsub(/ /, "", $2); print $2 }' | sort -V | tail -n 1)
        if [ -n "$version" ]; then
            printf '%s %s\n' "$package" "$version"
        fi
    done
}

# kernel_choose: sets KERNEL_FROM and KERNEL_TO, each "PACKAGE VERSION".
kernel_choose() {
    local choice=$KERNELS/choice offers
    mkdir -p "$KERNELS"
    if [ -n "${HANDOVER_REFRESH:-}" ] || ! fresh "$choice" "$KERNEL_CHOICE_DAYS"; then
        say "looking for kernel sources in ${KERNEL_SUITES[*]}"
        offers=
        if logged kernel-lists archive_update "${KERNEL_SUITES[@]}"; then
            offers=$(kernel_offers)
        fi
        if [ -n "$offers" ]; then
            printf '%s\n' "$offers" | tail -n 2 >"$choice"
        elif [ -s "$choice" ]; then
            note "the mirror cannot be reached: staying with the kernels chosen before"
        else
            die "no linux-source-7.x package found in ${KERNEL_SUITES[*]}"
        fi
    fi
    KERNEL_FROM=$(head -n 1 "$choice")
    KERNEL_TO=$(tail -n 1 "$choice")
    if [ "$KERNEL_FROM" = "$KERNEL_TO" ]; then
        say "kernel: only $KERNEL_TO is offered, so updates go from it to itself"
    else
        say "kernels: from $KERNEL_FROM to $KERNEL_TO"
    fi
}

# kernel_key PACKAGE VERSION FRAGMENT…: the name of that kernel's directory in the cache.
kernel_key() {
    local package=$1 version=$2 fragment contents=()
    shift 2
    for fragment in "$@"; do
        contents+=("$(grep -vE '^(# [^C]|#$|$)' "$KERNEL_FRAGMENTS/$fragment")")
    done
    printf '%s-%s-%s\n' "${package#linux-source-}" "${version//[^0-9A-Za-z.]/_}" \
        "$(digest "$KERNEL_RECIPE" "$package" "$version" "${contents[@]}")"
}

# kernel_directory PACKAGE VERSION [FRAGMENT…]: its directory in the cache, built or not.
kernel_directory() {
    local package=$1 version=$2
    shift 2
    printf '%s/%s\n' "$KERNELS" "$(kernel_key "$package" "$version" test.config "$@")"
}

# Fails if an option of a fragment was lost although this kernel knows it: the fragments serve
# several versions, and an option that one of them does not define says nothing.
kernel_check_config() {
    local source=$1 config=$2 line symbol lost=0
    shift 2
    while read -r line; do
        case $line in
        CONFIG_*=*) symbol=${line%%=*} ;;
        '# CONFIG_'*' is not set') symbol=${line#\# } symbol=${symbol%% *} ;;
        *) continue ;;
        esac
        # A later fragment may say otherwise.
        if [ "$(cat "$@" | grep -E "^(# )?${symbol}[= ]" | tail -n 1)" != "$line" ]; then
            continue
        fi
        if grep -qxF -- "$line" "$config"; then
            continue
        fi
        if [[ $line == '#'* ]] && ! grep -q "^$symbol=" "$config"; then
            continue
        fi
        if grep -rqE --include='Kconfig*' "^(menu)?config ${symbol#CONFIG_}\$" "$source"; then
            printf 'lost: %s\n' "$line"
            lost=1
        else
            printf 'unknown to this kernel: %s\n' "$line"
        fi
    done < <(cat "$@")
    return "$lost"
}

# Puts what is kept of a build into a directory: kernel_collect SOURCE BUILD DIRECTORY.
kernel_collect() {
    local source=$1 build=$2 out=$3 compiler='ccache gcc' release kdir
    local make=(make -C "$source" O="$build" CC="$compiler" HOSTCC="$compiler")
    mkdir -p "$out"
    kdir=$(mktemp -d)
    release=$("${make[@]}" -s kernelrelease)
    "${make[@]}" -s -j"$(nproc)" INSTALL_MOD_PATH="$out/modules" INSTALL_MOD_STRIP=1 modules_install
    rm -f "$out/modules/lib/modules/$release/"{build,source}
    "${make[@]}" -s -j"$(nproc)" INSTALL_HDR_PATH="$out/headers" headers_install
    # The kernel's own list of what a module build needs, as distributions package it.
    "${make[@]}" -s run-command \
        KBUILD_RUN_COMMAND="\$(srctree)/scripts/package/install-extmod-build $kdir"
    tar -C "$kdir" -c . | zstd --quiet -T0 -3 -o "$out/kdir.tar.zst"
    rm -rf "$kdir"
    cp "$build/arch/x86/boot/bzImage" "$out/bzImage"
    cp "$build/.config" "$out/config"
    printf '%s\n' "$release" >"$out/release"
}

# The steps of one build; runs under logged.
kernel_build_steps() {
    local package=$1 version=$2 target=$3 fragment fragments=()
    shift 3
    for fragment in "$@"; do
        fragments+=("$KERNEL_FRAGMENTS/$fragment")
    done
    # The same place for each build: the path is part of what ccache looks at.
    local work=$CACHE/kernel-build source=$CACHE/kernel-build/$package
    local build=$work/objects out=$target.new download=$ARCHIVE/download deb
    # Nothing of an earlier try: its package may be cut, or another version's.
    rm -rf "$work" "$out" "$download"
    mkdir -p "$work" "$build" "$out" "$download"

    (cd "$download" && archive_apt apt-get download "$package=$version")
    deb=$(find "$download" -name "${package}_*.deb" -print -quit)
    printf 'unpacking %s\n' "$deb"
    dpkg-deb --fsys-tarfile "$deb" | tar -x -O --wildcards "./usr/src/$package.tar.*" |
        xz --decompress --stdout --threads=0 | tar -x -C "$work"

    cat "${fragments[@]}" >"$build/fragment"
    # ccache finds the objects of an earlier build only if nothing depends on who builds when.
    export KBUILD_BUILD_TIMESTAMP='1970-01-01' KBUILD_BUILD_USER=handover KBUILD_BUILD_HOST=handover
    export CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 CCACHE_DIR=${CCACHE_DIR:-$CACHE/ccache}
    local compiler='ccache gcc'
    local make=(make -C "$source" O="$build" CC="$compiler" HOSTCC="$compiler")
    "${make[@]}" -s KCONFIG_ALLCONFIG="$build/fragment" allnoconfig
    kernel_check_config "$source" "$build/.config" "${fragments[@]}"
    "${make[@]}" -j"$(nproc)" bzImage modules

    kernel_collect "$source" "$build" "$out"
    printf '%s %s\n' "$package" "$version" >"$out/source"
    rm -rf "$target"
    mv "$out" "$target"
    rm -rf "$work" "$download"
}

# kernel_build PACKAGE VERSION [FRAGMENT…]: builds it unless it is in the cache. FRAGMENTs (of
# tests/vm/kernel) come on top of test.config.
kernel_build() {
    local package=$1 version=$2 target
    shift 2
    target=$(kernel_directory "$package" "$version" "$@")
    if [ -e "$target/release" ]; then
        note "kernel $(cat "$target/release") (${package} ${version}) is in the cache"
        touch "$target"
        return 0
    fi
    say "building the kernel of $package $version (about 7 minutes on 2 cores)"
    logged "kernel-${package#linux-source-}${1:+-${1%.config}}" \
        kernel_build_steps "$package" "$version" "$target" test.config "$@"
    say "built kernel $(cat "$target/release")"
}

# Fetches the package that holds the image of Debian's newest kernel into the current directory.
kernel_without_kho_download() {
    local package
    # The package without a version in its name depends on linux-image-VERSION-cloud-amd64, and that
    # on linux-binary-VERSION-cloud-amd64, which holds the image (Debian's linux 7.0 and later).
    package=$(archive_apt apt-cache depends linux-image-cloud-amd64 |
        awk '$1 == "Depends:" && sub(/^linux-image-/, "linux-binary-", $2) && !found { print $2; found = 1 }')
    [ -n "$package" ] && archive_apt apt-get download "$package"
}

kernel_without_kho_steps() {
    local folder=${KERNEL_WITHOUT_KHO%/*}
    rm -rf "$folder"
    mkdir -p "$folder"
    cd "$folder" || return
    # There may be no lists, or they name a version that is gone from the mirror.
    if ! kernel_without_kho_download; then
        archive_update "${KERNEL_SUITES[@]}"
        kernel_without_kho_download
    fi
    dpkg-deb --fsys-tarfile ./*.deb | tar -x -O --wildcards './usr/lib/modules/*/vmlinuz' >vmlinuz.new
    rm -f ./*.deb
    mv vmlinuz.new vmlinuz
}

# kernel_without_kho: downloads one unless it is in the cache; any version will do.
kernel_without_kho() {
    if [ ! -s "$KERNEL_WITHOUT_KHO" ]; then
        say "downloading a kernel of Debian's, which has no KHO"
        logged kernel-without-kho kernel_without_kho_steps
    fi
}

# kernel_tree DIRECTORY TARGET: unpacks a cached kernel's KDIR.
kernel_tree() {
    mkdir -p "$2"
    zstd --quiet --decompress --stdout "$1/kdir.tar.zst" | tar -x -C "$2"
}
