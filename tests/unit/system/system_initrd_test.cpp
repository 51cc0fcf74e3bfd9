// SPDX-License-Identifier: LGPL-2.1-or-later
// Initrds as tools make them, cut and garbled ones.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "core/unique_fd.h"
#include "kernel_images.h"
#include "support/cpio.h"
#include "support/temporary_directory.h"
#include "system/initrd.h"

namespace handover::system::test {
namespace {

using handover::test::cpio;
using handover::test::TemporaryDirectory;

class InitrdTest : public testing::Test {
 protected:
  InitrdFacts inspect(const std::string& bytes) {
    const auto path = directory.write("initrd", bytes);
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const auto facts = inspect_initrd(fd.get(), path);
    EXPECT_TRUE(facts) << facts.error().message;
    EXPECT_EQ(facts->bytes, bytes.size());
    return facts.value_or(InitrdFacts{});
  }

  TemporaryDirectory directory;
  const std::string microcode = cpio({{"kernel/x86/microcode/GenuineIntel.bin", "code"}});
  const std::string files =
      cpio({{"init", std::string(5000, 'i')}, {"usr/lib/modules/7.3.4/modules.dep", "x"}});
};

TEST_F(InitrdTest, IsWholeHoweverItIsPacked) {
  for (const char* method : {"gzip", "bzip2", "lzma", "xz", "zstd", "lz4", "lz4-legacy"}) {
    for (const auto& front : {std::string(), microcode, microcode + std::string(512, '\0')}) {
      const auto facts = inspect(front + compress(method, files));
      EXPECT_EQ(facts.damage, "") << method;
      EXPECT_EQ(facts.modules, std::set<std::string>{"7.3.4"}) << method;
    }
  }
  for (const auto& plain : {files, microcode + files, files + std::string(1024, '\0')}) {
    EXPECT_EQ(inspect(plain).damage, "");
    EXPECT_EQ(inspect(plain).modules, std::set<std::string>{"7.3.4"});
  }
  EXPECT_EQ(inspect(microcode).modules, std::set<std::string>{});
}

TEST_F(InitrdTest, HasACrypttabOfItsOwn) {
  const auto with = cpio({{"cryptroot/crypttab", "cr UUID=1 none luks"}, {"bin/clevis", "x"}});
  for (const auto& bytes :
       {with, microcode + compress("zstd", with),
        microcode + compress("gzip", files) + std::string(4, '\0') + compress("gzip", with)}) {
    EXPECT_EQ(inspect(bytes).crypttab, "cr UUID=1 none luks");
    EXPECT_TRUE(inspect(bytes).has_clevis);
  }
  EXPECT_EQ(inspect(files).crypttab, "");
  EXPECT_FALSE(inspect(files).has_clevis);
}

TEST_F(InitrdTest, MayBeMicrocodeAlone) {
  EXPECT_TRUE(inspect(microcode).only_microcode);
  EXPECT_TRUE(inspect(microcode + std::string(512, '\0')).only_microcode);
  const auto with_directories =
      cpio({{"early_cpio", "1"}, {"kernel/x86/microcode/AuthenticAMD.bin", "code"}});
  EXPECT_TRUE(inspect(microcode + with_directories).only_microcode);
  EXPECT_FALSE(inspect(microcode + files).only_microcode);
  EXPECT_FALSE(inspect(microcode + compress("zstd", files)).only_microcode);
  EXPECT_FALSE(inspect(files).only_microcode);
  EXPECT_FALSE(inspect(cpio({{"kernel/x86/other", "x"}})).only_microcode);
  EXPECT_FALSE(inspect("").only_microcode);
}

/// ukify and mkosi fill up what they join; `bootconfig -a` puts a text behind.
TEST_F(InitrdTest, MayHaveSomethingBehindIt) {
  const std::string text = "kernel.quiet\n";
  const auto number = static_cast<char>(text.size());
  const std::string boot_config = text + std::string{number, 0, 0, 0, 1, 2, 3, 4} + "#BOOTCONFIG\n";
  for (const char* method : {"gzip", "bzip2", "lzma", "xz", "zstd", "lz4-legacy"}) {
    const auto packed = microcode + compress(method, files);
    for (const std::size_t nuls : {1U, 3U, 4U, 512U}) {
      const auto facts = inspect(packed + std::string(nuls, '\0'));
      EXPECT_EQ(facts.damage, "") << method << " " << nuls;
      EXPECT_EQ(facts.modules, std::set<std::string>{"7.3.4"}) << method << " " << nuls;
    }
    EXPECT_EQ(inspect(packed + boot_config).damage, "") << method;
    EXPECT_EQ(inspect(packed + boot_config + std::string(2, '\0')).damage, "") << method;
    EXPECT_EQ(inspect(packed + std::string(8, '\0') + compress(method, files)).damage, "")
        << method;
  }
  EXPECT_EQ(inspect(files + boot_config).damage, "");
}

/// What dracut and mkinitcpio put behind each other: both count.
TEST_F(InitrdTest, MayBeTwoCompressedArchives) {
  const auto other = cpio({{"usr/lib/modules/9.9/modules.dep", "x"}});
  for (const char* method : {"gzip", "xz", "zstd"}) {
    for (const std::size_t nuls : {0U, 1U, 4U, 512U}) {
      const auto facts = inspect(microcode + compress(method, files) + std::string(nuls, '\0') +
                                 compress(method, other) + std::string(nuls, '\0'));
      EXPECT_EQ(facts.damage, "") << method << " " << nuls;
      EXPECT_EQ(facts.modules, (std::set<std::string>{"7.3.4", "9.9"})) << method << " " << nuls;
    }
    const auto cut = compress(method, files) + std::string(4, '\0') + compress(method, other);
    EXPECT_NE(inspect(cut.substr(0, cut.size() - 20)).damage, "") << method;
  }
}

/// Of hundreds of megabytes only a piece is in memory.
TEST_F(InitrdTest, IsReadByPieces) {
  std::string random(std::size_t{2} << 20, '\0');
  std::uint32_t state = 1;
  for (char& c : random) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  const auto large = cpio({{"init", random}, {"usr/lib/modules/7.3.4/modules.dep", random}});
  const auto other = cpio({{"usr/lib/modules/9.9/modules.dep", "x"}});
  EXPECT_EQ(inspect(large).modules, std::set<std::string>{"7.3.4"});
  for (const char* method : {"gzip", "bzip2", "xz", "zstd", "lz4-legacy"}) {
    const auto packed = compress(method, large);
    EXPECT_EQ(inspect(microcode + packed).damage, "") << method;
    EXPECT_EQ(inspect(packed).modules, std::set<std::string>{"7.3.4"}) << method;
    EXPECT_NE(inspect(packed.substr(0, packed.size() / 2)).damage, "") << method;
    EXPECT_EQ(inspect(packed + std::string(512, '\0')).damage, "") << method;
  }
  for (const char* method : {"gzip", "xz", "zstd"}) {
    const auto both =
        inspect(compress(method, large) + std::string(8, '\0') + compress(method, other));
    EXPECT_EQ(both.damage, "") << method;
    EXPECT_EQ(both.modules, (std::set<std::string>{"7.3.4", "9.9"})) << method;
  }
}

TEST_F(InitrdTest, MayBeCut) {
  for (const char* method : {"gzip", "xz", "zstd"}) {
    const auto packed = compress(method, files);
    for (const auto size : {packed.size() / 3, packed.size() / 2}) {
      EXPECT_NE(inspect(microcode + packed.substr(0, size)).damage, "") << method << " " << size;
    }
    EXPECT_NE(inspect(compress(method, files.substr(0, 3000))).damage, "") << method;
  }
  for (const auto size : {std::size_t{1}, std::size_t{50}, files.size() / 2, files.size() - 1}) {
    EXPECT_EQ(inspect(files.substr(0, size)).damage, "its archive ends early") << size;
  }
}

TEST_F(InitrdTest, MayBeSomethingElse) {
  EXPECT_EQ(inspect("").damage, "") << "its size says it";
  EXPECT_EQ(inspect("hsqs").damage, "it is no cpio archive, compressed or not");
  EXPECT_EQ(inspect("070707old format").damage,
            "its archive ends early");  // as far as it goes
  EXPECT_NE(inspect("070707" + std::string(200, '0')).damage, "");
  EXPECT_NE(inspect(compress("gzip", "no archive")).damage, "");
  EXPECT_NE(inspect(microcode + "junk").damage, "");
  EXPECT_EQ(inspect(microcode + "\x89LZO").damage, "") << "nobody here can read it";
  const UniqueFd folder(::open(directory.path().c_str(), O_RDONLY | O_CLOEXEC));
  const auto refused = inspect_initrd(folder.get(), "folder");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST_F(InitrdTest, IsFoundByTheNamesOfDistributions) {
  const auto kernel = directory.write("boot/vmlinuz-7.3.4", "");
  const auto find = [&](const std::string& of) {
    return find_initrd(of, "7.3.4", directory.path());
  };
  EXPECT_EQ(find(kernel), "");
  directory.write("boot/initrd.img-7.3.4/directory", "");
  EXPECT_EQ(find(kernel), "");
  const auto fedora = directory.write("boot/initramfs-7.3.4.img", "");
  EXPECT_EQ(find(kernel), fedora);
  directory.link("vmlinuz", "boot/vmlinuz-7.3.4");
  EXPECT_EQ(find(directory.path("vmlinuz")), fedora);
  EXPECT_EQ(find(directory.write("lib/modules/7.3.4/vmlinuz", "")), fedora);
  EXPECT_EQ(find(directory.path("missing/vmlinuz-7.3.4")), "");
}

}  // namespace
}  // namespace handover::system::test
