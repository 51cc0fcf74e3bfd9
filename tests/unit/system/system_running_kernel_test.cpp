// SPDX-License-Identifier: LGPL-2.1-or-later
// What the running kernel speaks, from fixture trees.
#include <gtest/gtest.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "kernel_images.h"
#include "support/temporary_directory.h"
#include "support/uki.h"
#include "system/kernel_image.h"

namespace handover::system::test {

using handover::test::pe_file;
using handover::test::TemporaryDirectory;
namespace {

using namespace std::string_literals;

class RunningKernelTest : public testing::Test {
 protected:
  RunningKernelTest() {
    root.write("proc/sys/kernel/osrelease", "7.3.4-test\n");
    root.write("proc/cmdline", "quiet kho=on liveupdate=on\n");
    root.write("proc/version", kernel_banner("7.3.4-test") + "\n");
  }
  RunningKernel running() { return running_kernel(root.path()).value(); }
  void write_live_trees() {
    root.write("sys/kernel/debug/kho/out/fdt", "\xd0\x0d\xfe\xed\0\0\0\x01kho-v4\0\0preserved"s);
    root.write("sys/kernel/debug/kho/out/sub_fdts/LUO", "luo-v5");
  }
  std::string image(const std::string& abi, const std::string& release = "7.3.4-test") {
    return host_architecture() == Architecture::x86_64
               ? bzimage("lz4-legacy", release, kernel_text(release, abi))
               : arm64_image(kernel_text(release, abi));
  }

