// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/enabled_units.h"

#include "system/small_files.h"

namespace handover::system {

std::string enabled_unit(std::initializer_list<std::string_view> units, const std::string& root) {
  const auto directory = root + "/etc/systemd/system/";
  for (const auto& wants : names_in_directory(directory)) {
    if (!wants.ends_with(".wants")) continue;
    for (const auto unit : units) {
      const auto link = std::string(directory).append(wants).append("/").append(unit);
      if (!target_of_link(link).empty()) return std::string(unit);
    }
  }
  return {};
}

}  // namespace handover::system
