// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/target.h"

#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>

#include "core/kernel_choice.h"
#include "core/text.h"
#include "system/boot_listing.h"
#include "system/initrd.h"
#include "system/uki.h"

namespace handover::system {
namespace {

/// GRUB's own variables ("$tuned_params") mean nothing to a kernel.
std::string without_variables(const std::string& options) {
  std::string kept;
  std::istringstream words(options);
  for (std::string word; words >> word;) {
    if (!word.starts_with('$')) kept += (kept.empty() ? "" : " ") + word;
  }
  return kept;
}

/// "" if no entry says more than the image: a unified one says all.
std::string entry_path(const KernelChoice& choice) {
  return choice.entry && choice.entry->uki.empty() ? choice.entry->source : std::string();
}

/// The first entry of the menu with that file, or nullptr: the boot loader knows the image by it.
const BootEntry* entry_with(const std::string& kernel, const BootListing& listing) {
  return first_in_menu(listing.entries, [&kernel](const BootEntry& entry) {
    std::error_code error;
    return std::filesystem::equivalent(entry.uki.empty() ? entry.linux : entry.uki, kernel, error);
  });
}

}  // namespace

Result<FoundTarget> find_target(UpdateOptions& options, const std::string& running,
                                const std::string& root) {
  if (auto answers = boot_answers(root); !answers) return fail(answers.error());
  const auto listing = boot_listing(root);
  auto choice = choose_kernel(options.kernel, listing, running);
  if (!choice) return fail(choice.error());
  options.kernel = choice->path;
  options.entry = entry_path(*choice);
  auto image = open_kernel(choice->path);
  if (!image) return fail(image.error());
  FoundTarget target{std::move(*image), std::move(choice->why), {}, {}, {}, {}, false};
  if (choice->entry) {
    target.entry = choice->entry->id;
    target.cmdline = without_variables(choice->entry->options);
    target.initrds = choice->entry->initrds;
  } else if (const auto* entry = entry_with(choice->path, listing); entry != nullptr) {
    target.entry = entry->id;
  }
  auto unified = take_apart(target.image);
  if (!unified) return fail(unified.error());
  if (*unified && !(*unified)->empty()) target.cmdline = **unified;
  if (*unified) target.addons = uki_addons(options.kernel);
  return target;
}

bool means_target(const std::string& wanted, const UpdateOptions& have, const std::string& running,
                  const std::string& root) {
  if (!boot_answers(root)) return false;
  const auto choice = choose_kernel(wanted, boot_listing(root), running);
  if (!choice) return false;
  const auto entry = entry_path(*choice);
  if (!entry.empty() && entry != have.entry) return false;
  std::error_code error;
  return choice->path == have.kernel ||
         std::filesystem::equivalent(choice->path, have.kernel, error);
}

Result<void> open_its_initrd(FoundTarget& target, UpdateOptions& options,
                             const std::string& release, const std::string& root) {
  if (options.initrd && !options.initrd->empty() && !options.initrd->starts_with('/')) {
    return fail(ErrorCode::invalid_argument, "the initrd " + in_quotes(*options.initrd) +
                                                 " is a path that does not begin with '/': name "
                                                 "it from the root");
  }
  if (options.initrd) return open_initrd(target.image, *options.initrd);
  if (target.image.initrd) return {};
  if (!target.initrds.empty()) {
    if (target.initrds.size() == 1) options.initrd = target.initrds.front();
    return open_initrds(target.image, target.initrds);
  }
  options.initrd = find_initrd(options.kernel, release, root);
  target.no_initrd_found = options.initrd->empty();
  return open_initrd(target.image, *options.initrd);
}

}  // namespace handover::system
