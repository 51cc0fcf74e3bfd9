// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_name.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/ascii.h"

namespace handover {
namespace {

bool is_all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

std::string_view after_digits(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of("0123456789"), text.size()));
}

/// "gabcdef012345" (LOCALVERSION_AUTO), "251107g4a0c9b339199" (Fedora's development kernels).
bool is_commit(std::string_view word) {
  constexpr std::size_t shortest = 7;
  word = after_digits(word);
  if (!word.starts_with('g')) return false;
  word.remove_prefix(word.starts_with("git") ? 3 : 1);
  return word.size() >= shortest &&
         word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// "061800rc3" (Ubuntu's mainline kernels).
bool is_candidate(std::string_view word) {
  word = after_digits(word);
  return word.starts_with("rc") && is_all_digits(word.substr(2));
}

/// "rc5", "r1" (Gentoo's revision), "git20210128", "deb13", "bpo12": of a version, not of a kind.
bool is_version_word(std::string_view word) {
  if (is_all_digits(word) || word == "bpo" || word == "dirty") return true;
  if (is_commit(word) || is_candidate(word)) return true;
  // Void's revision: "6.6.14_1".
  if (word.starts_with('_')) return is_all_digits(word.substr(1));
  for (const std::string_view prefix : {"rc", "r", "deb", "bpo", "git"}) {
    if (word.starts_with(prefix) && is_digit(word.back())) {
      word.remove_prefix(prefix.size());
      return is_digit(word.front());
    }
  }
  return false;
}

/// "fc44" and "fc45" are one distribution, "zen1" and "zen2" one kind; "amd64" and "v8" are not a
/// number of anything. "el9uek" is another kind than "el9".
std::string without_number(std::string_view word) {
  const auto digits = std::find_if_not(word.begin(), word.end(), is_lower);
  const auto name = word.substr(0, static_cast<std::size_t>(digits - word.begin()));
  const auto number = word.substr(name.size());
  const auto rest = number.substr(std::min(number.find_first_not_of("0123456789_"), number.size()));
  const bool is_distribution = name == "el" || name == "fc" || name == "mga";
  if (name.size() < 2 || number == rest || number == "64" || number == "32") {
    return std::string(word);
  }
  if (!rest.empty() && !is_distribution) return std::string(word);
  return std::string(name) + std::string(rest);
}

/// The last part of a path, which is taken off it.
std::string_view take_last(std::string_view& path) {
  const auto last = file_of(path);
  path.remove_suffix(std::min(path.size(), last.size() + 1));
  return last;
}

}  // namespace

std::string_view file_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string name_of_image(std::string_view file) {
  for (const std::string_view prefix : {"vmlinuz-", "kernel-", "linux-", "bzImage-", "Image-"}) {
    if (file.starts_with(prefix)) return std::string(file.substr(prefix.size()));
  }
  return {};
}

bool is_release(std::string_view name) { return !name.empty() && is_digit(name.front()); }

bool is_companion(std::string_view file) {
  constexpr std::array<std::string_view, 21> endings = {
      ".old",    ".bak",     ".new",     ".tmp",  ".orig",   ".save", ".sig",
      ".sign",   ".asc",     ".p7s",     ".hmac", ".sha256", ".md5",  ".efi.signed",
      ".signed", ".rpmsave", ".rpmorig", "~",     ".img",    ".lock", ".rpmnew"};
  if (file.starts_with('.')) return true;
  if (file.find(".dpkg-") != std::string_view::npos) return true;
  if (file.find(".ucf-") != std::string_view::npos) return true;
  return std::any_of(endings.begin(), endings.end(),
                     [file](std::string_view ending) { return file.ends_with(ending); });
}

bool is_special(std::string_view name) {
  for (const std::string_view word : {"rescue", "kdump", "memtest", "recovery", "installer"}) {
    if (name.find(word) != std::string_view::npos) return true;
  }
  return false;
}

std::string flavour_of(std::string_view release) {
  // The version itself.
  const auto in_version = [](char c) { return is_digit(c) || c == '.'; };
  while (!release.empty() && in_version(release.front())) release.remove_prefix(1);
  std::string flavour;
  while (!release.empty()) {
    const auto end = std::min(release.find_first_of("-+.~"), release.size());
    const auto word = release.substr(0, end);
    release.remove_prefix(std::min(release.size(), end + 1));
    if (word.empty() || is_version_word(word)) continue;
    if (!flavour.empty()) flavour += '-';
    flavour += without_number(word);
  }
  return flavour;
}

std::string release_of_directory(std::string_view path) {
  const auto file = take_last(path);
  const auto release = take_last(path);
  const auto above = take_last(path);
  if (!is_release(release)) return {};
  if (file == "vmlinuz" && above == "modules") return std::string(release);
  const bool is_image = file == "linux" || file.starts_with("linux-");
  if (is_image && !above.empty()) return std::string(release);
  return {};
}

std::string release_of_path(std::string_view path) {
  auto release = release_of_directory(path);
  if (!release.empty()) return release;
  const auto name = name_of_image(file_of(path));
  return is_release(name) ? name : std::string();
}

}  // namespace handover
