# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Everything in this folder, for the scripts in the one above.
# shellcheck source-path=SCRIPTDIR
LIBRARY=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$LIBRARY/common.sh"
source "$LIBRARY/ahead.sh"
source "$LIBRARY/packages.sh"
source "$LIBRARY/archive.sh"
source "$LIBRARY/kernel.sh"
source "$LIBRARY/module.sh"
source "$LIBRARY/rootfs.sh"
source "$LIBRARY/project.sh"
source "$LIBRARY/machine.sh"
source "$LIBRARY/lint.sh"
