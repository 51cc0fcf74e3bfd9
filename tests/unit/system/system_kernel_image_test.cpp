// SPDX-License-Identifier: LGPL-2.1-or-later
// Kernel images: what they say is read, and whatever is not one is refused by its name.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "kernel_images.h"
#include "support/cpio.h"
#include "support/temporary_directory.h"
#include "support/uki.h"
#include "system/abi_scan.h"
#include "system/kernel_image.h"
#include "system/kexec.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

const std::set<std::string> all_abi = {"kho-v4", "luo-v5", "memfd-v2"};
constexpr auto all_abi_text = "kho-v4 luo-v5 memfd-v2"sv;

Result<KernelImage> inspect_file(const std::string& path,
                                 Architecture architecture = host_architecture()) {
  const auto opened = open_kernel(path);
  if (!opened) return fail(opened.error());
  return inspect_kernel(opened->kernel.get(), path, architecture)
      .map([](const InspectedKernel& kernel) { return kernel.image; });
}

class KernelImageTest : public testing::Test {
 protected:
  TemporaryDirectory directory;

  Result<KernelImage> inspect(std::string_view bytes,
                              Architecture architecture = Architecture::x86_64) {
    return inspect_file(directory.write("image", bytes), architecture);
  }
  void expect_not_a_kernel(std::string_view bytes, const std::string& what) {
    const auto result = inspect(bytes);
    ASSERT_FALSE(result) << what;
    EXPECT_EQ(result.error().code, ErrorCode::not_a_kernel) << result.error().message;
    EXPECT_TRUE(result.error().message.starts_with(directory.path("image"))) << what;
  }
};

class EveryCompression : public KernelImageTest, public testing::WithParamInterface<const char*> {};

TEST_P(EveryCompression, IsReadInABzImage) {
  const auto image =
      inspect(bzimage(GetParam(), "7.3.4-test", kernel_text("7.3.4-test", all_abi_text)));
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->release, "7.3.4-test");
  EXPECT_EQ(image->abi, all_abi);
  EXPECT_EQ(image->path, directory.path("image"));
}

TEST_P(EveryCompression, IsReadWhenTheKernelIsLarge) {
  // More than one block of any format, strings in the middle of it.
  const bool lz4 = std::string_view(GetParam()).starts_with("lz4");  // blocks of up to 8 MiB
  const std::size_t filler = (lz4 ? std::size_t{9} << 20 : std::size_t{1} << 20) + 123;
  const auto image =
      inspect(bzimage(GetParam(), "7.3.4", kernel_text("7.3.4", all_abi_text, filler)));
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->abi, all_abi);
}

TEST_P(EveryCompression, IsReadInArm64Images) {
  const std::string plain = arm64_image(kernel_text("7.3.4-arm", all_abi_text));
  for (const std::string& bytes : {plain, compress(GetParam(), plain), zboot(GetParam(), plain)}) {
    const auto image = inspect(bytes, Architecture::arm64);
    ASSERT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->release, "7.3.4-arm");
    EXPECT_EQ(image->abi, all_abi);
  }
}

TEST_P(EveryCompression, IsRefusedWhenCut) {
  if (GetParam() == "none"sv) GTEST_SKIP() << "nothing tells that an ELF file is cut";
  const std::string whole = bzimage(GetParam(), "7.3.4", kernel_text("7.3.4", all_abi_text));
  for (const std::size_t size :
       {whole.size() / 2, std::size_t{3000}, std::size_t{0x250}, std::size_t{0x210}}) {
    expect_not_a_kernel(whole.substr(0, size), "cut to " + std::to_string(size));
  }
}

TEST_P(EveryCompression, IsRefusedWhenItDoesNotUnpackToItsSize) {
  if (GetParam() == "none"sv) GTEST_SKIP() << "nothing is unpacked";
  const std::string text = kernel_text("7.3.4", all_abi_text);
  std::string image = bzimage(GetParam(), "7.3.4", text);
  const std::size_t size_at = image.size() - 512 - 4;
  image[size_at] = static_cast<char>(image[size_at] ^ 1);
  expect_not_a_kernel(image, "another size");
}

