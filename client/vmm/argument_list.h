// SPDX-License-Identifier: LGPL-2.1-or-later
// QEMU's arguments as options with values, and a value as names with values.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace handover::vmm {

struct Argument {
  std::string option;  ///< without its dashes; "": a disk image, as QEMU has it
  std::string value;   ///< "" for an option that takes none

  bool operator==(const Argument&) const = default;
};

/// As QEMU reads them. The value of a last option that lacks it is "".
std::vector<Argument> split_arguments(const std::vector<std::string>& arguments);

using OptionList = std::vector<std::pair<std::string, std::string>>;

/// "a,b=c,d=e,,f" is {"", "a"}, {"b", "c"}, {"d", "e,f"}: only the first may lack its name. A later
/// word without a value is a name, as "readonly" is.
OptionList split_value(std::string_view value);

/// The last value of that name, as it counts for QEMU; "" if there is none.
std::string value_of(const OptionList& list, std::string_view name);

/// Does QEMU start without the peer of this connection, and look for it again and again?
bool is_patient(const OptionList& list);

/// Is it switched on, as QEMU reads a boolean? Its name alone does so, too.
bool is_on(const OptionList& list, std::string_view name);

}  // namespace handover::vmm
