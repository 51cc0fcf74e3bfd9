// SPDX-License-Identifier: LGPL-2.1-or-later
// The fields of a record that only a newer version knows: they are read, kept, and written again.
#pragma once

#include <nlohmann/json.hpp>

namespace handover {

/// What a record's `extra` is without such fields; with them it is an object.
inline constexpr auto no_extra = nlohmann::json::value_t::null;

}  // namespace handover
