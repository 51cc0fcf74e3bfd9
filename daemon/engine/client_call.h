// SPDX-License-Identifier: LGPL-2.1-or-later
// The methods of org.handover1.Client that the daemon calls.
#pragma once

#include "core/enum_words.h"

namespace handover::engine {

enum class ClientCall { prepare, cancel, freeze, thaw, restore };

/// The names of the D-Bus methods.
constexpr auto words(ClientCall) {
  return std::to_array<Word<ClientCall>>({{ClientCall::prepare, "Prepare"},
                                          {ClientCall::cancel, "Cancel"},
                                          {ClientCall::freeze, "Freeze"},
                                          {ClientCall::thaw, "Thaw"},
                                          {ClientCall::restore, "Restore"}});
}

}  // namespace handover::engine
