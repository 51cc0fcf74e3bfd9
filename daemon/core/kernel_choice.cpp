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

std::string_view name_in(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

/// What the name of a file says, or its directory.
std::string said_release(std::string_view path) {
  const auto name = name_of_image(name_in(path));
  return is_release(name) ? name : release_of_directory(path);
}

bool may_be_image(const FoundImage& image) {
  const auto file = name_in(image.path);
  if (image.real.empty() || is_companion(file)) return false;
  return !name_of_image(file).empty() || !release_of_directory(image.path).empty();
}

/// The release of an image that may be taken without having been named. "" if it may not.
std::string release_of(const FoundImage& image, const std::set<std::string>& modules) {
  if (!may_be_image(image) || is_special(name_in(image.path))) return {};
  const auto said = said_release(image.path);
  if (said.empty()) {
    // A link without a version stands for one that is listed itself. Arch and Alpine have files.
    if (image.is_link || !modules.contains(image.release)) return {};
    return image.release;
  }
  if (!image.is_link) return said;
  const auto points_to = said_release(image.real);
  const auto& is = points_to.empty() ? image.release : points_to;
  return is == said ? said : std::string();
}

std::vector<Candidate> candidates_in(const BootListing& listing) {
  std::vector<Candidate> found;
  for (const FoundImage& image : listing.images) {
    auto release = release_of(image, listing.modules);
    if (!release.empty()) found.push_back({image.path, std::move(release), nullptr});
  }
  for (const BootEntry& entry : listing.entries) {
    const bool foreign = !entry.machine_id.empty() && !listing.machine_id.empty() &&
                         entry.machine_id != listing.machine_id;
    if (foreign || entry.tries_left == 0U || entry.release.empty()) continue;
    if (is_special(entry.id) || is_special(entry.title) || is_special(entry.release)) continue;
    found.push_back({entry.uki.empty() ? entry.linux : entry.uki, entry.release, &entry});
  }
  return found;
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
    if (place == nullptr || version_less(place->release, candidate.release)) place = &candidate;
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

}  // namespace

bool must_be_asked(const FoundImage& image) {
  if (!may_be_image(image) || is_special(name_in(image.path))) return false;
  if (said_release(image.path).empty()) return !image.is_link;
  return image.is_link && said_release(image.real).empty();
}

Result<KernelChoice> choose_kernel(std::string_view wanted, const BootListing& listing,
                                   std::string_view running) {
  if (wanted.empty() || wanted == "newest") return newest(listing, running);
  if (wanted == "default") {
    const auto* entry = default_entry(listing.entries, listing.loader_conf);
    if (entry != nullptr) return by_entry(*entry, "what the boot loader boots by default");
    return fail(ErrorCode::kernel_not_found,
                "there is no boot loader entry (loader/entries/*.conf, EFI/Linux/*.efi), so that "
                "none is the default; name a kernel");
  }
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
  for (const FoundImage& image : listing.images) {
    if (!may_be_image(image)) continue;
    if (wanted == name_of_image(name_in(image.path)) || wanted == said_release(image.path) ||
        wanted == image.release) {
      return KernelChoice{image.path, said_release(image.path), std::nullopt,
                          "the image of the release that was named"};
    }
  }
  if (const auto* entry = find_entry(listing.entries, wanted); entry != nullptr) {
    return by_entry(*entry, "the entry that was named");
  }
  for (const BootEntry& entry : listing.entries) {
    if (wanted == entry.release) return by_entry(entry, "the entry of the release that was named");
  }
  return none_found("there is no kernel and no boot loader entry of the name " + in_quotes(wanted),
                    listing, "name one of them, or the path of another");
}

}  // namespace handover
