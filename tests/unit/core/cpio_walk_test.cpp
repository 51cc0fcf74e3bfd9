// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/cpio_walk.h"

#include <gtest/gtest.h>

#include "support/cpio.h"

namespace handover {
namespace {

using namespace std::string_literals;
using test::cpio;
using test::cpio_entry;

const std::string microcode = cpio({{"kernel", ""}, {"kernel/x86/microcode/A.bin", "abcde"}});
const std::string initrd = cpio({{"init", "#!/bin/sh\n"},
                                 {"usr/lib/modules/7.3.4-amd64/modules.dep", "x"},
                                 {"lib/modules/7.3.4-amd64/kernel/a.ko", "elf"},
                                 {"./lib/modules/6.1/a.ko", ""},
                                 {"lib/modules", ""},
                                 {"var/lib/modules/7.0/x", ""}});

TEST(CpioWalk, ReadsAWholeArchive) {
  CpioWalk walk;
  EXPECT_TRUE(walk.is_empty());
  EXPECT_FALSE(walk.is_whole());
  EXPECT_EQ(walk.feed(initrd), initrd.size());
  EXPECT_TRUE(walk.is_whole());
  EXPECT_FALSE(walk.is_empty());
  EXPECT_EQ(walk.modules(), (std::set<std::string>{"6.1", "7.3.4-amd64"}));
}

TEST(CpioWalk, ReadsInPiecesOfAnySize) {
  const auto all = microcode + std::string(512, '\0') + initrd + std::string(4, '\0');
  for (std::size_t piece = 1; piece < 200; ++piece) {
    CpioWalk walk;
    for (std::size_t at = 0; at < all.size(); at += piece) {
      const auto bytes = std::string_view(all).substr(at, piece);
      ASSERT_EQ(walk.feed(bytes), bytes.size());
    }
    EXPECT_TRUE(walk.is_whole()) << piece;
    EXPECT_EQ(walk.modules().size(), 2U) << piece;
  }
}

TEST(CpioWalk, SeesMicrocode) {
  CpioWalk walk;
  walk.feed(initrd);
  EXPECT_FALSE(walk.has_microcode());
  walk.feed(microcode);
  EXPECT_TRUE(walk.has_microcode());
}

TEST(CpioWalk, KeepsCrypttabs) {
  const auto archive = cpio({{"usr/bin/cat", "elf"},
                             {"etc/crypttab", "cr UUID=1 none luks\n"},
                             {"./cryptroot/crypttab", "x"},
                             {"usr/etc/crypttab", "no\n"}});
  for (const std::size_t piece : {1U, 7U, 4096U}) {
    CpioWalk walk;
    for (std::size_t at = 0; at < archive.size(); at += piece) {
      walk.feed(std::string_view(archive).substr(at, piece));
    }
    EXPECT_EQ(walk.crypttab(), "cr UUID=1 none luks\n\nx") << piece;
    EXPECT_FALSE(walk.has_clevis());
  }
  CpioWalk large;
  large.feed(cpio({{"etc/crypttab", std::string(1U << 20U, 'c')}, {"init", "x"}}));
  EXPECT_EQ(large.crypttab().size(), 64U << 10U);
  EXPECT_TRUE(large.is_whole());
}

TEST(CpioWalk, SeesClevis) {
  for (const auto* name : {"usr/bin/clevis", "bin/clevis-luks-unlock", "clevis"}) {
    CpioWalk walk;
    walk.feed(cpio({{name, ""}}));
    EXPECT_TRUE(walk.has_clevis()) << name;
  }
  CpioWalk walk;
  walk.feed(cpio({{"usr/share/clevis/readme", ""}, {"usr/bin/clevisor", ""}}));
  EXPECT_FALSE(walk.has_clevis());
}

TEST(CpioWalk, SeesEachCut) {
  for (std::size_t size = 0; size < initrd.size(); ++size) {
    CpioWalk walk;
    EXPECT_EQ(walk.feed(std::string_view(initrd).substr(0, size)), size);
    EXPECT_FALSE(walk.is_whole()) << size;
    EXPECT_FALSE(walk.is_damaged()) << size;
  }
}

TEST(CpioWalk, StopsWhereSomethingElseBegins) {
  CpioWalk walk;
  const auto zeros = microcode + std::string(8, '\0');
  EXPECT_EQ(walk.feed(zeros + "\x28\xb5\x2f\xfd"s), zeros.size());
  EXPECT_TRUE(walk.is_whole());
  CpioWalk at_once;
  EXPECT_EQ(at_once.feed("\x1f\x8b"), 0U);
  EXPECT_TRUE(at_once.is_empty());
  // An archive begins at a multiple of four (init/initramfs.c).
  CpioWalk crooked;
  EXPECT_EQ(crooked.feed("\0"s + initrd), 1U);
}

TEST(CpioWalk, RefusesWhatTheKernelWould) {
  const auto entry = cpio_entry("a", "b");
  for (const auto& [at, bytes] :
       std::vector<std::pair<std::size_t, std::string>>{{0, "070707"},
                                                        {5, "3"},
                                                        {54, "0000000g"},
                                                        {94, "00000000"},
                                                        {94, "00001001"},
                                                        {94, "-0000001"}}) {
    auto bad = entry;
    bad.replace(at, bytes.size(), bytes);
    CpioWalk walk;
    walk.feed(bad);
    EXPECT_TRUE(walk.is_damaged()) << at << " " << bytes;
    EXPECT_FALSE(walk.is_whole());
    EXPECT_EQ(walk.feed(initrd), 0U);
  }
}

TEST(CpioWalk, BelievesNoSize) {
  auto huge = cpio_entry("a");
  huge.replace(54, 8, "FFFFFFFF");
  CpioWalk walk;
  EXPECT_EQ(walk.feed(huge + initrd), huge.size() + initrd.size());
  EXPECT_FALSE(walk.is_whole());
  // No more releases are kept than anybody can have.
  CpioWalk many;
  for (int i = 0; i < 1000; ++i) many.feed(cpio_entry("lib/modules/" + std::to_string(i) + "/a"));
  EXPECT_LE(many.modules().size(), 64U);
}

}  // namespace
}  // namespace handover
