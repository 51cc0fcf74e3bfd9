// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether a sanitizer watches: what was freed keeps its memory for some time then, and everything
// takes several times as long.
#pragma once

namespace handover::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace handover::test
