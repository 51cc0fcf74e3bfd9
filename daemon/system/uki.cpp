// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/uki.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "core/boot_entry.h"
#include "core/pe_image.h"
#include "system/files.h"
#include "system/small_files.h"

namespace handover::system {
namespace {

constexpr std::uint64_t head_limit = 64U << 10U;
constexpr std::uint64_t text_limit = 64U << 10U;
constexpr std::uint64_t uki_limit = UINT64_C(1) << 30;

std::string section_text(int fd, const PeSection& section) {
  std::string text(std::min<std::uint64_t>(section.size, text_limit), '\0');
  const auto got = ::pread(fd, text.data(), text.size(), static_cast<off_t>(section.offset));
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

}  // namespace

std::optional<UkiHead> read_uki_head(int fd) {
  const auto head = read_fd(fd, head_limit);
  if (!head || !is_uki(*head)) return std::nullopt;
  UkiHead found;
  for (const auto& section : uki_sections(*head)) {
    if (section.name == ".osrel") found.osrel = section_text(fd, section);
    if (section.name == ".uname") found.uname = section_text(fd, section);
    if (section.name == ".cmdline") found.cmdline = section_text(fd, section);
    if (section.name == ".initrd" && section.size > 0) found.has_initrd = true;
  }
  return found;
}

std::vector<std::string> uki_addons(const std::string& uki) {
  // UKI: "ESP/EFI/Linux/NAME.efi".
  const std::filesystem::path esp =
      std::filesystem::path(uki).parent_path().parent_path().parent_path();
  constexpr std::array<std::string_view, 3> endings = {".addon.efi", ".cred", ".raw"};
  std::vector<std::string> found;
  for (const auto& directory : {std::filesystem::path(uki + ".extra.d"), esp / "loader/addons",
                                esp / "loader/credentials", esp / "loader/extensions"}) {
    for (const auto& name : names_in_directory(directory.string())) {
      const auto is = [&name](std::string_view ending) { return name.ends_with(ending); };
      if (std::any_of(endings.begin(), endings.end(), is)) {
        found.push_back((directory / name).string());
      }
    }
  }
  return found;
}

Result<std::optional<std::string>> take_apart(KexecImage& image) {
  const auto head = read_fd(image.kernel.get(), head_limit);
  if (!head) return fail(head.error());
  if (!is_uki(*head)) return std::optional<std::string>();
  const auto bytes = read_fd(image.kernel.get(), uki_limit);
  if (!bytes) return fail(bytes.error());
  const auto uki = read_uki(*bytes);
  if (!uki) {
    return fail(ErrorCode::not_a_kernel, image.kernel_path + " " + uki.error().message);
  }
  auto kernel = sealed_file("kernel", {uki->linux});
  if (!kernel) return fail(kernel.error());
  image.kernel = std::move(*kernel);
  image.kernel_state.reset();
  if (!uki->initrd.empty() || !uki->microcode.empty()) {
    auto initrd = sealed_file("initrd", {uki->microcode, uki->initrd});
    if (!initrd) return fail(initrd.error());
    image.initrd = std::move(*initrd);
    image.initrd_path = image.kernel_path;
    image.initrd_state.reset();
  }
  return std::optional(entry_of_uki(image.kernel_path, "", "", uki->cmdline).options);
}

}  // namespace handover::system
