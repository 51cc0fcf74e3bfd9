// SPDX-License-Identifier: LGPL-2.1-or-later
// Finding the companion module of another kernel, and what its modinfo says.
#include <elf.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernel_images.h"
#include "support/temporary_directory.h"
#include "system/kernel_module.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

using namespace std::string_literals;

template <typename Struct>
std::string bytes_of(const Struct& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

/// A module as the linker makes it, cut down to what is looked at: header, .text, .modinfo, names.
std::string module_with(const std::string& modinfo) {
  const std::string names = "\0.text\0.modinfo\0.shstrtab\0"s;
  const std::string text(100, '\x90');
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_type = ET_REL;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 4;
  header.e_shstrndx = 3;
  header.e_shoff = sizeof(header) + text.size() + modinfo.size() + names.size();
  std::string sections = bytes_of(Elf64_Shdr{});
  std::uint64_t offset = sizeof(header);
  const auto add = [&](std::uint32_t name, std::uint32_t type, std::size_t size) {
    Elf64_Shdr section = {};
    section.sh_name = name;
    section.sh_type = type;
    section.sh_offset = offset;
    section.sh_size = size;
    offset += size;
    sections += bytes_of(section);
  };
  add(1, SHT_PROGBITS, text.size());
  add(7, SHT_PROGBITS, modinfo.size());
  add(16, SHT_STRTAB, names.size());
  return bytes_of(header) + text + modinfo + names + sections;
}

const std::string modinfo =
    "handover_format=1\0\0\0version=0.1\0license=GPL\0vermagic=7.3.4 SMP\0"s;

TEST(KernelModule, SaysItsFields) {
  const auto module = module_with(modinfo);
  EXPECT_EQ(modinfo_field(module, "handover_format").value(), "1");
  EXPECT_EQ(modinfo_field(module, "license").value(), "GPL");
  EXPECT_EQ(modinfo_field(module, "vermagic").value(), "7.3.4 SMP");
  EXPECT_EQ(modinfo_field(module, "handover_forma").value(), "");
  EXPECT_EQ(modinfo_field(module_with(""), "license").value(), "");
  EXPECT_EQ(modinfo_field(module_with("handover_format=12"), "handover_format").value(), "12");
}

TEST(KernelModule, RefusesWhatIsNone) {
  auto narrow = module_with(modinfo);
  narrow[EI_CLASS] = ELFCLASS32;
  auto big = module_with(modinfo);
  big[EI_DATA] = ELFDATA2MSB;
  for (const std::string& bytes : {""s, "ELF"s, std::string(1000, '\0'), narrow, big}) {
    const auto field = modinfo_field(bytes, "license");
    ASSERT_FALSE(field);
    EXPECT_EQ(field.error().code, ErrorCode::not_supported);
  }
}

TEST(KernelModule, IsNeverReadBeyondItsEndCutOrGarbledAnywhere) {
  const auto whole = module_with(modinfo);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    // A copy of its own, so that a sanitizer sees a step too far.
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_FALSE(modinfo_field({cut.data(), cut.size()}, "license")) << size;
  }
  std::size_t refused = 0;
  for (std::size_t byte = 0; byte < whole.size(); ++byte) {
    for (const char garbage : {'\xff', '\x7f', '\x01', '\0'}) {
      std::vector<char> garbled(whole.begin(), whole.end());
      garbled[byte] = garbage;
      const auto field = modinfo_field({garbled.data(), garbled.size()}, "handover_format");
      if (!field) ++refused;
    }
  }
  EXPECT_GT(refused, 20U);
}

class CompanionModule : public testing::Test {
 protected:
  [[nodiscard]] std::optional<KernelModule> found() const {
    auto module = find_companion_module("7.3.4", root.path());
    EXPECT_TRUE(module) << module.error().message;
    return module ? *module : std::nullopt;
  }

  TemporaryDirectory root;
};

