// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever lies in the boot loader's directory: entries must stay below it, and their order be one.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/boot_entry.h"
#include "core/kernel_name.h"
#include "core/version_order.h"
#include "require.h"

namespace {

using namespace handover;

void check_path(std::string_view path) {
  if (path.empty()) return;
  require(path.starts_with("/efi/"), "a path is below its directory");
  require(path.find("/../") == std::string_view::npos && !path.ends_with("/.."),
          "and does not lead out of it");
}

void check_order(const BootEntry& a, const BootEntry& b) {
  require(!menu_order(a, a), "no entry is before itself");
  require(!(menu_order(a, b) && menu_order(b, a)), "two are not before each other");
  const auto order = compare_versions(a.version, b.version);
  require(order == -compare_versions(b.version, a.version), "versions compare both ways");
  require(!(version_less(a.version, b.version) && version_less(b.version, a.version)),
          "releases compare both ways");
  require(flavour_of(a.version).size() <= a.version.size(), "a flavour is some of the release");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto half = size / 2;
  std::vector<BootEntry> entries;
  // The first line is the file's name.
  const auto name = std::string(text.substr(0, text.find('\n')));
  for (const auto part : {text, text.substr(0, half), text.substr(half)}) {
    if (auto entry = parse_boot_entry("/efi/loader/entries/" + name, "/efi", part)) {
      require(entry->linux.empty() != entry->uki.empty(), "there is one kernel");
      check_path(entry->linux);
      check_path(entry->uki);
      for (const auto& initrd : entry->initrds) check_path(initrd);
      entries.push_back(std::move(*entry));
    }
    entries.push_back(entry_of_uki("/efi/EFI/Linux/" + name, part, text, text));
  }
  for (const auto& a : entries) {
    for (const auto& b : entries) check_order(a, b);
    require(find_entry(entries, a.id) != nullptr || a.id.empty(), "an entry is found by its id");
  }
  require(default_entry(entries, text) != nullptr, "one is the default");
  return 0;
}
