// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/pe_image.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace handover {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t offset_of_header = 0x3c;
constexpr std::size_t file_header_size = 20;
constexpr std::size_t section_header_size = 40;
constexpr std::size_t section_name_size = 8;

/// Little-endian, `size` bytes at `at`; nullopt beyond the end.
std::optional<std::uint32_t> little_endian(std::string_view bytes, std::size_t at,
                                           std::size_t size) {
  if (at > bytes.size() || bytes.size() - at < size) return std::nullopt;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= std::uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return value;
}

/// The bytes of a section; nullopt if the file ends before.
std::optional<std::string_view> bytes_of(std::string_view image, const PeSection& section) {
  if (section.offset > image.size() || image.size() - section.offset < section.size) {
    return std::nullopt;
  }
  return image.substr(section.offset, section.size);
}

/// The sections of the first profile: those before any ".profile", and those of the first one,
/// which go before the others.
std::vector<PeSection> first_profile(const std::vector<PeSection>& sections) {
  const auto is_profile = [](const PeSection& one) { return one.name == ".profile"; };
  const auto begin = std::find_if(sections.begin(), sections.end(), is_profile);
  if (begin == sections.end()) return sections;
  const auto end = std::find_if(begin + 1, sections.end(), is_profile);
  std::vector<PeSection> chosen(begin, end);
  chosen.insert(chosen.end(), sections.begin(), begin);
  return chosen;
}

tl::unexpected<Error> not_whole() {
  return fail(ErrorCode::not_a_kernel,
              "is a unified kernel image that is damaged: fetch or build it again");
}

/// Where the file header is; nullopt: it is no PE file.
std::optional<std::size_t> file_header_of(std::string_view head) {
  if (!head.starts_with("MZ"sv)) return std::nullopt;
  const auto header = little_endian(head, offset_of_header, 4);
  if (!header || *header > head.size() || !head.substr(*header).starts_with("PE\0\0"sv)) {
    return std::nullopt;
  }
  return std::size_t{*header} + 4;
}

}  // namespace

bool is_signed_pe(std::string_view head) {
  constexpr std::uint32_t pe32_plus = 0x20b;
  constexpr std::size_t number_of_directories = 108;  // in the optional header of PE32+
  constexpr std::size_t directories = 112;
  constexpr std::size_t directory_size = 8;
  constexpr std::uint32_t certificates = 4;
  const auto file_header = file_header_of(head);
  if (!file_header) return false;
  const auto optional_header = *file_header + file_header_size;
  if (little_endian(head, optional_header, 2) != pe32_plus) return false;
  const auto count = little_endian(head, optional_header + number_of_directories, 4);
  if (!count || *count <= certificates) return false;
  const auto at = optional_header + directories + certificates * directory_size;
  const auto offset = little_endian(head, at, 4);
  const auto size = little_endian(head, at + 4, 4);
  return offset && size && *offset != 0 && *size != 0;
}

std::optional<std::vector<PeSection>> pe_sections(std::string_view head) {
  const auto found = file_header_of(head);
  if (!found) return std::nullopt;
  const auto file_header = *found;
  const auto count = little_endian(head, file_header + 2, 2);
  const auto optional_size = little_endian(head, file_header + 16, 2);
  if (!count || !optional_size) return std::nullopt;
  const std::size_t table = file_header + file_header_size + *optional_size;
  if (table > head.size() || (head.size() - table) / section_header_size < *count) {
    return std::nullopt;
  }
  std::vector<PeSection> sections;
  for (std::size_t i = 0; i < *count; ++i) {
    const auto at = table + i * section_header_size;
    auto name = head.substr(at, section_name_size);
    name = name.substr(0, name.find('\0'));
    const auto in_memory = little_endian(head, at + 8, 4);
    const auto in_file = little_endian(head, at + 16, 4);
    const auto offset = little_endian(head, at + 20, 4);
    if (!in_memory || !in_file || !offset) return std::nullopt;
    // The file has whole blocks of it. Without a size in memory, they are all that is known.
    sections.push_back({name, *offset, *in_memory == 0 ? *in_file : *in_memory});
    // What is longer in memory is filled with zeros there, which is nothing to boot from.
    if (*in_memory > *in_file && *in_file != 0) sections.back().size = *in_file;
  }
  return sections;
}

bool is_uki(std::string_view head) {
  const auto sections = pe_sections(head);
  return sections && std::any_of(sections->begin(), sections->end(),
                                 [](const PeSection& one) { return one.name == ".linux"; });
}

std::vector<PeSection> uki_sections(std::string_view head) {
  std::vector<PeSection> once;
  const auto sections = pe_sections(head);
  if (!sections) return once;
  for (const PeSection& section : first_profile(*sections)) {
    const auto same = [&section](const PeSection& other) { return other.name == section.name; };
    if (std::none_of(once.begin(), once.end(), same)) once.push_back(section);
  }
  return once;
}

Result<Uki> read_uki(std::string_view image) {
  if (!pe_sections(image)) return fail(ErrorCode::not_a_kernel, "is no PE file");
  Uki uki;
  struct Wanted {
    std::string_view name;
    std::string_view* into;
  };
  const std::array wanted = {
      Wanted{".linux", &uki.linux},     Wanted{".initrd", &uki.initrd},
      Wanted{".ucode", &uki.microcode}, Wanted{".cmdline", &uki.cmdline},
      Wanted{".uname", &uki.uname},     Wanted{".osrel", &uki.osrel},
  };
  const auto profile = uki_sections(image);
  for (const Wanted& one : wanted) {
    const auto section = std::find_if(profile.begin(), profile.end(),
                                      [&one](const PeSection& it) { return it.name == one.name; });
    if (section == profile.end()) continue;
    const auto bytes = bytes_of(image, *section);
    if (!bytes) return not_whole();
    *one.into = *bytes;
  }
  if (uki.linux.empty()) {
    return fail(ErrorCode::not_a_kernel,
                "is an EFI program and no unified kernel image: it has no kernel (.linux)");
  }
  return uki;
}

}  // namespace handover
