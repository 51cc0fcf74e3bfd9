// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/default_boot.h"

#include <unistd.h>

#include <initializer_list>
#include <utility>

#include "core/boot_default.h"
#include "core/boot_entry.h"
#include "core/text.h"
#include "system/small_files.h"

namespace handover::system {
namespace {

std::string program_named(const std::string& root, std::initializer_list<const char*> names) {
  for (const std::string name : names) {
    for (const std::string place : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"}) {
      auto path = std::string(root).append(place).append(name);
      if (::access(path.c_str(), X_OK) == 0) return path;
    }
  }
  return {};
}

std::string first_text(const std::string& root, std::initializer_list<const char*> paths) {
  for (const std::string path : paths) {
    auto text = text_in(root + path);
    if (!text.empty()) return text;
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> default_boot_command(const std::string& entry,
                                                      const std::string& release,
                                                      const std::string& root) {
  BootDefaultFacts facts;
  facts.entry = entry;
  facts.release = release;
  facts.loader_conf = first_text(root, {"/efi/loader/loader.conf", "/boot/efi/loader/loader.conf",
                                        "/boot/loader/loader.conf"});
  facts.grub_cfg = first_text(root, {"/boot/grub2/grub.cfg", "/boot/grub/grub.cfg"});
  facts.bootctl = program_named(root, {"bootctl"});
  facts.grub_tool = program_named(root, {"grub2-set-default", "grub-set-default"});
  auto command = boot_default_command(facts);
  if (!command || ::access((root + "/run/systemd/system").c_str(), F_OK) != 0) return command;
  auto runner = program_named(root, {"systemd-run"});
  if (runner.empty()) return command;
  std::vector<std::string> whole = {std::move(runner), "--quiet",   "--wait",
                                    "--pipe",          "--collect", "--"};
  for (auto& word : *command) whole.push_back(std::move(word));
  return whole;
}

Result<void> check_default_boot(const std::vector<std::string>& command, const std::string& root) {
  const char* block = nullptr;
  for (const auto& word : command) {
    if (word.ends_with("/grub-set-default")) block = "/boot/grub/grubenv";
    if (word.ends_with("/grub2-set-default")) block = "/boot/grub2/grubenv";
  }
  if (block == nullptr) return {};
  const auto saved = grub_default(first_text(root, {block}));
  if (saved == command.back()) return {};
  return fail(ErrorCode::io, std::string(block) +
                                 " (GRUB's environment block) has not taken entry " +
                                 in_quotes(command.back()));
}

}  // namespace handover::system
