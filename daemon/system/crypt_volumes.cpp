// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/crypt_volumes.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "core/mountinfo.h"
#include "system/small_files.h"

namespace handover::system {

namespace {

constexpr int deepest_chain = 16;

/// By the names of their lines: whether somebody is asked (crypttab(5)).
std::map<std::string, bool> crypttab(const std::string& root) {
  std::map<std::string, bool> asks;
  for (const auto& line : lines_of(text_in(root + "/etc/crypttab"))) {
    const auto words = words_of(line);
    if (words.empty() || words[0].starts_with('#')) continue;
    const auto key = words.size() > 2 ? words[2] : std::string("none");
    const auto options = "," + (words.size() > 3 ? words[3] : std::string()) + ",";
    const auto has = [&options](const std::string& option) {
      return options.find("," + option) != std::string::npos;
    };
    const bool opened_by_itself =
        has("noauto,") || has("tpm2-device=") || has("keyscript=") || has("headless");
    asks[words[0]] = (key == "none" || key == "-") && !opened_by_itself;
  }
  return asks;
}

/// The name of "dm-3" in /dev/mapper if it is encrypted; nullopt: it is not.
std::optional<std::string> crypt_name(const std::string& device, const std::string& root) {
  const auto folder = root + "/sys/block/" + device + "/dm/";
  if (!text_in(folder + "uuid").starts_with("CRYPT-LUKS")) return std::nullopt;
  return text_in(folder + "name");
}

/// The encrypted volumes that a block device ("dm-3", "sda2") lies on.
void add_below(const std::string& device, const std::string& root, std::set<std::string>& names,
               int depth = 0) {
  if (depth > deepest_chain) return;
  if (auto name = crypt_name(device, root)) names.insert(std::move(*name));
  const auto slaves = std::string(root).append("/sys/block/").append(device).append("/slaves");
  for (const auto& slave : names_in_directory(slaves)) {
    add_below(slave, root, names, depth + 1);
  }
}

/// The block device that holds the root file system, as it is called in /sys/block. btrfs has no
/// device number of its own there: it names its device.
std::string root_device(const std::string& root) {
  const auto text = text_in(root + "/proc/self/mountinfo");
  const auto all = parse_mountinfo(text);
  // What was mounted last at one path is on top.
  const auto mount =
      std::find_if(all.rbegin(), all.rend(), [](const Mount& one) { return one.point == "/"; });
  if (mount == all.rend()) return {};
  const auto by_number = target_of_link(root + "/sys/dev/block/" + std::string(mount->device));
  if (!by_number.empty()) return std::filesystem::path(by_number).filename().string();
  if (!mount->source.starts_with("/dev/")) return {};
  const auto link = target_of_link(root + mount->source);
  return std::filesystem::path(link.empty() ? mount->source : link).filename().string();
}

}  // namespace

std::vector<LockedVolume> locked_volumes(const std::string& root) {
  const auto asks = crypttab(root);
  std::set<std::string> below_root;
  const auto device = root_device(root);
  if (!device.empty()) add_below(device, root, below_root);
  std::vector<LockedVolume> found;
  for (const auto& block : names_in_directory(root + "/sys/block")) {
    const auto name = crypt_name(block, root);
    if (!name) continue;
    const auto line = asks.find(*name);
    const bool holds_root = below_root.contains(*name);
    // The root's may be known to the initrd alone (rd.luks.uuid=, an image's own crypttab).
    if (line == asks.end() ? holds_root : line->second) found.push_back({*name, holds_root});
  }
  return found;
}

}  // namespace handover::system
