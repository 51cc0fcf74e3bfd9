# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The companion module: its build against a test kernel, and the checks of its sources.

MODULE_SOURCE=$REPO/kmod
# Part of every key: raise it when the recipe below changes what is built.
MODULE_RECIPE=1
# Unpacked KDIRs and built modules. The trees are big, and quickly made anew.
MODULE_TREES=$CACHE/kdir
MODULES=$CACHE/modules

module_there() {
    [ -e "$MODULE_SOURCE/Makefile" ] || [ -e "$MODULE_SOURCE/Kbuild" ]
}

module_files() {
    git -C "$REPO" ls-files --cached --others --exclude-standard -- kmod | sort |
        while read -r file; do
            if [ -e "$REPO/$file" ]; then
                printf '%s\n' "$file"
            fi
        done
}

# module_contents: a short name for what kmod/ holds.
module_contents() {
    (cd "$REPO" && module_files | tr '\n' '\0' | xargs -0 sha256sum) | sha256sum | cut -c 1-12
}

# module_tree KERNEL: the unpacked KDIR of a kernel of the cache.
module_tree() {
    local tree
    tree=$MODULE_TREES/$(basename "$1")
    if [ ! -e "$tree/.complete" ] || [ "$1/kdir.tar.zst" -nt "$tree/.complete" ]; then
        rm -rf "$tree"
        kernel_tree "$1" "$tree"
        touch "$tree/.complete"
    fi
    printf '%s\n' "$tree"
}

# module_directory KERNEL: where the modules built against it are, built or not.
module_directory() {
    printf '%s/%s-%s\n' "$MODULES" "$(basename "$1")" "$(digest "$MODULE_RECIPE" "$(module_contents)")"
}

# module_make KERNEL COPY OPTION…: make, in a copy of kmod/, so that nothing is left beside the
# sources and two builds never meet.
module_make() {
    local kernel=$1 copy=$2 tree
    shift 2
    tree=$(module_tree "$kernel")
    export CCACHE_DIR=${CCACHE_DIR:-$CACHE/ccache} CCACHE_NOHASHDIR=1
    make -C "$copy" KDIR="$tree" CC='ccache gcc' "$@"
}

# module_copy DIRECTORY
module_copy() {
    mkdir -p "$1"
    (cd "$REPO" && module_files | tar -c --files-from=-) | tar -x -C "$1" --strip-components=1
}

# Warnings are errors here; two of make's own do not count: that Debian's gcc may have been updated
# since the kernel was built, and that vmlinux is not there to take BTF from.
module_warnings() {
    ! grep -nE '(warning|error): |^WARNING|modpost: ' "$1" |
        grep -vE 'the compiler differs from the one used|Skipping BTF generation'
}

# module_build_steps KERNEL: runs under logged.
module_build_steps() {
    local kernel=$1 out copy log
    out=$(module_directory "$kernel")
    copy=$(mktemp -d)
    # shellcheck disable=SC2064  # the directory's name of now
    trap "rm -rf '$copy'" EXIT
    module_copy "$copy/kmod"
    log=$copy/log
    module_make "$kernel" "$copy/kmod" -j"$(nproc)" W=1 KCFLAGS=-Werror modules 2>&1 | tee "$log"
    module_warnings "$log"
    rm -rf "$out.new"
    mkdir -p "$out.new"
    # depmod runs where the kernel's own modules are too (scripts/lib/rootfs.sh).
    module_make "$kernel" "$copy/kmod" INSTALL_MOD_PATH="$out.new" INSTALL_MOD_STRIP=1 DEPMOD=true \
        modules_install
    find "$out.new" -name '*.ko' | grep -q .
    rm -rf "$out"
    mv "$out.new" "$out"
}

# module_build KERNEL: builds kmod/ against that kernel of the cache, unless that was done.
module_build() {
    local out
    out=$(module_directory "$1")
    if [ -d "$out" ]; then
        touch "$out"
        return 0
    fi
    mkdir -p "$MODULES"
    find "$MODULES" -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -rf {} +
    logged "module-$(cat "$1/release")" module_build_steps "$1"
}

# module_install KERNEL ROOT: puts what was built into ROOT/usr/lib/modules/RELEASE/extra.
module_install() {
    local out release extra
    out=$(module_directory "$1")
    release=$(cat "$1/release")
    extra=$2/usr/lib/modules/$release/extra
    mkdir -p "$extra"
    find "$out" -name '*.ko' -exec cp -t "$extra" {} +
}

# module_sparse KERNEL: sparse has nothing to say.
module_sparse() {
    local copy
    copy=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$copy'" EXIT
    module_copy "$copy/kmod"
    module_make "$1" "$copy/kmod" C=2 CHECK='sparse' modules 2>&1 | tee "$copy/log"
    module_warnings "$copy/log"
}

# What is right for a patch to the kernel's own tree, and not for files that user space reads too
# (BIT(), __packed) or that say which kernels they build for; it takes a function whose arguments hold
# a function's type for a statement, and a word in a message for the function of that name. Trace
# headers are a language of their own.
MODULE_CHECKPATCH_IGNORED=FILE_PATH_CHANGES,LINUX_VERSION_CODE,BIT_MACRO,PREFER_DEFINED_ATTRIBUTE_MACRO,OPEN_BRACE,EMBEDDED_FUNCTION_NAME,ALLOC_WITH_SIZEOF

# module_checkpatch KERNEL: needs scripts/checkpatch.pl in that kernel's tree.
module_checkpatch() {
    local script
    script=$(module_tree "$1")/scripts/checkpatch.pl
    cd "$REPO" || return
    module_files | grep -E '\.[ch]$' | grep -v 'trace\.h$' |
        xargs --no-run-if-empty perl "$script" --no-tree --no-summary --terse --strict \
            --show-types --ignore "$MODULE_CHECKPATCH_IGNORED" --file
}
