// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cpio_walk.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace handover {
namespace {

// Documentation/driver-api/early-userspace/buffer-format.rst
constexpr std::size_t cpio_header_bytes = 110;
constexpr std::size_t size_field = 54;
constexpr std::size_t name_size_field = 94;
constexpr std::size_t longest_name = 4096;
constexpr std::size_t most_releases = 64;
constexpr std::size_t most_crypttab_bytes = std::size_t{64} << 10U;

std::optional<std::uint64_t> hexadecimal(std::string_view header, std::size_t at) {
  std::uint64_t value = 0;
  const auto* begin = header.data() + at;
  const auto [end, error] = std::from_chars(begin, begin + 8, value, 16);
  if (error != std::errc{} || end != begin + 8) return std::nullopt;
  return value;
}

constexpr std::uint64_t up_to_four(std::uint64_t bytes) { return (bytes + 3) & ~UINT64_C(3); }

/// "7.3.4" of "usr/lib/modules/7.3.4/modules.dep".
std::string release_below_modules(std::string_view path) {
  for (const std::string_view prefix : {"./", "/", "usr/"}) {
    if (path.starts_with(prefix)) path.remove_prefix(prefix.size());
  }
  constexpr std::string_view modules = "lib/modules/";
  if (!path.starts_with(modules)) return {};
  path.remove_prefix(modules.size());
  return std::string(path.substr(0, path.find('/')));
}

/// Documentation/arch/x86/microcode.rst: kernel/x86/microcode/GenuineIntel.bin; with the
/// directories above it, and what AMD's and Intel's tools put beside it (early_cpio).
bool is_of_microcode(std::string_view path) {
  for (const std::string_view prefix : {"./", "/"}) {
    if (path.starts_with(prefix)) path.remove_prefix(prefix.size());
  }
  for (const std::string_view part :
       {"", ".", "kernel", "kernel/x86", "kernel/x86/microcode", "early_cpio"}) {
    if (path == part) return true;
  }
  return path.starts_with("kernel/x86/microcode/");
}

bool is_crypttab(std::string_view path) {
  for (const std::string_view prefix : {"./", "/"}) {
    if (path.starts_with(prefix)) path.remove_prefix(prefix.size());
  }
  return path == "etc/crypttab" || path == "cryptroot/crypttab";
}

/// "usr/bin/clevis", "usr/bin/clevis-luks-unlock", a hook of dracut's.
bool is_of_clevis(std::string_view path) {
  const auto slash = path.rfind('/');
  const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return name == "clevis" || name.starts_with("clevis-");
}

}  // namespace

/// Takes as many of `bytes` as `gathered_` lacks; returns the rest.
std::string_view CpioWalk::gather(std::string_view bytes, std::size_t wanted) {
  const auto taken = std::min(bytes.size(), wanted - gathered_.size());
  gathered_ += bytes.substr(0, taken);
  offset_ += taken;
  return bytes.substr(taken);
}

void CpioWalk::read_header() {
  const auto size = hexadecimal(gathered_, size_field);
  const auto name_size = hexadecimal(gathered_, name_size_field);
  const bool known = gathered_.starts_with("070701") || gathered_.starts_with("070702");
  if (!known || !size || !name_size || *name_size == 0 || *name_size > longest_name) {
    damaged_ = true;
    return;
  }
  name_bytes_ =
      static_cast<std::size_t>(up_to_four(cpio_header_bytes + *name_size)) - cpio_header_bytes;
  skip_ = up_to_four(*size);
  gathered_.clear();
  part_ = Part::name;
}

void CpioWalk::read_name() {
  const std::string_view name(gathered_.data(), std::min(gathered_.find('\0'), gathered_.size()));
  if (name == "TRAILER!!!") {
    ended_ = true;
  } else if (is_of_microcode(name)) {
    if (name.starts_with("kernel/x86/microcode/")) has_microcode_ = true;
  } else {
    other_files_ = true;
  }
  if (auto release = release_below_modules(name);
      !release.empty() && modules_.size() < most_releases) {
    modules_.insert(std::move(release));
  }
  if (is_of_clevis(name)) has_clevis_ = true;
  in_crypttab_ = is_crypttab(name);
  if (in_crypttab_ && !crypttab_.empty()) crypttab_ += '\n';
  gathered_.clear();
  part_ = Part::body;
}

/// What a file is filled up with is no part of it.
void CpioWalk::keep_crypttab(std::string_view bytes) {
  const auto room = most_crypttab_bytes - std::min(most_crypttab_bytes, crypttab_.size());
  for (const char c : bytes.substr(0, room)) {
    if (c != '\0') crypttab_ += c;
  }
}

std::size_t CpioWalk::feed(std::string_view bytes) {
  const auto whole = bytes.size();
  while (!damaged_) {
    if (part_ == Part::body) {
      const auto taken = std::min<std::uint64_t>(skip_, bytes.size());
      if (in_crypttab_) keep_crypttab(bytes.substr(0, static_cast<std::size_t>(taken)));
      skip_ -= taken;
      offset_ += taken;
      bytes.remove_prefix(static_cast<std::size_t>(taken));
      if (skip_ == 0) part_ = Part::between;
    }
    if (bytes.empty()) break;
    if (part_ == Part::between) {
      const auto zeros = std::min(bytes.find_first_not_of('\0'), bytes.size());
      offset_ += zeros;
      bytes.remove_prefix(zeros);
      if (bytes.empty() || bytes.front() != '0' || offset_ % 4 != 0) break;
      begun_ = true;
      ended_ = false;
      part_ = Part::header;
    }
    if (part_ == Part::header) {
      bytes = gather(bytes, cpio_header_bytes);
      if (gathered_.size() == cpio_header_bytes) read_header();
    }
    if (part_ == Part::name && !damaged_) {
      bytes = gather(bytes, name_bytes_);
      if (gathered_.size() == name_bytes_) read_name();
    }
  }
  return whole - bytes.size();
}

}  // namespace handover
