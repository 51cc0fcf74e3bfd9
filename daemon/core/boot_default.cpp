// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/boot_default.h"

#include <cstddef>

#include "core/text.h"

namespace handover {
namespace {

std::string_view without_blanks(std::string_view line) {
  const auto begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
}

/// Of "menuentry 'Title' --class x $menuentry_id_option 'ID' {", as grub-mkconfig writes it
/// (util/grub.d/10_linux.in), or "--id ID".
std::string_view id_of(std::string_view line) {
  for (const std::string_view option : {"$menuentry_id_option ", "--id "}) {
    const auto at = line.find(option);
    if (at == std::string_view::npos) continue;
    auto rest = line.substr(at + option.size());
    if (rest.empty()) return {};
    const char quote = rest.front();
    if (quote != '\'' && quote != '"') return rest.substr(0, rest.find_first_of(" \t{"));
    rest.remove_prefix(1);
    const auto end = rest.find(quote);
    return end == std::string_view::npos ? std::string_view() : rest.substr(0, end);
  }
  return {};
}

bool is_word(std::string_view line, std::string_view word) {
  return line.starts_with(word) && line.size() > word.size() &&
         (line[word.size()] == ' ' || line[word.size()] == '\t');
}

/// It may be passed on as one argument, and means nothing but itself.
bool is_plain_id(std::string_view id) {
  constexpr std::size_t most = 512;
  return !id.empty() && id.size() <= most && id.front() != '-' &&
         id.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "-_.+~:@") == std::string_view::npos;
}

bool boots_what_is_saved(std::string_view grub_cfg) {
  // util/grub.d/00_header.in, with GRUB_DEFAULT=saved.
  return grub_cfg.find("set default=\"${saved_entry}\"") != std::string_view::npos;
}

Result<std::vector<std::string>> by_grub(const BootDefaultFacts& facts) {
  if (facts.grub_tool.empty()) {
    return fail(ErrorCode::not_supported, "GRUB boots this host, and there is no grub-set-default");
  }
  if (!boots_what_is_saved(facts.grub_cfg)) {
    return fail(
        ErrorCode::not_supported,
        "GRUB does not boot what is saved: set GRUB_DEFAULT=saved in /etc/default/grub, and "
        "make grub.cfg again");
  }
  // Fedora's has its menu from loader/entries, whose ids have no ending.
  if (facts.grub_cfg.find("blscfg") != std::string::npos && !facts.entry.empty()) {
    auto id = facts.entry;
    if (id.ends_with(".conf")) id.resize(id.size() - 5);
    if (!is_plain_id(id)) {
      return fail(ErrorCode::not_supported,
                  "the id " + in_quotes(id) + " cannot be passed to GRUB");
    }
    return std::vector<std::string>{facts.grub_tool, std::move(id)};
  }
  auto id = grub_entry_id(facts.grub_cfg, facts.release);
  if (!id) return fail(id.error());
  return std::vector<std::string>{facts.grub_tool, std::move(*id)};
}

}  // namespace

Result<std::string> grub_entry_id(std::string_view grub_cfg, std::string_view release) {
  const auto wanted = "gnulinux-" + std::string(release) + "-advanced-";
  std::vector<std::string_view> around;  // one for each open brace; "": no submenu
  while (!grub_cfg.empty()) {
    const auto end = grub_cfg.find('\n');
    const auto line = without_blanks(grub_cfg.substr(0, end));
    grub_cfg.remove_prefix(end == std::string_view::npos ? grub_cfg.size() : end + 1);
    const bool is_entry = is_word(line, "menuentry");
    if (is_entry && !release.empty() && id_of(line).starts_with(wanted)) {
      std::string path;
      for (const auto id : around) {
        if (!id.empty()) path += std::string(id) + ">";
      }
      bool plain = is_plain_id(id_of(line));
      for (const auto id : around) plain = plain && (id.empty() || is_plain_id(id));
      if (plain) return path + std::string(id_of(line));
    }
    if (line.ends_with('{')) {
      around.push_back(is_word(line, "submenu") ? id_of(line) : std::string_view());
    } else if (line == "}" && !around.empty()) {
      around.pop_back();
    }
  }
  return fail(ErrorCode::kernel_not_found, "grub.cfg has no entry with an id for release " +
                                               in_quotes(release) +
                                               " (gnulinux-RELEASE-advanced-UUID)");
}

Result<std::vector<std::string>> boot_default_command(const BootDefaultFacts& facts) {
  if (facts.loader_conf.empty() && !facts.grub_cfg.empty()) return by_grub(facts);
  if (facts.bootctl.empty()) {
    return fail(ErrorCode::not_supported, "there is neither bootctl nor a GRUB that is known");
  }
  if (facts.entry.empty()) {
    return fail(ErrorCode::not_supported,
                "the kernel was not found by a boot loader entry, so that bootctl cannot name it");
  }
  if (!is_plain_id(facts.entry)) {
    return fail(ErrorCode::not_supported,
                "the id " + in_quotes(facts.entry) + " cannot be passed to bootctl");
  }
  return std::vector<std::string>{facts.bootctl, "set-default", facts.entry};
}

}  // namespace handover
