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

# One file for clang-tidy. What passed once need not be looked at again: the key covers the file,
# every header of ours, the rules and how it is compiled.
lint_tidy_file() {
    local tool=$1 headers=$2 file=$3 passed
    passed=$CACHE/lint/$(digest "$headers" "$(cat "$REPO/$file")" "$file")
    if [ -e "$passed" ]; then
        touch "$passed"
        return 0
    fi
    "$tool" --quiet -p "$REPO/build/release" "$REPO/$file" 2>&1 |
        { grep -vE '^[0-9]+ warnings? (and [0-9]+ errors? )?(generated|treated)|^Suppressed|^Use -header-filter' || true; }
    touch "$passed"
}

lint_tidy() {
    cd "$REPO" || return
    mkdir -p "$CACHE/lint"
    find "$CACHE/lint" -type f -mtime +30 -delete
    local tool headers
    tool=$(lint_clang_tool clang-tidy)
    headers=$(digest "$("$tool" --version)" "$(cat .clang-tidy CMakeLists.txt)" \
        "$(lint_files '*.h' ':!kmod' | xargs cat)")
    # Only what is compiled has an entry in the compilation database; what is installed is looked at
    # each time, the tests where HANDOVER_TIDY_TESTS is set: they take as long again.
    python3 -c '
import json, os, sys
root = sys.argv[1] + "/"
for entry in json.load(open(root + "build/release/compile_commands.json")):
    path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
    wanted = ("daemon/", "client/", *(["tests/"] if os.environ.get("HANDOVER_TIDY_TESTS") else []))
    if path.startswith(tuple(root + folder for folder in wanted)):
        print(path.removeprefix(root))' "$REPO" | sort -u |
        xargs --no-run-if-empty -d '\n' -n 1 -P "$(nproc)" \
            bash "$REPO/scripts/lib/step.sh" lint_tidy_file "$tool" "$headers"
}