  TemporaryDirectory root;
};

TEST_F(RunningKernelTest, SpeaksWhatItsImageSays) {
  root.write("proc/cmdline", "quiet\n");
  for (const char* place : {"lib/modules/7.3.4-test/vmlinuz", "boot/vmlinuz-7.3.4-test"}) {
    root.write(place, image("kho-v4 luo-v5 memfd-v2"));
    const auto kernel = running();
    EXPECT_EQ(kernel.release, "7.3.4-test");
    EXPECT_EQ(kernel.cmdline, "quiet");
    EXPECT_EQ(kernel.abi, (std::set<std::string>{"kho-v4", "luo-v5", "memfd-v2"})) << place;
    EXPECT_FALSE(kernel.kho_enabled);
    EXPECT_FALSE(kernel.luo_available);
    std::filesystem::remove(root.path(place));
  }
}

/// Alpine, Gentoo, kernel-install, NixOS, and unified images.
TEST_F(RunningKernelTest, FindsItsImageByWhateverNameItHas) {
  const auto own = image("kho-v4 luo-v5 memfd-v2");
  root.write("boot/loader/entries/m-7.3.4.conf", "linux /m/7.3.4-test/linux\n");
  root.write("efi/loader/entries/nixos.conf", "linux /EFI/nixos/0a-linux-bzImage.efi\n");
  root.write("lib/modules/7.3.4-test/modules.dep", "");
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v9", "7.3.4-other"));
  for (const auto& [place, bytes] :
       {std::pair{"boot/vmlinuz-lts", own}, std::pair{"boot/kernel-7.3.4-test", own},
        std::pair{"boot/Image-7.3.4-test", own}, std::pair{"boot/m/7.3.4-test/linux", own},
        std::pair{"efi/EFI/nixos/0a-linux-bzImage.efi", own},
        std::pair{"efi/EFI/Linux/a.efi", pe_file({{".linux", own}, {".uname", "7.3.4-test"}})}}) {
    root.write(place, bytes);
    EXPECT_EQ(running().abi, (std::set<std::string>{"kho-v4", "luo-v5", "memfd-v2"})) << place;
    std::filesystem::remove(root.path(place));
    EXPECT_EQ(running().abi, std::set<std::string>{}) << place;
  }
}

TEST_F(RunningKernelTest, SpeaksWhatItsLiveTreesSay) {
  write_live_trees();
  EXPECT_EQ(running().abi, (std::set<std::string>{"kho-v4", "luo-v5"}));
  EXPECT_TRUE(running().kho_enabled);
}

TEST_F(RunningKernelTest, BelievesItsLiveTreesMoreThanAnyFile) {
  write_live_trees();
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v9 luo-v9 memfd-v2"));
  EXPECT_EQ(running().abi, (std::set<std::string>{"kho-v4", "luo-v5", "memfd-v2"}))
      << "the trees say nothing of memfds";
}

TEST_F(RunningKernelTest, DoesNotBelieveAnImageOfAnotherBuild) {
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v9 luo-v9", "7.3.4-other"));
  EXPECT_EQ(running().abi, std::set<std::string>{});
  // The same release, built again.
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v4 luo-v5 memfd-v2"));
  EXPECT_EQ(running().abi.size(), 3U);
  root.write("proc/version", kernel_banner("7.3.4-test") + " 2\n");
  EXPECT_EQ(running().abi, std::set<std::string>{});
  // The build that runs may lie elsewhere.
  root.write("proc/version", kernel_banner("7.3.4-test") + "\n");
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v9", "7.3.4-other"));
  root.write("lib/modules/7.3.4-test/vmlinuz", image("kho-v4 luo-v5 memfd-v2"));
  EXPECT_EQ(running().abi.size(), 3U);
}

TEST_F(RunningKernelTest, SaysWhyItsAbiIsNotKnown) {
  EXPECT_EQ(running().abi_problem, "") << "there is no image: nothing went wrong";
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v9", "7.3.4-other"));
  EXPECT_EQ(running().abi_problem,
            root.path("boot/vmlinuz-7.3.4-test") + " is another build than the one that runs");
  // The end of the file has not reached the disk.
  auto cut = image("kho-v4 luo-v5 memfd-v2");
  cut.resize(cut.size() / 2);
  root.write("boot/vmlinuz-7.3.4-test", cut);
  EXPECT_NE(running().abi_problem.find("boot/vmlinuz-7.3.4-test is"), std::string::npos)
      << running().abi_problem;
  root.write("lib/modules/7.3.4-test/vmlinuz/is-a-directory", "");
  const auto both = running().abi_problem;
  EXPECT_NE(both.find("; "), std::string::npos) << both;
  EXPECT_NE(both.find("lib/modules/7.3.4-test/vmlinuz"), std::string::npos) << both;
  root.write("sys/kernel/debug/kho/out/fdt/is-a-directory", "");
  EXPECT_NE(running().abi_problem.find("kho/out/fdt"), std::string::npos);
}

TEST_F(RunningKernelTest, HasKhoOnlyIfThatIsProven) {
  EXPECT_FALSE(running().kho_enabled) << "kho=on alone is ignored by a kernel without KHO";
  root.write("boot/vmlinuz-7.3.4-test", image("kho-v4 luo-v5"));
  for (const char* on : {"kho=on", "kho=1", "kho=y", "kho=off kho=\"Yes\"", "kho=only"}) {
    root.write("proc/cmdline", "quiet "s + on + "\n");
    EXPECT_TRUE(running().kho_enabled) << on;
  }
  for (const char* off : {"", "kho=off", "kho= xkho=on kho.a=on", "kho=on kho=0", "-- kho=on"}) {
    root.write("proc/cmdline", "quiet "s + off + "\n");
    EXPECT_FALSE(running().kho_enabled) << off;
  }
}

TEST_F(RunningKernelTest, HasKhoIfItHasLuo) {
  root.write("dev/liveupdate", "");
  // A kernel may have both on without a word on its command line.
  root.write("proc/cmdline", "quiet\n");
  EXPECT_TRUE(running().luo_available);
  EXPECT_TRUE(running().kho_enabled);
}

TEST_F(RunningKernelTest, KnowsWhetherItWasGivenAnInitrd) {
  EXPECT_FALSE(running().has_initrd);
  root.write("boot/initramfs-7.3.4-test.img", "");
  EXPECT_TRUE(running().has_initrd) << "it lies where it would have been taken from";
  // What the boot loader has told the kernel says it for certain.
  std::string parameters(4096, '\0');
  root.write("sys/kernel/boot_params/data", parameters);
  EXPECT_FALSE(running().has_initrd);
  parameters[0x21d] = 1;
  root.write("sys/kernel/boot_params/data", parameters);
  EXPECT_TRUE(running().has_initrd);
  root.write("sys/kernel/boot_params/data", parameters.substr(0, 100));
  EXPECT_TRUE(running().has_initrd) << "it is cut: back to the file's name";
}

/// arm64 has no boot_params.
TEST_F(RunningKernelTest, HasAnInitrdThatTheDeviceTreeNamesOrItsOwnFilesHave) {
  const auto own = image("kho-v4");
  const auto has_initrd_with = [&](const std::vector<std::pair<std::string, std::string>>& files) {
    for (const auto& [place, text] : files) root.write(place, text);
    const bool has = running().has_initrd;
    for (const auto& [place, text] : files) std::filesystem::remove(root.path(place));
    return has;
  };
  root.write("lib/modules/7.3.4-test/modules.dep", "");
  EXPECT_FALSE(running().has_initrd);
  EXPECT_TRUE(has_initrd_with({{"proc/device-tree/chosen/linux,initrd-start", "\x01"}}));
  EXPECT_TRUE(has_initrd_with({{"boot/vmlinuz-lts", own}, {"boot/initramfs-lts", ""}}));
  EXPECT_FALSE(has_initrd_with({{"boot/vmlinuz-lts", own}}));
  const std::pair<std::string, std::string> kernel{"efi/m/7.3.4-test/linux", own};
  EXPECT_TRUE(has_initrd_with({kernel,
                               {"efi/loader/entries/m-7.3.4.conf",
                                "linux /m/7.3.4-test/linux\ninitrd /m/7.3.4-test/initrd\n"}}));
  EXPECT_FALSE(has_initrd_with(
      {kernel, {"efi/loader/entries/m-7.3.4.conf", "linux /m/7.3.4-test/linux\n"}}));
  EXPECT_TRUE(has_initrd_with(
      {{"efi/EFI/Linux/a.efi", pe_file({{".linux", own}, {".initrd", "initrd"}})}}));
  EXPECT_FALSE(has_initrd_with({{"efi/EFI/Linux/a.efi", pe_file({{".linux", own}})}}));
}

TEST_F(RunningKernelTest, KnowsWhatIsBuiltIn) {
  EXPECT_EQ(running().built_in, std::nullopt);
  root.write("boot/config-7.3.4-test", "CONFIG_CMDLINE_BOOL=y\nCONFIG_CMDLINE=\"quiet\"\n");
  EXPECT_EQ(running().built_in, BuiltInCmdline{"quiet"});
}

TEST_F(RunningKernelTest, SaysWhatCannotBeRead) {
  const auto nothing = running_kernel(root.path("nowhere"));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().sys_errno, ENOENT);
}

}  // namespace
}  // namespace handover::system::test
