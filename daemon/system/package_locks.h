// SPDX-License-Identifier: LGPL-2.1-or-later
// Package managers at work, by the locks that they hold.
#pragma once

#include <string>
#include <vector>

#include "core/host_facts.h"

namespace handover::system {

/// dpkg and apt (/var/lib/dpkg), rpm and dnf (.rpm.lock), apk, xbps, portage, pacman (db.lck).
std::vector<PackageLock> package_locks(const std::string& root = "");

}  // namespace handover::system
