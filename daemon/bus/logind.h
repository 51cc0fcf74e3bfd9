// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of logind's manager (org.freedesktop.login1(5)).
#pragma once

namespace handover::bus::logind {

inline constexpr const char* name = "org.freedesktop.login1";
inline constexpr const char* path = "/org/freedesktop/login1";
inline constexpr const char* manager = "org.freedesktop.login1.Manager";
/// Under which our own lock is listed.
inline constexpr const char* our_name = "handoverd";

}  // namespace handover::bus::logind
