// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether a text can be sent over D-Bus.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/text.h"

namespace handover::test {

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace handover::test
