// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader of PE files (Microsoft's "PE Format"), as far as unified kernel images need one. Nothing
// in them is believed: every offset is checked against the bytes that are there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace handover {

struct PeSection {
  std::string_view name;     ///< up to 8 bytes, without the NULs behind it
  std::uint32_t offset = 0;  ///< in the file
  std::uint32_t size = 0;    ///< bytes that are meant; what the file is padded with is not
  bool operator==(const PeSection&) const = default;
};

/// The section table, in its order. `head` is the beginning of the file, or all of it. Absent: no
/// PE file, or one whose table does not lie in `head`.
std::optional<std::vector<PeSection>> pe_sections(std::string_view head);

/// Whether somebody has signed the file: it has a certificate table. Whose key it was, and whether
/// it fits, only a kernel can say.
bool is_signed_pe(std::string_view head);

/// Whether the file of that beginning is a unified kernel image: it has a section ".linux".
bool is_uki(std::string_view head);

/// The sections of a unified kernel image that make up its first profile, one of each name.
std::vector<PeSection> uki_sections(std::string_view head);

/// What these sections (UAPI.5) have in them. "" for what is not there.
struct Uki {
  std::string_view linux;
  std::string_view initrd;
  std::string_view microcode;  ///< ".ucode": an initrd that goes before the other
  std::string_view cmdline;
  std::string_view uname;
  std::string_view osrel;
  bool operator==(const Uki&) const = default;
};

/// `image` is the whole file, and outlives the result. not_a_kernel: it is none, or is cut.
Result<Uki> read_uki(std::string_view image);

}  // namespace handover
