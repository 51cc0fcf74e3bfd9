// SPDX-License-Identifier: LGPL-2.1-or-later
// The record of past updates as text.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

namespace handover::ctl {

/// One line for each update: id, when, from → to, outcome, the longest standstill and whose it was,
/// the shortest. `titles`: with a line of titles.
std::string history_list(const nlohmann::json& entries, std::size_t width, bool titles = true);
/// One update: its phases as a bar chart, the times of its clients, what was lost.
std::string history_entry(const nlohmann::json& entry, std::size_t width);
/// "blackout 1.432 s (vm-3), shortest 0.9 s (db)": the longest standstill of a client and the
/// shortest, and whose they were; or why there was none.
std::string blackout_text(const nlohmann::json& entry);
/// ", without vm-3 and db": the clients that the update went on without; "" if all took part.
std::string left_out_text(const nlohmann::json& entry);

/// Members of an entry; "" or 0 if one is not there or of another type.
std::string json_text(const nlohmann::json& object, const char* key);
std::uint64_t json_number(const nlohmann::json& object, const char* key);

}  // namespace handover::ctl
