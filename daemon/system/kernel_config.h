// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration that a kernel was built with, where its package left it.
#pragma once

#include <string>

namespace handover::system {

/// The text of config-RELEASE beside the image `kernel`, or of /lib/modules/RELEASE/config. "" if
/// there is neither, or the release is none.
std::string kernel_config(const std::string& kernel, const std::string& release,
                          const std::string& root = "");

}  // namespace handover::system
