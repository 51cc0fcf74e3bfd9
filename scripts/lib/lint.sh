# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Looks for mistakes in the sources: layout, clang-tidy, shellcheck, Python's compiler.

# The release whose opinion counts: others lay out a few lines differently and know other checks.
LINT_CLANG=14

lint_files() {
    git -C "$REPO" ls-files --cached --others --exclude-standard -- "$@" |
        while read -r file; do
            if [ -e "$REPO/$file" ]; then
                printf '%s\n' "$file"
            fi
        done
}

# lint_clang_tool NAME: that tool in the release that counts; fails if it is not here.
lint_clang_tool() {
    local tool
    for tool in "$1-$LINT_CLANG" "$1"; do
        if command -v "$tool" >/dev/null && "$tool" --version | grep -q "version $LINT_CLANG\\."; then
            printf '%s\n' "$tool"
            return 0
        fi
    done
    return 1
}

lint_format() {
    cd "$REPO" || return
    # The kernel module follows the kernel's own layout.
    lint_files '*.cpp' '*.h' '*.c' ':!kmod' |
        xargs --no-run-if-empty "$(lint_clang_tool clang-format)" --dry-run -Werror
}

lint_shell() {
    cd "$REPO" || return
    { lint_files '*.sh' && grep -lE '^#!.*\b(ba)?sh\b' -r scripts .ci; } | sort -u |
        xargs --no-run-if-empty shellcheck --external-sources
}

lint_python() {
    cd "$REPO" || return
    lint_files '*.py' | xargs --no-run-if-empty python3 -c '
import sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        compile(file.read(), path, "exec")'
}

# lint_tidy_file TOOL DEPTH KEY FILE: what passed once under that key need not be looked at again.
lint_tidy_file() {
    local tool=$1 depth=$2 passed=$CACHE/lint/$3 file=$4
    if [ -e "$passed" ]; then
        touch "$passed"
        return 0
    fi
    "$tool" --quiet -p "$REPO/build/release" --extra-arg=-Xclang --extra-arg=-analyzer-config \
        --extra-arg=-Xclang --extra-arg="mode=$depth" "$REPO/$file" 2>&1 |
        { grep -vE '^[0-9]+ warnings? (and [0-9]+ errors? )?(generated|treated)|^Suppressed|^Use -header-filter' || true; }
    touch "$passed"
}

# Only what is compiled has an entry in the compilation database; what is installed is looked at each
# time, the tests where HANDOVER_TIDY_TESTS is set: they take as long again. Clang's analyzer follows
# paths through small functions alone; HANDOVER_TIDY_DEEP lets it go as far as it can, three times as
# long.
lint_tidy() {
    cd "$REPO" || return
    mkdir -p "$CACHE/lint"
    find "$CACHE/lint" -type f -mtime +30 -delete
    local tool salt folders=(daemon client) depth=shallow
    [ -z "${HANDOVER_TIDY_TESTS:-}" ] || folders+=(tests)
    [ -z "${HANDOVER_TIDY_DEEP:-}" ] || depth=deep
    tool=$(lint_clang_tool clang-tidy)
    salt=$(digest "$("$tool" --version)" "$(cat .clang-tidy)" "$depth")
    python3 scripts/lib/tidy_files.py "$REPO" "$BUILD/release" "$salt" "${folders[@]}" |
        xargs --no-run-if-empty -L 1 -P "$(nproc)" \
            bash "$REPO/scripts/lib/step.sh" lint_tidy_file "$tool" "$depth"
}
