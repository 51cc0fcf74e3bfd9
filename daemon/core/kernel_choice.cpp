// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_choice.h"

#include <algorithm>

#include "core/kernel_name.h"
#include "core/text.h"
#include "core/version_order.h"

namespace handover {
namespace {

struct Candidate {
  std::string path;
  std::string release;
  const BootEntry* entry = nullptr;
};

/// The release of the image that a link leads to; "" if it is not known.
std::string linked_release(const FoundImage& image) {
  auto said = release_of_path(image.real);
  return said.empty() ? image.release : said;
}

bool may_be_image(const FoundImage& image) {
  const auto file = file_of(image.path);
  if (image.real.empty() || is_companion(file)) return false;
  return !name_of_image(file).empty() || !release_of_directory(image.path).empty();
}

/// The release of an image that may be taken without having been named. "" if it may not.
std::string release_of(const FoundImage& image, const std::set<std::string>& modules) {
  if (!may_be_image(image) || is_special(file_of(image.path))) return {};
  auto said = release_of_path(image.path);
  if (said.empty()) {
    // A link without a version stands for one that is listed itself. Arch and Alpine have files.
    if (image.is_link || !modules.contains(image.release)) return {};
    return image.release;
  }
  return !image.is_link || linked_release(image) == said ? said : std::string();
}

/// Below /lib/modules. No initrd lies beside it.
bool is_of_modules(const FoundImage& image) {
  return file_of(image.path) == "vmlinuz" && !release_of_directory(image.path).empty();
}

/// kernel-install puts the id of its machine in front.
bool is_of_another_machine(const BootEntry& entry, const std::string& machine_id) {
  constexpr std::size_t id_size = 32;
  if (machine_id.empty()) return false;
  if (!entry.machine_id.empty()) return entry.machine_id != machine_id;
  const auto first = entry.id.substr(0, entry.id.find('-'));
  return first.size() == id_size && first != machine_id &&
         first.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool may_be_taken(const BootEntry& entry, const BootListing& listing) {
  return !is_of_another_machine(entry, listing.machine_id) && entry.tries_left != 0U &&
         !entry.release.empty();
}

/// In the order in which those of one release are preferred.
std::vector<Candidate> candidates_in(const BootListing& listing) {
  std::vector<Candidate> found;
  const auto add_images = [&](bool of_modules) {
    for (const FoundImage& image : listing.images) {
      if (is_of_modules(image) != of_modules) continue;
      auto release = release_of(image, listing.modules);
      if (!release.empty()) found.push_back({image.path, std::move(release), nullptr});
    }
  };
  add_images(false);
  for (const BootEntry& entry : listing.entries) {
    if (!may_be_taken(entry, listing)) continue;
    if (is_special(entry.id) || is_special(entry.title) || is_special(entry.release)) continue;
    found.push_back({entry.uki.empty() ? entry.linux : entry.uki, entry.release, &entry});
  }
  add_images(true);
  return found;
}

/// Whether `a` is to be taken rather than `b`, which was found earlier.
bool is_better(const Candidate& a, const Candidate& b) {
  if (version_less(b.release, a.release)) return true;
  if (version_less(a.release, b.release) || a.entry == nullptr || b.entry == nullptr) return false;
  return menu_order(*a.entry, *b.entry);
}

/// "7.3.4" of "7.3.4-rt-amd64": flavours of one version are not older than each other.
std::string_view plain_version(std::string_view release) {
  return release.substr(0, release.find_first_not_of("0123456789."));
}

KernelChoice by_entry(const BootEntry& entry, std::string why) {
  return {entry.uki.empty() ? entry.linux : entry.uki, entry.release, entry, std::move(why)};
}

std::string kind(std::string_view release) {
  const auto flavour = flavour_of(release);
  return flavour.empty() ? "that of a plain version" : in_quotes(flavour);
}

tl::unexpected<Error> none_found(const std::string& what, const BootListing& listing,
                                 const std::string& what_to_do) {
  std::vector<std::string> there;
  for (const FoundImage& image : listing.images) {
    if (may_be_image(image)) there.push_back(printable(image.path));
  }
  for (const BootEntry& entry : listing.entries) there.push_back(printable(entry.id));
  return fail(ErrorCode::kernel_not_found,
              what + (there.empty() ? "" : "; there is " + few_of(there)) + "; " + what_to_do);
}

Result<KernelChoice> newest(const BootListing& listing, std::string_view running) {
  const auto flavour = flavour_of(running);
  const Candidate* best = nullptr;
  const Candidate* other = nullptr;
  std::set<std::string> releases;
  const auto candidates = candidates_in(listing);
  for (const Candidate& candidate : candidates) {
    const bool same = flavour_of(candidate.release) == flavour;
    if (same) releases.insert(candidate.release);
    auto& place = same ? best : other;
    if (place == nullptr || is_better(candidate, *place)) place = &candidate;
  }
  if (best == nullptr) {
    return none_found("there is no kernel of the running one's kind (" + printable(running) + ": " +
                          kind(running) +
                          ") in /boot, below /lib/modules or in a boot loader entry",
                      listing, "install one, or name one (handoverctl update KERNEL)");
  }
  KernelChoice choice{best->path, best->release, std::nullopt, {}};
  if (best->entry != nullptr) choice.entry = *best->entry;
  choice.why = releases.size() == 1
                   ? "the only kernel of the running one's kind (" + kind(running) + ")"
                   : "the newest of " + std::to_string(releases.size()) +
                         " kernels of the running one's kind (" + kind(running) + ")";
  if (other != nullptr &&
      version_less(plain_version(best->release), plain_version(other->release))) {
    choice.why += "; " + printable(other->path) + " is newer and of another kind (" +
                  kind(other->release) + ")";
  }
  return choice;
}

Result<KernelChoice> by_default(const BootListing& listing) {
  // Its menu is in the same order, but what it boots is written down elsewhere.
  const bool is_grubs = listing.loader_conf.empty() &&
                        listing.loader_variables.entry_default.empty() && !listing.grubenv.empty();
  if (is_grubs) {
    const auto saved = grub_default(listing.grubenv);
    const auto* entry = find_entry(listing.entries, saved);
    if (entry != nullptr) return by_entry(*entry, "what GRUB boots by default");
    if (!saved.empty()) {
      return fail(ErrorCode::kernel_not_found,
                  "GRUB's environment (grubenv) says saved_entry=" + printable(saved) +
                      ", which is the number, title or id of an entry of grub.cfg, and no entry of "
                      "loader/entries; name a kernel");
    }
    return fail(ErrorCode::kernel_not_found,
                "GRUB's environment (grubenv) does not say by saved_entry= which entry is the "
                "default; name a kernel");
  }
  const auto* entry = default_entry(listing.entries, listing.loader_conf, listing.loader_variables);
  if (entry != nullptr) return by_entry(*entry, "what the boot loader boots by default");
  return fail(ErrorCode::kernel_not_found,
              "there is no boot loader entry (loader/entries/*.conf, EFI/Linux/*.efi), so that "
              "none is the default; name a kernel");
}

/// A link that says another release than that of its image is not what was meant.
bool is_misnamed(const FoundImage& image) {
  if (!image.is_link) return false;
  const auto said = release_of_path(image.path);
  const auto is = linked_release(image);
  return !said.empty() && !is.empty() && is != said;
}

std::optional<KernelChoice> image_of(std::string_view wanted, const BootListing& listing,
                                     bool of_modules) {
  for (const FoundImage& image : listing.images) {
    if (!may_be_image(image) || is_misnamed(image) || is_of_modules(image) != of_modules) continue;
    const auto said = release_of_path(image.path);
    if (wanted == name_of_image(file_of(image.path)) || wanted == said || wanted == image.release) {
      return KernelChoice{image.path, said, std::nullopt,
                          "the image of the release that was named"};
    }
  }
  return std::nullopt;
}

const BootEntry* entry_of(std::string_view release, const BootListing& listing) {
  return first_in_menu(listing.entries, [&](const BootEntry& entry) {
    return entry.release == release && may_be_taken(entry, listing);
  });
}

}  // namespace

std::vector<InstalledKernel> installed_kernels(const BootListing& listing) {
  std::vector<InstalledKernel> found;
  std::set<std::string> files;
  std::set<std::string> releases;
  const auto add = [&](const std::string& path, const std::string& real, std::string release) {
    if (!files.insert(real).second) return;
    releases.insert(release);
    found.push_back({path, std::move(release)});
  };
  const auto add_images = [&](bool of_modules) {
    for (const FoundImage& image : listing.images) {
      if (image.is_link || !may_be_image(image) || is_special(file_of(image.path))) continue;
      if (is_of_modules(image) != of_modules) continue;
      auto release = release_of_path(image.path);
      if (release.empty()) release = image.release;
      if (of_modules && releases.contains(release)) continue;
      add(image.path, image.real, std::move(release));
    }
  };
  add_images(false);
  for (const BootEntry& entry : listing.entries) {
    if (is_special(entry.id) || is_special(entry.title) || is_special(entry.release)) continue;
    const auto& path = entry.uki.empty() ? entry.linux : entry.uki;
    add(path, path, entry.release);
  }
  add_images(true);
  return found;
}

bool must_be_asked(const FoundImage& image) {
  if (!may_be_image(image) || is_special(file_of(image.path))) return false;
  if (release_of_path(image.path).empty()) return !image.is_link;
  return image.is_link && release_of_path(image.real).empty();
}

Result<KernelChoice> choose_kernel(std::string_view wanted, const BootListing& listing,
                                   std::string_view running) {
  if (wanted.empty() || wanted == "newest") return newest(listing, running);
  if (wanted == "default") return by_default(listing);
  if (wanted.find('/') != std::string_view::npos) {
    if (!wanted.starts_with('/')) {
      return fail(ErrorCode::invalid_argument, "the kernel " + in_quotes(wanted) +
                                                   " is a path that does not begin with '/': name "
                                                   "it from the root");
    }
    const auto* entry = find_entry(listing.entries, wanted);
    if (entry != nullptr && entry->uki.empty()) return by_entry(*entry, "the entry that was named");
    return KernelChoice{std::string(wanted), {}, std::nullopt, "the path that was named"};
  }
  if (auto found = image_of(wanted, listing, false)) return *found;
  if (const auto* entry = find_entry(listing.entries, wanted); entry != nullptr) {
    return by_entry(*entry, "the entry that was named");
  }
  if (const auto* entry = entry_of(wanted, listing); entry != nullptr) {
    return by_entry(*entry, "the entry of the release that was named");
  }
  if (auto found = image_of(wanted, listing, true)) return *found;
  return none_found("there is no kernel and no boot loader entry of the name " + in_quotes(wanted),
                    listing, "name one of them, or the path of another");
}

}  // namespace handover
