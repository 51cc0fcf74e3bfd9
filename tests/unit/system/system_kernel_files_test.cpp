// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "support/temporary_directory.h"
#include "support/uki.h"
#include "system/kernel_files.h"

namespace handover::system::test {
namespace {

using handover::test::TemporaryDirectory;

TEST(KernelFiles, AreListedOnceAndKnownByTheirBytes) {
  const TemporaryDirectory root;
  const auto first = root.write("boot/vmlinuz-7.3.4", "an image");
  const auto second = root.write("boot/vmlinuz-7.3.5", "another image");
  root.write("boot/vmlinuz-7.3.5.old", "an image");
  root.write("boot/config-7.3.5", "");
  root.write("boot/initrd.img-7.3.5", "");
  root.link("boot/vmlinuz", "vmlinuz-7.3.5");
  root.write("lib/modules/7.3.4/vmlinuz", "an image");
  const auto third = root.write("lib/modules/7.3.6/vmlinuz", "");
  root.write("boot/loader/entries/a.conf", "version 7.3.4\nlinux /vmlinuz-7.3.4\n");
  const auto files = kernel_files({"7.3.4", "7.3.6"}, root.path());
  const std::vector<KernelFile> expected = {{first, {"7.3.4", image_identity("an image")}},
                                            {second, {"7.3.5", ""}},
                                            {third, {"7.3.6", image_identity("")}}};
  EXPECT_EQ(files, expected);
}

TEST(KernelFiles, OfAUnifiedImageTheKernelCounts) {
  const TemporaryDirectory root;
  const auto path =
      root.write("boot/EFI/Linux/a.efi", handover::test::pe_file({{".linux", "the kernel"},
                                                                  {".uname", "7.3.4"},
                                                                  {".osrel", "ID=os\n"},
                                                                  {".initrd", "an initrd"}}));
  const auto files = kernel_files({"7.3.4"}, root.path());
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].path, path);
  EXPECT_EQ(files[0].kernel, (KernelIdentity{"7.3.4", image_identity("the kernel")}));
}

TEST(KernelFiles, AreNoneWhereThereIsNothing) {
  const TemporaryDirectory root;
  EXPECT_TRUE(kernel_files({"7.3.4"}, root.path()).empty());
}

}  // namespace
}  // namespace handover::system::test