TEST_F(CompanionModule, IsFoundAnywhereBelowTheRelease) {
  EXPECT_FALSE(found()) << "not even the directory is there";
  root.write("lib/modules/7.3.4/modules.dep", "");
  root.write("lib/modules/7.3.4/kernel/drivers/handover.ko.old", "");
  root.write("lib/modules/7.2.13/extra/handover.ko", module_with(modinfo));
  EXPECT_FALSE(found()) << "another release's is none";
  const auto path =
      root.write("lib/modules/7.3.4/kernel/drivers/x/handover.ko", module_with(modinfo));
  const auto module = found();
  ASSERT_TRUE(module);
  EXPECT_EQ(module->path, path);
  EXPECT_EQ(module->format, "1");
}

TEST_F(CompanionModule, SaysWhetherItWouldBeLoaded) {
  const auto path = root.write("lib/modules/7.3.4/updates/handover.ko", module_with(modinfo));
  auto module = found();
  ASSERT_TRUE(module);
  EXPECT_EQ(module->vermagic, "7.3.4 SMP");
  EXPECT_FALSE(module->is_signed);
  EXPECT_FALSE(module->indexed) << "there is no list";
  root.write("lib/modules/7.3.4/modules.dep", "kernel/updates/handover.ko: \nupdates/a.ko:\n");
  EXPECT_EQ(found()->indexed, false);
  root.write("lib/modules/7.3.4/modules.dep", "kernel/a.ko:\nupdates/handover.ko: kernel/a.ko\n");
  EXPECT_EQ(found()->indexed, true);
  root.write("lib/modules/7.3.4/modules.dep", "updates/handover.ko:\n");
  EXPECT_EQ(found()->indexed, true);
  root.write("lib/modules/7.3.4/updates/handover.ko",
             module_with(modinfo) + "signature~Module signature appended~\n");
  EXPECT_TRUE(found()->is_signed);
}

TEST_F(CompanionModule, IsReadWhateverItIsCompressedWith) {
  for (const auto& [method, ending] : std::vector<std::pair<std::string, std::string>>{
           {"none", ""}, {"gzip", ".gz"}, {"xz", ".xz"}, {"zstd", ".zst"}}) {
    const TemporaryDirectory other;
    other.write("lib/modules/7.3.4/extra/handover.ko" + ending,
                compress(method, module_with(modinfo)));
    const auto module = find_companion_module("7.3.4", other.path());
    ASSERT_TRUE(module) << method << ": " << module.error().message;
    ASSERT_TRUE(*module) << method;
    EXPECT_EQ((*module)->format, "1") << method;
  }
}

TEST_F(CompanionModule, OfSeveralIsTheOneThatDepmodPrefers) {
  root.write("lib/modules/7.3.4/extra/handover.ko", module_with("handover_format=1"));
  const auto updated =
      root.write("lib/modules/7.3.4/updates/dkms/handover.ko", module_with("handover_format=2"));
  root.write("lib/modules/7.3.4/kernel/handover.ko", module_with("handover_format=3"));
  const auto module = found();
  ASSERT_TRUE(module);
  EXPECT_EQ(module->path, updated);
  EXPECT_EQ(module->format, "2");
}

TEST_F(CompanionModule, IsNotLookedForBehindSymlinks) {
  root.write("usr/src/linux/handover.ko", module_with(modinfo));
  root.write("lib/modules/7.3.4/modules.dep", "");
  root.link("lib/modules/7.3.4/build", root.path("usr/src/linux"));
  EXPECT_FALSE(found());
}

TEST_F(CompanionModule, IsRefusedIfItIsDamaged) {
  const auto path = root.write("lib/modules/7.3.4/extra/handover.ko.xz",
                               compress("xz", module_with(modinfo)).substr(0, 100));
  for (const std::string& content :
       {compress("xz", module_with(modinfo)).substr(0, 100), "no module at all"s}) {
    root.write("lib/modules/7.3.4/extra/handover.ko.xz", content);
    const auto module = find_companion_module("7.3.4", root.path());
    ASSERT_FALSE(module);
    EXPECT_NE(module.error().message.find(path), std::string::npos) << module.error().message;
  }
}

TEST_F(CompanionModule, OfAReleaseThatIsAPathIsNone) {
  root.write("lib/modules/handover.ko", module_with(modinfo));
  for (const std::string release : {"", "..", "../modules", "/", "."}) {
    const auto module = find_companion_module(release, root.path());
    ASSERT_TRUE(module) << release;
    EXPECT_FALSE(*module) << release;
  }
}

}  // namespace
}  // namespace handover::system::test
