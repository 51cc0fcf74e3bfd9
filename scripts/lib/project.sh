# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds of handoverd itself, by the presets of CMakePresets.json.

project_build_steps() {
    local preset=$1
    shift
    # Relative paths in the cache's keys: another checkout finds what this one compiled.
    # By the compiler's list of headers: else it would preprocess each file once more.
    export CCACHE_DIR=${CCACHE_DIR:-$CACHE/ccache} CCACHE_BASEDIR=$REPO CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1
    cd "$REPO" || return
    cmake --preset "$preset" -DCMAKE_CXX_COMPILER_LAUNCHER=ccache \
        -DCMAKE_C_COMPILER_LAUNCHER=ccache "$@"
    cmake --build --preset "$preset" --parallel "$(nproc)"
}

# project_build PRESET [CMAKE-OPTION…]
project_build() {
    say "building handoverd ($1)"
    logged "build-$1" project_build_steps "$@"
}

# What scripts/test does after the machines, to be done beside them (lib/ahead.sh).
after_machines() {
    local preset
    for preset in asan tsan; do
        project_build_steps "$preset" -DHANDOVER_TESTS=ON || true
    done
    if lint_clang_tool clang-tidy >/dev/null; then
        lint_tidy
    fi
}
