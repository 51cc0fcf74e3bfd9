// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever file is named as a kernel: pe_sections() and read_uki() must not leave its bytes.
#include <cstdint>
#include <string_view>

#include "core/pe_image.h"
#include "require.h"

namespace {

using namespace handover;

void check_inside(std::string_view whole, std::string_view part) {
  if (part.empty()) return;
  require(part.data() >= whole.data(), "a section begins in the file");
  require(part.data() + part.size() <= whole.data() + whole.size(), "and ends in it");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view image(reinterpret_cast<const char*>(data), size);
  const auto sections = pe_sections(image);
  require(!is_uki(image) || sections.has_value(), "a unified image is a PE file");
  if (sections) {
    require(sections->size() <= size / 40, "each section has its header");
    for (const auto& section : *sections) check_inside(image, section.name);
    require(uki_sections(image).size() <= sections->size(), "a profile has some of them");
  }
  const auto uki = read_uki(image);
  if (!uki) {
    require(uki.error().code == ErrorCode::not_a_kernel, "the error has its own code");
    require(!uki.error().message.empty(), "the error says something");
    return 0;
  }
  require(is_uki(image), "what can be read is one");
  require(!uki->linux.empty(), "there is a kernel");
  for (const auto part :
       {uki->linux, uki->initrd, uki->microcode, uki->cmdline, uki->uname, uki->osrel}) {
    check_inside(image, part);
  }
  return 0;
}
