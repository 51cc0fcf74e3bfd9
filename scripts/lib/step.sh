# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs one function of these files in a bash of its own: step.sh FUNCTION ARGUMENT…
# Inside `if` and `||` bash ignores set -e, in functions too; a process of its own does not.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/all.sh"
"$@"
