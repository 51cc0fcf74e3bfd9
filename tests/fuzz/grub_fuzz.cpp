// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever grub.cfg says: what is passed on to grub-set-default is a plain id of the release that
// was asked for. The first line is the release.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/boot_default.h"
#include "require.h"

namespace {

using namespace handover;

void check_id(std::string_view id, std::string_view release) {
  const auto last = id.substr(id.rfind('>') + 1);
  require(last.starts_with("gnulinux-" + std::string(release) + "-advanced-"),
          "it is that of the release");
  require(id.find_first_of(" \t\n'\"$;&|`\\{}") == std::string_view::npos, "it is plain");
  require(!id.starts_with('-'), "it is no option");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.substr(0, text.find('\n'));
  const auto menu = text.substr(line.size());
  if (const auto id = grub_entry_id(menu, line)) check_id(*id, line);
  BootDefaultFacts facts;
  facts.release = line;
  facts.entry = line;
  facts.grub_cfg = menu;
  facts.grub_tool = "/usr/sbin/grub-set-default";
  if (const auto command = boot_default_command(facts); command && !menu.empty()) {
    require(command->size() == 2 && command->front() == facts.grub_tool, "it is GRUB's program");
    require(!command->back().starts_with('-'), "it is no option");
  }
  return 0;
}
