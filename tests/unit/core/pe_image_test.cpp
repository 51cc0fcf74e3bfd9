// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/pe_image.h"

#include <gtest/gtest.h>

#include "support/uki.h"

namespace handover {
namespace {

using namespace std::string_literals;
using test::little_endian_bytes;
using test::pe_file;

const std::vector<std::pair<std::string, std::string>> whole = {{".text", "stub"},
                                                                {".osrel", "ID=debian\n"},
                                                                {".uname", "7.3.4-amd64"},
                                                                {".cmdline", "quiet\n"},
                                                                {".linux", std::string(700, 'k')},
                                                                {".initrd", "cpio"},
                                                                {".ucode", "microcode"},
                                                                {".sbat", "sbat,1"}};

/// Header of section number `i`, in what pe_file() makes.
std::size_t section_header(std::size_t i) { return 0x80 + 4 + 20 + 240 + 40 * i; }

TEST(PeSections, AreThoseOfTheTable) {
  const auto file = pe_file(whole);
  const auto sections = pe_sections(file);
  ASSERT_TRUE(sections);
  ASSERT_EQ(sections->size(), whole.size());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const auto& section = (*sections)[i];
    EXPECT_EQ(section.name, whole[i].first);
    EXPECT_EQ(file.substr(section.offset, section.size), whole[i].second);
  }
  EXPECT_TRUE(is_uki(file));
  EXPECT_TRUE(is_uki(file.substr(0, section_header(whole.size()))));
  EXPECT_FALSE(is_uki(pe_file({{".text", "shell"}, {".linuxes", "x"}})));
}

TEST(PeImage, IsSignedIfItHasACertificate) {
  constexpr std::size_t optional_header = 0x80 + 4 + 20;
  auto file = pe_file(whole);
  EXPECT_FALSE(is_signed_pe(file));
  EXPECT_FALSE(is_signed_pe(""));
  file.replace(optional_header, 2, little_endian_bytes(0x20b, 2));
  file.replace(optional_header + 108, 4, little_endian_bytes(16, 4));
  EXPECT_FALSE(is_signed_pe(file));
  const auto certificates = optional_header + 112 + 4 * 8;
  file.replace(certificates, 8, little_endian_bytes(0x2000, 4) + little_endian_bytes(1500, 4));
  EXPECT_TRUE(is_signed_pe(file));
  for (std::size_t size = 0; size < certificates + 8; ++size) {
    EXPECT_FALSE(is_signed_pe(std::string_view(file).substr(0, size))) << size;
  }
  auto fewer = file;
  fewer.replace(optional_header + 108, 4, little_endian_bytes(4, 4));
  EXPECT_FALSE(is_signed_pe(fewer));
  auto other = file;
  other.replace(optional_header, 2, little_endian_bytes(0x10b, 2));
  EXPECT_FALSE(is_signed_pe(other));
}

TEST(PeSections, AreNotReadBeyondTheEnd) {
  const auto file = pe_file(whole);
  for (std::size_t size = 0; size < section_header(whole.size()); ++size) {
    EXPECT_FALSE(pe_sections(std::string_view(file).substr(0, size))) << size;
  }
  for (const auto& [at, bytes] : std::vector<std::pair<std::size_t, std::string>>{
           {0, "ZM"},
           {0x3c, little_endian_bytes(0xffffffff, 4)},
           {0x3c, little_endian_bytes(file.size(), 4)},
           {0x3c, little_endian_bytes(file.size() - 4, 4)},
           {0x80, "NE"},
           {0x80 + 6, little_endian_bytes(0xffff, 2)},
           {0x80 + 20, little_endian_bytes(0xffff, 2)}}) {
    auto bad = file;
    bad.replace(at, bytes.size(), bytes);
    EXPECT_FALSE(pe_sections(bad)) << at;
    EXPECT_FALSE(read_uki(bad)) << at;
  }
}

TEST(ReadUki, GivesItsParts) {
  const auto file = pe_file(whole);
  const auto uki = read_uki(file);
  ASSERT_TRUE(uki) << uki.error().message;
  EXPECT_EQ(uki->linux, std::string(700, 'k'));
  EXPECT_EQ(uki->initrd, "cpio");
  EXPECT_EQ(uki->microcode, "microcode");
  EXPECT_EQ(uki->cmdline, "quiet\n");
  EXPECT_EQ(uki->uname, "7.3.4-amd64");
  EXPECT_EQ(uki->osrel, "ID=debian\n");
  const auto least_file = pe_file({{".linux", "k"}});
  const auto least = read_uki(least_file);
  ASSERT_TRUE(least);
  EXPECT_EQ(*least, (Uki{"k", "", "", "", "", ""}));
}

TEST(ReadUki, TakesTheFirstProfile) {
  const auto file = pe_file({{".linux", "k"},
                             {".cmdline", "base"},
                             {".initrd", "base initrd"},
                             {".profile", "ID=main"},
                             {".cmdline", "main"},
                             {".profile", "ID=factory-reset"},
                             {".cmdline", "reset"},
                             {".uname", "8"}});
  const auto uki = read_uki(file);
  ASSERT_TRUE(uki);
  EXPECT_EQ(uki->cmdline, "main");
  EXPECT_EQ(uki->initrd, "base initrd");
  EXPECT_EQ(uki->uname, "");
}

TEST(ReadUki, RefusesWhatIsCutOrNone) {
  const auto file = pe_file(whole);
  const auto message = [](const std::string& bytes) {
    const auto uki = read_uki(bytes);
    return uki ? "read"s : uki.error().message;
  };
  EXPECT_EQ(message(file), "read");
  for (std::size_t size = 0; size < file.size(); ++size) {
    // Behind the last one that counts lies ".sbat".
    if (read_uki(std::string_view(file).substr(0, size))) {
      EXPECT_GE(size, file.size() - 1024 + 9) << "cut within .ucode";
      break;
    }
  }
  EXPECT_NE(message(pe_file({{".text", "x"}})).find("no kernel (.linux)"), std::string::npos);
  EXPECT_NE(message(pe_file({{".linux", ""}})).find("no kernel (.linux)"), std::string::npos);
  EXPECT_NE(message("MZ").find("no PE file"), std::string::npos);
  for (const std::size_t field : {8U, 16U, 20U}) {
    auto bad = file;
    bad.replace(section_header(4) + field, 4, "\xff\xff\xff\xff");
    if (field == 8) {
      // Longer in memory than in the file: what the file has.
      const auto uki = read_uki(bad);
      ASSERT_TRUE(uki);
      EXPECT_EQ(uki->linux.size(), 1024U);
    } else if (field == 20) {
      EXPECT_NE(message(bad).find("damaged"), std::string::npos) << field;
    }
  }
}

TEST(ReadUki, TakesTheSizeInTheFileWhereThereIsNoOther) {
  auto file = pe_file({{".linux", "k"}});
  file.replace(section_header(0) + 8, 4, std::string(4, '\0'));
  const auto uki = read_uki(file);
  ASSERT_TRUE(uki);
  EXPECT_EQ(uki->linux.size(), 512U);
}

}  // namespace
}  // namespace handover
