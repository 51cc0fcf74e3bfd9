// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/kernel_module.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <tuple>
#include <vector>

#include "system/files.h"
#include "system/unpack.h"

namespace handover::system {
namespace {

namespace fs = std::filesystem;

/// Far more than any module has.
constexpr std::uint64_t unpacked_module_limit = UINT64_C(64) << 20;
constexpr std::uintmax_t file_limit = std::uintmax_t{64} << 20;
constexpr std::string_view format_field = "handover_format";

bool is_companion(std::string_view name) {
  constexpr std::array<std::string_view, 4> names = {"handover.ko", "handover.ko.gz",
                                                     "handover.ko.xz", "handover.ko.zst"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// depmod.d(5): without a file that says otherwise, "updates" is searched first.
bool preferred(const fs::path& a, const fs::path& b) {
  const auto rank = [](const fs::path& path) {
    return std::tuple(path.begin() == path.end() || *path.begin() != "updates", path);
  };
  return rank(a) < rank(b);
}

/// Paths below `directory`. Directories that cannot be read are skipped, as depmod skips them.
std::vector<fs::path> companions_below(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  // No symlinks: "build" and "source" lead to whole kernel trees.
  fs::recursive_directory_iterator entry(directory, fs::directory_options::skip_permission_denied,
                                         error);
  const fs::recursive_directory_iterator end;
  while (!error && entry != end) {
    if (is_companion(entry->path().filename().string())) {
      std::error_code none;
      if (entry->is_regular_file(none))
        found.push_back(entry->path().lexically_relative(directory));
    }
    entry.increment(error);
  }
  std::sort(found.begin(), found.end(), preferred);
  return found;
}

/// A struct of <elf.h> at `offset`; nullopt beyond the end. Both architectures are little-endian,
/// and so are the machines that this runs on.
template <typename Struct>
std::optional<Struct> struct_at(std::string_view bytes, std::uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(Struct)) return std::nullopt;
  Struct value = {};
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

std::optional<std::string_view> part(std::string_view bytes, const Elf64_Shdr& section) {
  if (section.sh_type == SHT_NOBITS) return std::nullopt;
  if (section.sh_offset > bytes.size() || bytes.size() - section.sh_offset < section.sh_size) {
    return std::nullopt;
  }
  return bytes.substr(section.sh_offset, section.sh_size);
}

std::string_view text_at(std::string_view strings, std::uint64_t offset) {
  if (offset >= strings.size()) return {};
  strings.remove_prefix(offset);
  return strings.substr(0, strings.find('\0'));
}

/// Whether depmod's list has it. Without a list, nobody knows.
std::optional<bool> is_indexed(const fs::path& directory, const fs::path& module) {
  const auto list = read_file((directory / "modules.dep").string());
  if (!list) return std::nullopt;
  const auto line = module.string() + ":";
  return list->starts_with(line) || list->find("\n" + line) != std::string::npos;
}

tl::unexpected<Error> no_module(const char* why) {
  return fail(ErrorCode::not_supported, std::string("it ") + why);
}

Result<std::string> read_module(const std::string& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return fail_errno("cannot read " + path, error.value());
  if (size > file_limit) return no_module("is too large for a module");
  auto bytes = read_file(path);
  if (!bytes || !is_compressed(*bytes)) return bytes;
  std::string unpacked;
  const auto done = unpack(*bytes, unpacked_module_limit,
                           [&](std::string_view piece) { unpacked.append(piece); });
  if (!done) return fail(done.error());
  return unpacked;
}

}  // namespace

Result<std::string> modinfo_field(std::string_view module, std::string_view name) {
  const auto header = struct_at<Elf64_Ehdr>(module, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
    return no_module("is not an ELF file");
  }
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_shentsize != sizeof(Elf64_Shdr)) {
    return no_module("is not a module for this machine");
  }
  const auto section = [&](std::uint64_t index) -> std::optional<Elf64_Shdr> {
    if (header->e_shoff > module.size()) return std::nullopt;
    return struct_at<Elf64_Shdr>(module, header->e_shoff + index * sizeof(Elf64_Shdr));
  };
  const auto names = section(header->e_shstrndx);
  const auto strings = names ? part(module, *names) : std::nullopt;
  if (!strings) return no_module("is damaged");
  for (std::uint64_t index = 0; index < header->e_shnum; ++index) {
    const auto candidate = section(index);
    if (!candidate) return no_module("is damaged");
    if (text_at(*strings, candidate->sh_name) != ".modinfo") continue;
    auto info = part(module, *candidate);
    if (!info) return no_module("is damaged");
    // "name=value" strings, each ended by a NUL, with padding of NULs between
    // (linux/moduleparam.h).
    while (!info->empty()) {
      const auto entry = info->substr(0, info->find('\0'));
      info->remove_prefix(std::min(info->size(), entry.size() + 1));
      if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=') {
        return std::string(entry.substr(name.size() + 1));
      }
    }
    return std::string();
  }
  return std::string();
}

Result<std::optional<KernelModule>> find_companion_module(const std::string& release,
                                                          const std::string& root) {
  // It comes from a kernel image: nothing in it may lead out of the directory.
  if (release.empty() || release.find('/') != std::string::npos || release.starts_with('.')) {
    return std::optional<KernelModule>();
  }
  const fs::path directory = fs::path(root + "/lib/modules") / release;
  const auto found = companions_below(directory);
  if (found.empty()) return std::optional<KernelModule>();
  KernelModule module;
  module.path = (directory / found.front()).string();
  const auto bytes = read_module(module.path);
  if (!bytes) return fail(bytes.error().code, module.path + ": " + bytes.error().message);
  auto format = modinfo_field(*bytes, format_field);
  if (!format) return fail(format.error().code, module.path + ": " + format.error().message);
  module.format = std::move(*format);
  module.vermagic = modinfo_field(*bytes, "vermagic").value_or("");
  // kernel/module/signing.c: mod_verify_sig() looks for it at the very end.
  module.is_signed = bytes->ends_with("~Module signature appended~\n");
  module.indexed = is_indexed(directory, found.front());
  return module;
}

}  // namespace handover::system
