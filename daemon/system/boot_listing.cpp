// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/boot_listing.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/efi_variable.h"
#include "core/pe_image.h"
#include "core/unique_fd.h"
#include "system/disk.h"
#include "system/files.h"
#include "system/kernel_image.h"
#include "system/kexec.h"
#include "system/regular_file.h"
#include "system/uki.h"

namespace handover::system {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t entry_limit = 64U << 10U;
constexpr std::size_t most_files = 4096;

UniqueFd open_to_read(const std::string& path) {
  auto fd = open_regular(path);
  return fd ? std::move(*fd) : UniqueFd();
}

std::string small_text(const std::string& path) {
  const auto fd = open_to_read(path);
  if (!fd) return {};
  return read_fd(fd.get(), entry_limit).value_or("");
}

/// By the vendor id of boot loaders (systemd's BOOT_LOADER_INTERFACE).
std::string loader_variable(const std::string& root, const std::string& name) {
  const auto directory = root + "/sys/firmware/efi/efivars/";
  return text_of_efi_variable(
      small_text(directory + name + "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"));
}

/// Names in a directory, sorted.
std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (const fs::directory_iterator end; !error && entry != end && names.size() < most_files;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

FoundImage found_image(const std::string& path) {
  FoundImage image{path, {}};
  std::error_code error;
  image.is_link = fs::is_symlink(path, error);
  const auto real = fs::canonical(path, error);
  if (!error && fs::is_regular_file(real, error)) image.real = real.string();
  if (!must_be_asked(image)) return image;
  if (const auto fd = open_to_read(path)) image.release = image_release(fd.get(), path);
  return image;
}

bool has_kernel(const BootEntry& entry) {
  std::error_code error;
  return fs::is_regular_file(entry.uki.empty() ? entry.linux : entry.uki, error);
}

/// Where /boot is no file system of its own, GRUB's tools and ostree write paths from the root of
/// the one that it lies in: "/boot/vmlinuz-…".
bool reads_from_above(BootEntry& entry, const std::string& root) {
  const auto above = root.substr(0, root.rfind('/'));
  const auto from_above = [&](const std::string& path) {
    return path.empty() ? path : above + path.substr(root.size());
  };
  BootEntry moved = entry;
  moved.linux = from_above(entry.linux);
  moved.uki = from_above(entry.uki);
  for (auto& initrd : moved.initrds) initrd = from_above(initrd);
  if (!has_kernel(moved)) return false;
  entry = std::move(moved);
  return true;
}

/// NixOS and Arch call their kernels by no release, and a unified image need not say it (.uname).
std::string release_in(const BootEntry& entry) {
  auto image = open_kernel(entry.uki.empty() ? entry.linux : entry.uki);
  if (!image || !take_apart(*image)) return {};
  return image_release(image->kernel.get(), image->kernel_path);
}

void add_entries(const std::string& root, BootListing& listing) {
  const auto add = [&listing, &root](BootEntry entry) {
    const auto same = [&entry](const BootEntry& other) { return other.id == entry.id; };
    // The same file system may be mounted at two places.
    if (std::any_of(listing.entries.begin(), listing.entries.end(), same)) return;
    if (!has_kernel(entry) && !reads_from_above(entry, root)) return;
    if (entry.release.empty()) entry.release = release_in(entry);
    listing.entries.push_back(std::move(entry));
  };
  const auto entries = root + "/loader/entries/";
  for (const auto& name : names_in(entries)) {
    if (!name.ends_with(".conf") || name.starts_with('.')) continue;
    auto entry = parse_boot_entry(entries + name, root, small_text(entries + name));
    if (entry) add(std::move(*entry));
  }
  const auto unified = root + "/EFI/Linux/";
  for (const auto& name : names_in(unified)) {
    if (!name.ends_with(".efi") || name.starts_with('.')) continue;
    const auto fd = open_to_read(unified + name);
    if (!fd) continue;
    if (const auto head = read_uki_head(fd.get())) {
      add(entry_of_uki(unified + name, head->osrel, head->uname, head->cmdline));
    }
  }
  if (listing.loader_conf.empty()) listing.loader_conf = small_text(root + "/loader/loader.conf");
}

}  // namespace

Result<void> boot_answers(const std::string& root) {
  for (const char* place : {"/boot", "/efi"}) {
    auto answers = disk_answers(root + place);
    // What else is in the way shows when it is looked into.
    if (!answers && answers.error().sys_errno == ETIMEDOUT) return answers;
  }
  return {};
}

BootListing boot_listing(const std::string& root) {
  BootListing listing;
  std::string machine_id = small_text(root + "/etc/machine-id");
  listing.machine_id = machine_id.substr(0, machine_id.find('\n'));
  const auto modules = root + "/lib/modules/";
  for (const auto& release : names_in(modules)) {
    std::error_code error;
    if (fs::is_directory(modules + release, error)) listing.modules.insert(release);
  }
  const fs::path boot(root + "/boot");
  for (const auto& name : names_in(boot)) {
    listing.images.push_back(found_image(boot / name));
  }
  for (const auto& release : listing.modules) {
    auto image = found_image(fs::path(modules) / release / "vmlinuz");
    if (!image.real.empty()) listing.images.push_back(std::move(image));
  }
  for (const char* place : {"/boot", "/efi", "/boot/efi"}) add_entries(root + place, listing);
  listing.loader_variables.entry_default = loader_variable(root, "LoaderEntryDefault");
  listing.loader_variables.last_booted = loader_variable(root, "LoaderEntryLastBooted");
  for (const char* place : {"/boot/grub2/grubenv", "/boot/grub/grubenv"}) {
    if (listing.grubenv.empty()) listing.grubenv = small_text(root + place);
  }
  return listing;
}

}  // namespace handover::system
