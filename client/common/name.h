// SPDX-License-Identifier: LGPL-2.1-or-later
// What may name a client.
#pragma once

#include <handover/handover.hpp>
#include <string_view>

namespace handover::common {

/// What may name a client, a session and an entry of LISTEN_FDNAMES at once: 1 to 63 bytes, no '/',
/// no ':', no control character, not "." or "..".
client::Result<void> check_name(std::string_view name);

}  // namespace handover::common
