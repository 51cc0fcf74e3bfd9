// SPDX-License-Identifier: LGPL-2.1-or-later
// What was found in an initrd (system/initrd.h looks).
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

namespace handover {

struct InitrdFacts {
  std::string path;
  std::uint64_t bytes = 0;
  std::string damage;             ///< what is wrong with its archives; "" if nothing is, or unknown
  bool only_microcode = false;    ///< nothing that could find a root file system
  std::set<std::string> modules;  ///< releases whose modules it has
  std::optional<bool> has_microcode = {};
  std::string crypttab = {};  ///< the text of its own; "" if it has none, or it is not known
  bool has_clevis = false;
};

}  // namespace handover
