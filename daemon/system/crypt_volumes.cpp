// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/crypt_volumes.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "core/kernel_cmdline.h"
#include "core/mountinfo.h"
#include "system/enabled_units.h"
#include "system/small_files.h"

namespace handover::system {

namespace {

constexpr int deepest_chain = 16;

using Options = std::map<std::string, std::string, std::less<>>;

/// "luks,tpm2-device=auto", by their names. A bare one is switched on.
Options options_in(std::string_view text) {
  Options options;
  while (!text.empty()) {
    const auto option = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), option.size() + 1));
    const auto equals = option.find('=');
    const bool bare = equals == std::string_view::npos;
    options[std::string(option.substr(0, equals))] = bare ? "yes" : option.substr(equals + 1);
  }
  return options;
}

/// As systemd reads a boolean (parse_boolean()).
bool is_on(const Options& options, std::string_view name) {
  constexpr std::array<std::string_view, 6> words = {"1", "yes", "y", "true", "t", "on"};
  const auto found = options.find(name);
  return found != options.end() &&
         std::find(words.begin(), words.end(), found->second) != words.end();
}

/// What a person has to do; nullopt: nobody is asked. A TPM may want a PIN besides.
std::optional<Unlocking> asked_by(const Options& options) {
  const bool tpm = options.contains("tpm2-device");
  const bool pin = is_on(options, "tpm2-pin");
  for (const auto* name : {"noauto", "keyscript"}) {
    if (options.contains(name)) return std::nullopt;
  }
  for (const auto* name : {"headless", "try-empty-password"}) {
    if (is_on(options, name)) return std::nullopt;
  }
  if (tpm && !pin) return std::nullopt;
  if (options.contains("fido2-device")) return Unlocking::security_key;
  if (options.contains("pkcs11-uri") || (tpm && pin)) return Unlocking::pin;
  return Unlocking::passphrase;
}

/// By the names of their lines: how somebody is asked, if so (crypttab(5)).
using Lines = std::map<std::string, std::optional<Unlocking>>;

void read_crypttab(const std::string& text, Lines& lines) {
  for (const auto& line : lines_of(text)) {
    const auto words = words_of(line);
    if (words.empty() || words[0].starts_with('#')) continue;
    const auto key = words.size() > 2 ? words[2] : std::string("none");
    const bool has_key = key != "none" && key != "-";
    const auto options = options_in(words.size() > 3 ? words[3] : std::string());
    lines[words[0]] = has_key ? std::nullopt : asked_by(options);
  }
}

/// Where no key is named, this one is taken.
bool has_key_file(const std::string& name, const std::string& root) {
  constexpr std::array<std::string_view, 2> directories = {"/etc/cryptsetup-keys.d/",
                                                           "/run/cryptsetup-keys.d/"};
  return std::any_of(directories.begin(), directories.end(), [&](std::string_view directory) {
    const auto path = std::string(root).append(directory).append(name).append(".key");
    return ::access(path.c_str(), F_OK) == 0;
  });
}

/// Whether the command line says what opens a volume (systemd-cryptsetup-generator(8), and
/// mkinitcpio's cryptkey=). Of which one is not looked at.
bool cmdline_names_key(const std::string& cmdline) {
  for (const auto& word : parse_cmdline(cmdline).words) {
    const std::string_view value = word.value ? std::string_view(*word.value) : "";
    if (value.empty()) continue;
    const auto& name = word.name;
    if (name == "rd.luks.key" || name == "luks.key" || name == "cryptkey") return true;
    if (name != "rd.luks.options" && name != "luks.options") continue;
    // "UUID=OPTIONS", or options for all.
    const auto uuid = value.find_first_not_of("0123456789abcdefABCDEF-");
    const bool has_uuid = uuid != 0 && uuid != std::string_view::npos && value[uuid] == '=';
    if (!asked_by(options_in(has_uuid ? value.substr(uuid + 1) : value))) return true;
  }
  return false;
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

/// Of the root file system's, also one that only the initrd knows of (rd.luks.uuid=).
std::optional<Unlocking> asked_for(const LockedVolume& volume, const Lines& lines,
                                   bool cmdline_opens) {
  if (volume.holds_root && cmdline_opens) return std::nullopt;
  const auto line = lines.find(volume.name);
  if (line != lines.end()) return line->second;
  return volume.holds_root ? std::optional(Unlocking::passphrase) : std::nullopt;
}

}  // namespace

std::vector<LockedVolume> locked_volumes(const std::string& target_cmdline,
                                         const std::optional<InitrdFacts>& initrd,
                                         const std::string& root) {
  Lines of_initrd;
  if (initrd) read_crypttab(initrd->crypttab, of_initrd);
  Lines lines;
  read_crypttab(text_in(root + "/etc/crypttab"), lines);
  // What mkinitcpio puts into an image as its crypttab.
  read_crypttab(text_in(root + "/etc/crypttab.initramfs"), lines);
  for (const auto& [name, by] : of_initrd) lines[name] = by;

  std::set<std::string> below_root;
  const auto device = root_device(root);
  if (!device.empty()) add_below(device, root, below_root);
  std::vector<std::string> names;
  for (const auto& block : names_in_directory(root + "/sys/block")) {
    if (auto name = crypt_name(block, root)) names.push_back(std::move(*name));
  }
  for (const auto& [name, by] : of_initrd) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }

  const bool cmdline_opens = cmdline_names_key(target_cmdline);
  const bool clevis_in_initrd = initrd && initrd->has_clevis;
  const bool clevis_later = !enabled_unit({"clevis-luks-askpass.path"}, root).empty();
  std::vector<LockedVolume> found;
  for (const auto& name : names) {
    LockedVolume volume{name, below_root.contains(name), of_initrd.contains(name)};
    if (has_key_file(name, root)) continue;
    const auto by = asked_for(volume, lines, cmdline_opens);
    if (!by) continue;
    const bool early = volume.holds_root || volume.in_initrd;
    volume.by = (early ? clevis_in_initrd : clevis_later) ? Unlocking::none : *by;
    found.push_back(std::move(volume));
  }
  return found;
}

}  // namespace handover::system
