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
    { lint_files '*.sh' && grep -lE '^#!.*\b(ba)?sh\b' -r scripts .ci client; } | sort -u |
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

# Only what is compiled has an entry in the compilation database. What is installed is looked at each
# time, the tests where HANDOVER_TIDY_TESTS is set: they take twice as long. Clang's analyzer follows
# paths through small functions alone; HANDOVER_TIDY_DEEP lets it go as far as it can, three times as
# long. What passed once is not looked at again before it changes.
lint_tidy() {
    cd "$REPO" || return
    mkdir -p "$CACHE/lint"
    find "$CACHE/lint" -type f -mtime +30 -delete
    local tool folders=(daemon client) depth=shallow
    [ -z "${HANDOVER_TIDY_TESTS:-}" ] || folders+=(tests)
    [ -z "${HANDOVER_TIDY_DEEP:-}" ] || depth=deep
    tool=$(lint_clang_tool clang-tidy)
    cmake --preset unity -DHANDOVER_TESTS=ON
    python3 scripts/lib/tidy.py --root "$REPO" --read "$BUILD/release" --unity "$BUILD/unity" \
        --passed "$CACHE/lint" --salt "$("$tool" --version) $(cat .clang-tidy) $depth" \
        "${folders[@]}" -- "$tool" --extra-arg=-Xclang --extra-arg=-analyzer-config \
        --extra-arg=-Xclang --extra-arg="mode=$depth"
}
