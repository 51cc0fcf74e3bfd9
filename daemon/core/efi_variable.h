// SPDX-License-Identifier: LGPL-2.1-or-later
// Variables of the firmware, as efivarfs gives them.
#pragma once

#include <string>
#include <string_view>

namespace handover {

/// The text of one that holds text: 4 bytes of attributes, then UTF-16, little-endian, up to a NUL.
/// "" if it is something else.
std::string text_of_efi_variable(std::string_view bytes);

}  // namespace handover
