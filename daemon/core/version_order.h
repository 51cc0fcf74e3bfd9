// SPDX-License-Identifier: LGPL-2.1-or-later
// The order of kernel releases, so that the newest of several images is found.
#pragma once

#include <string_view>

namespace handover {

/// true if `a` is older than `b`: numbers by value, and a release candidate before its release
/// ("7.3-rc2" and "7.3~rc2" < "7.3" < "7.3.1" < "7.10"), as Debian's linux-version sorts them.
bool version_less(std::string_view a, std::string_view b);

/// -1, 0 or 1, as the Boot Loader Specification compares versions ("Version Format Specification"
/// of uapi-group.org; strverscmp_improved() of systemd), by which bootctl sorts its entries. Other
/// than above, "-rc1" is newer than nothing, and "a~rc1" is older.
int compare_versions(std::string_view a, std::string_view b);

}  // namespace handover