INSTANTIATE_TEST_SUITE_P(Unpack, EveryCompression,
                         testing::Values("gzip", "bzip2", "lzma", "xz", "zstd", "lz4", "lz4-legacy",
                                         "none"),
                         [](const auto& method) {
                           std::string name = method.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_F(KernelImageTest, ReportsAKernelWithoutLiveUpdate) {
  const auto image = inspect(bzimage("zstd", "6.1.0", kernel_text("6.1.0", "")));
  ASSERT_TRUE(image);
  EXPECT_EQ(image->release, "6.1.0");
  EXPECT_TRUE(image->abi.empty());
}

TEST_F(KernelImageTest, TakesTheReleaseFromTheBannerIfTheHeaderHasNone) {
  std::string bytes = bzimage("gzip", "ignored", kernel_text("7.2.13", "kho-v4"));
  bytes[0x20e] = bytes[0x20f] = 0;
  const auto image = inspect(bytes);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->release, "7.2.13");
}

TEST_F(KernelImageTest, RefusesWhatIsNoKernel) {
  expect_not_a_kernel("", "empty");
  expect_not_a_kernel("#!/bin/sh\n", "a script");
  expect_not_a_kernel(std::string(100'000, '\0'), "zeroes");
  expect_not_a_kernel(compress("gzip", std::string(100'000, 'x')), "a gzip file");
  expect_not_a_kernel(arm64_image(kernel_text("7.3.4", all_abi_text)), "another architecture");

  std::string lzo = bzimage("none", "7.3.4", "\x89LZO\0\x0d\x0a\x1a\x0a and the rest"sv);
  expect_not_a_kernel(lzo, "LZO");
  std::string small_kernel = bzimage("gzip", "7.3.4", kernel_text("7.3.4", all_abi_text));
  small_kernel[0x236] = 0;
  expect_not_a_kernel(small_kernel, "32-bit");

  const auto other =
      inspect(bzimage("gzip", "7.3.4", kernel_text("7.3.4", "")), Architecture::arm64);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::not_a_kernel);
  const auto garbage = inspect(compress("gzip", "not arm64"), Architecture::arm64);
  ASSERT_FALSE(garbage);
  EXPECT_EQ(garbage.error().code, ErrorCode::not_a_kernel);
  const auto cut_zboot =
      inspect(zboot("gzip", arm64_image("text")).substr(0, 4100), Architecture::arm64);
  ASSERT_FALSE(cut_zboot);
  EXPECT_EQ(cut_zboot.error().code, ErrorCode::not_a_kernel);
}

TEST_F(KernelImageTest, SaysWhatAFileIsInstead) {
  const auto say = [this](const std::string& bytes, Architecture architecture) {
    const auto opened = open_kernel(directory.write("image", bytes));
    const auto result = inspect_kernel(opened->kernel.get(), "image", architecture);
    return result ? result->not_loadable : result.error().message;
  };
  struct Case {
    std::string bytes;
    const char* words;
  };
  const auto elf =
      "\x7f"
      "ELF and more"s;
  for (const auto& [bytes, words] :
       {Case{elf, "ELF file (vmlinux)"}, Case{"", "is empty"},
        Case{compress("gzip", elf), "compressed file"}, Case{compress("zstd", elf), "unpack it"},
        Case{"\x27\x05\x19\x56 uImage", "U-Boot"}, Case{handover::test::cpio({}), "is an initrd"},
        Case{handover::test::pe_file({{".text", "shell"}}), "no kernel (.linux)"},
        Case{"MZ", "is not a kernel image"}}) {
    EXPECT_NE(say(bytes, Architecture::x86_64).find(words), std::string::npos)
        << say(bytes, Architecture::x86_64);
  }
  const auto plain = arm64_image(kernel_text("7.3.4", all_abi_text));
  EXPECT_EQ(say(plain, Architecture::arm64), "");
  EXPECT_NE(say(compress("gzip", plain), Architecture::arm64).find("gunzip"), std::string::npos);
  EXPECT_NE(say(zboot("gzip", plain), Architecture::arm64).find("zboot"), std::string::npos);
}

TEST_F(KernelImageTest, TellsTheReleaseAtOnce) {
  const auto release = [this](const std::string& bytes) {
    const auto opened = open_kernel(directory.write("image", bytes));
    return image_release(opened->kernel.get(), "image");
  };
  auto cut = bzimage("gzip", "7.3.4-first", kernel_text("7.3.4-first", ""));
  cut.resize(cut.size() / 2);
  EXPECT_EQ(release(cut), "7.3.4-first");
  EXPECT_EQ(release("nothing"), "");
}

TEST_F(KernelImageTest, NeverReadsBeyondTheEnd) {
  const std::string whole = bzimage("gzip", "7.3.4", kernel_text("7.3.4", all_abi_text, 64));
  for (std::size_t size = 0; size < whole.size() - 512; size += 7) {
    const auto result = inspect(whole.substr(0, size));
    ASSERT_FALSE(result) << size;
    EXPECT_EQ(result.error().code, ErrorCode::not_a_kernel);
  }
  // Every offset and length in the header set to the largest number.
  for (std::size_t field = 0x1f1; field < 0x250; ++field) {
    std::string garbled = whole;
    garbled.replace(field, 4, "\xff\xff\xff\xff");
    const auto result = inspect(garbled);
    if (!result) {
      EXPECT_EQ(result.error().code, ErrorCode::not_a_kernel) << field;
    }
  }
}

TEST_F(KernelImageTest, TellsAMissingOneFromOneThatIsNoFile) {
  const auto missing = inspect_file(directory.path("missing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kernel_not_found);
  EXPECT_EQ(missing.error().sys_errno, ENOENT);
  ASSERT_EQ(::mkfifo(directory.path("fifo").c_str(), 0600), 0);
  for (const std::string& path : {directory.path(), directory.path("fifo")}) {
    const auto no_file = inspect_file(path);
    ASSERT_FALSE(no_file);
    EXPECT_EQ(no_file.error().code, ErrorCode::not_a_kernel);
  }
  const auto closed = inspect_kernel(-1, "closed");
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().sys_errno, EBADF);
}

TEST_F(KernelImageTest, ReadsWhatWasOpenedWhateverHappensToTheName) {
  const std::string path = directory.write(
      "image", bzimage("gzip", "7.3.4-first", kernel_text("7.3.4-first", all_abi_text)));
  const auto opened = open_kernel(path);
  ASSERT_TRUE(opened);
  std::filesystem::remove(path);
  directory.write("image", bzimage("gzip", "7.3.4-second", kernel_text("7.3.4-second", "")));
  for (int time = 0; time < 2; ++time) {
    const auto kernel = inspect_kernel(opened->kernel.get(), path, Architecture::x86_64);
    ASSERT_TRUE(kernel) << kernel.error().message;
    EXPECT_EQ(kernel->image.release, "7.3.4-first");
    EXPECT_EQ(kernel->image.path, path);
    EXPECT_EQ(kernel->banner, kernel_banner("7.3.4-first"));
  }
}

TEST_F(KernelImageTest, ReadsRealImages) {
  const char* paths = std::getenv("HANDOVER_TEST_KERNELS");
  if (paths == nullptr) GTEST_SKIP() << "set HANDOVER_TEST_KERNELS to images with KHO, by colons";
  std::string_view rest(paths);
  while (!rest.empty()) {
    const std::string path(rest.substr(0, rest.find(':')));
    rest.remove_prefix(std::min(rest.size(), path.size() + 1));
    const auto opened = open_kernel(path);
    ASSERT_TRUE(opened) << opened.error().message;
    const auto kernel = inspect_kernel(opened->kernel.get(), path);
    ASSERT_TRUE(kernel) << kernel.error().message;
    const KernelImage* image = &kernel->image;
    EXPECT_TRUE(kernel->banner.starts_with("Linux version " + image->release + " (")) << path;
    EXPECT_FALSE(image->release.empty());
    EXPECT_EQ(image->abi.size(), 3U) << path;
    RecordProperty(path, image->release);
  }
}

TEST(AbiScanTest, FindsStringsAcrossEveryBorder) {
  const std::string text = "x\0memfd-v12\0kho-v4\0luo-v5\0Linux version 7.3.4 (u@h) #1\n\0"s;
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    AbiScan scan;
    scan.feed(std::string_view(text).substr(0, cut));
    scan.feed(std::string_view(text).substr(cut));
    EXPECT_EQ(scan.abi(), (std::set<std::string>{"kho-v4", "luo-v5", "memfd-v12"})) << cut;
    EXPECT_EQ(scan.release(), "7.3.4") << cut;
    EXPECT_EQ(scan.banner(), "Linux version 7.3.4 (u@h) #1") << cut;
  }
  AbiScan byte_by_byte;
  for (const char& byte : text) byte_by_byte.feed(std::string_view(&byte, 1));
  EXPECT_EQ(byte_by_byte.abi().size(), 3U);
  EXPECT_EQ(byte_by_byte.release(), "7.3.4");
  EXPECT_EQ(byte_by_byte.banner(), "Linux version 7.3.4 (u@h) #1");
}

TEST(AbiScanTest, FindsNothingThatOnlyLooksAlike) {
  const std::string filler(500, '\0');
  const std::string text = "kho-v\0luo-v5x\0xmemfd-v2\0-kho-v3\0kho-v4 \0KHO-v4\0"s;
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    AbiScan scan;
    scan.feed(filler);
    scan.feed(std::string_view(text).substr(0, cut));
    scan.feed(std::string_view(text).substr(cut));
    scan.feed(filler);
    EXPECT_EQ(scan.abi(), std::set<std::string>{}) << cut;
  }
  // The byte before a string may be in a piece long gone: 1 KiB is kept.
  for (std::size_t gap = 0; gap < 2200; ++gap) {
    AbiScan scan;
    scan.feed(filler + "xkho-v4");
    scan.feed(std::string(1, '\0') + std::string(gap, ' '));
    scan.feed(std::string(5, ' '));
    EXPECT_EQ(scan.abi(), std::set<std::string>{}) << gap;
  }
}

TEST(AbiScanTest, TakesNoOtherTextForTheBanner) {
  AbiScan scan;
  scan.feed("Linux version %s (builder)\n");
  scan.feed("Linux version of it ");
  EXPECT_EQ(scan.release(), "");
  scan.feed("Linux version 7.2.13-cloud (builder)");
  EXPECT_EQ(scan.release(), "7.2.13-cloud");
  EXPECT_EQ(scan.banner(), "") << "it has no end";
}

}  // namespace
}  // namespace handover::system::test
