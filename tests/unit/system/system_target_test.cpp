// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fcntl.h>
#include <gtest/gtest.h>

#include "support/temporary_directory.h"
#include "support/uki.h"
#include "system/files.h"
#include "system/target.h"

namespace handover::system::test {
namespace {

using handover::test::pe_file;
using handover::test::TemporaryDirectory;

class TargetTest : public testing::Test {
 protected:
  Result<FoundTarget> find(const std::string& kernel) {
    options = {};
    options.kernel = kernel;
    auto found = find_target(options, "7.3.3-amd64", root.path());
    if (found) {
      if (auto opened = open_its_initrd(*found, options, "7.3.4-amd64", root.path()); !opened) {
        return fail(opened.error());
      }
    }
    return found;
  }
  static std::string contents(const UniqueFd& fd) {
    return read_fd(fd.get(), 1 << 20).value_or("unreadable");
  }

  TemporaryDirectory root;
  UpdateOptions options;
};

TEST_F(TargetTest, IsTheNewestImageWithItsInitrd) {
  root.write("boot/vmlinuz-7.3.4-amd64", "kernel");
  root.write("boot/vmlinuz-7.3.4-amd64.sig", "signature");
  root.write("boot/initrd.img-7.3.4-amd64", "initrd");
  const auto found = find("");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(options.kernel, root.path("boot/vmlinuz-7.3.4-amd64"));
  EXPECT_EQ(contents(found->image.kernel), "kernel");
  ASSERT_TRUE(found->image.initrd);
  EXPECT_EQ(contents(*found->image.initrd), "initrd");
  EXPECT_FALSE(found->no_initrd_found);
  EXPECT_EQ(found->cmdline, "");
  EXPECT_NE(found->why.find("the only kernel"), std::string::npos);
}

TEST_F(TargetTest, MayHaveNoInitrd) {
  root.write("boot/vmlinuz-7.3.4-amd64", "kernel");
  const auto found = find("7.3.4-amd64");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->no_initrd_found);
  EXPECT_FALSE(found->image.initrd);
  EXPECT_EQ(options.initrd, "");
}

TEST_F(TargetTest, HasTheInitrdThatIsAskedFor) {
  root.write("boot/vmlinuz-7.3.4-amd64", "kernel");
  root.write("boot/initrd.img-7.3.4-amd64", "initrd");
  options.kernel = "newest";
  auto found = find_target(options, "7.3.3-amd64", root.path());
  ASSERT_TRUE(found);
  options.initrd = "";
  ASSERT_TRUE(open_its_initrd(*found, options, "7.3.4-amd64", root.path()));
  EXPECT_FALSE(found->image.initrd);
  EXPECT_FALSE(found->no_initrd_found);
  options.initrd = root.path("missing");
  const auto missing = open_its_initrd(*found, options, "7.3.4-amd64", root.path());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kernel_not_found);
  // Which directory the daemon is in is nobody's business.
  options.initrd = "initrd.img";
  const auto relative = open_its_initrd(*found, options, "7.3.4-amd64", root.path());
  ASSERT_FALSE(relative);
  EXPECT_EQ(relative.error().code, ErrorCode::invalid_argument);
  EXPECT_NE(relative.error().message.find("does not begin with '/'"), std::string::npos);
}

TEST_F(TargetTest, IsWhatAnEntrySays) {
  root.write("efi/m/7.3.4-amd64/linux", "kernel");
  root.write("efi/m/7.3.4-amd64/microcode", "micro");
  root.write("efi/m/7.3.4-amd64/initrd", "initrd");
  root.write("efi/loader/entries/m-7.3.4.conf",
             "linux /m/7.3.4-amd64/linux\ninitrd /m/7.3.4-amd64/microcode\n"
             "initrd /m/7.3.4-amd64/initrd\noptions root=/dev/vda1\n");
  const auto found = find("m-7.3.4");
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(options.kernel, root.path("efi/m/7.3.4-amd64/linux"));
  EXPECT_EQ(found->cmdline, "root=/dev/vda1");
  EXPECT_EQ(contents(*found->image.initrd), std::string("micro\0\0\0initrd", 14));
  EXPECT_FALSE(options.initrd) << "no file holds them all";
  // What GRUB would have filled in.
  root.write("efi/loader/entries/m-7.3.4.conf",
             "linux /m/7.3.4-amd64/linux\ninitrd /m/7.3.4-amd64/initrd\noptions $kernelopts\n");
  const auto grub = find("m-7.3.4");
  ASSERT_TRUE(grub);
  EXPECT_EQ(grub->cmdline, "");
  EXPECT_EQ(options.initrd, root.path("efi/m/7.3.4-amd64/initrd"));
}

/// Fedora with GRUB, and Arch: blessed by that name (core/boot_default.h).
TEST_F(TargetTest, IsKnownToTheBootLoaderThoughItIsChosenAsAnImage) {
  root.write("boot/vmlinuz-7.3.4-amd64", "kernel");
  root.write("boot/initrd.img-7.3.4-amd64", "initrd");
  root.write("boot/loader/entries/m-7.3.4-amd64.conf",
             "linux /vmlinuz-7.3.4-amd64\noptions root=/dev/vdb\n");
  for (const std::string& wanted :
       {std::string(), std::string("7.3.4-amd64"), root.path("boot/vmlinuz-7.3.4-amd64")}) {
    const auto found = find(wanted);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->entry, "m-7.3.4-amd64.conf") << wanted;
    EXPECT_EQ(found->cmdline, "") << "an image's own is the running kernel's";
    EXPECT_EQ(options.entry, "");
  }
  root.write("boot/vmlinuz-7.3.5-amd64", "kernel");
  EXPECT_EQ(find("7.3.5-amd64")->entry, "");
}

/// `update --cmdline …` after `prepare ENTRY`.
TEST_F(TargetTest, KeepsAllInitrdsOfItsEntryWhenItGoesOn) {
  root.write("efi/m/7.3.4-amd64/linux", "kernel");
  root.write("efi/m/7.3.4-amd64/microcode", "micro");
  root.write("efi/m/7.3.4-amd64/initrd", "initrd");
  const auto entry = root.write("efi/loader/entries/m-7.3.4.conf",
                                "linux /m/7.3.4-amd64/linux\ninitrd /m/7.3.4-amd64/microcode\n"
                                "initrd /m/7.3.4-amd64/initrd\noptions root=/dev/vda1\n");
  ASSERT_TRUE(find("m-7.3.4"));
  EXPECT_EQ(options.entry, entry);
  UpdateOptions asked;
  asked.cmdline = "root=/dev/vda2";
  options = going_on(asked, options);
  auto again = find_target(options, "7.3.3-amd64", root.path());
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_TRUE(open_its_initrd(*again, options, "7.3.4-amd64", root.path()));
  EXPECT_EQ(options.kernel, root.path("efi/m/7.3.4-amd64/linux"));
  EXPECT_EQ(options.cmdline, "root=/dev/vda2");
  ASSERT_TRUE(again->image.initrd);
  EXPECT_EQ(contents(*again->image.initrd), std::string("micro\0\0\0initrd", 14));
}

TEST_F(TargetTest, IsTheSameHoweverItIsNamed) {
  root.write("boot/vmlinuz-7.3.4-amd64", "kernel");
  root.write("boot/vmlinuz-7.3.3-amd64", "older");
  root.link("vmlinuz", "boot/vmlinuz-7.3.4-amd64");
  root.write("boot/loader/entries/other.conf",
             "linux /vmlinuz-7.3.4-amd64\noptions root=/dev/vdb\n");
  ASSERT_TRUE(find("7.3.4-amd64"));
  const auto same = [&](const std::string& wanted) {
    return means_target(wanted, options, "7.3.3-amd64", root.path());
  };
  EXPECT_TRUE(same("7.3.4-amd64"));
  EXPECT_TRUE(same("newest"));
  EXPECT_TRUE(same(root.path("vmlinuz")));
  EXPECT_FALSE(same("7.3.3-amd64"));
  EXPECT_FALSE(same("other")) << "the same image with another command line";
  EXPECT_FALSE(same("no-such"));
  ASSERT_TRUE(find("other"));
  EXPECT_TRUE(same("other"));
}

TEST_F(TargetTest, MayBeAUnifiedImage) {
  const auto path =
      root.write("efi/EFI/Linux/a.efi", pe_file({{".linux", "kernel"},
                                                 {".initrd", "initrd"},
                                                 {".ucode", "micro"},
                                                 {".cmdline", "root=/dev/vda1 quiet\n"},
                                                 {".uname", "7.3.4-amd64"}}));
  for (const auto& wanted :
       {std::string(), path, std::string("a.efi"), std::string("7.3.4-amd64")}) {
    const auto found = find(wanted);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(options.kernel, path);
    EXPECT_EQ(contents(found->image.kernel), "kernel");
    EXPECT_EQ(contents(*found->image.initrd), std::string("micro\0\0\0initrd", 14));
    EXPECT_EQ(found->cmdline, "root=/dev/vda1 quiet");
    EXPECT_EQ(found->image.initrd_path, path);
    EXPECT_FALSE(options.initrd);
    // The kernel loads nothing that is open for writing.
    EXPECT_EQ(::fcntl(found->image.kernel.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  }
  options = {};
  options.kernel = path;
  options.initrd = "";
  auto found = find_target(options, "7.3.3-amd64", root.path());
  ASSERT_TRUE(found);
  ASSERT_TRUE(open_its_initrd(*found, options, "", root.path()));
  EXPECT_FALSE(found->image.initrd) << "none is asked for";
}

TEST_F(TargetTest, HasAddOnsThatTheFirmwareWouldTake) {
  const auto path =
      root.write("efi/EFI/Linux/a.efi", pe_file({{".linux", "kernel"}, {".uname", "7.3.4-amd64"}}));
  EXPECT_TRUE(find(path)->addons.empty());
  const std::vector<std::string> addons = {
      root.write("efi/EFI/Linux/a.efi.extra.d/debug.addon.efi", ""),
      root.write("efi/EFI/Linux/a.efi.extra.d/key.cred", ""),
      root.write("efi/loader/addons/all.addon.efi", "")};
  root.write("efi/EFI/Linux/a.efi.extra.d/README", "");
  root.write("efi/EFI/Linux/b.efi.extra.d/other.addon.efi", "");
  EXPECT_EQ(find(path)->addons, addons);
  // A kernel that is none has none.
  root.write("boot/vmlinuz-7.3.5-amd64", "kernel");
  EXPECT_TRUE(find("7.3.5-amd64")->addons.empty());
}

TEST_F(TargetTest, MayBeADamagedUnifiedImage) {
  auto bytes = pe_file({{".linux", "kernel"}, {".initrd", std::string(2000, 'i')}});
  bytes.resize(bytes.size() - 1000);
  const auto path = root.write("a.efi", bytes);
  const auto found = find(path);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::not_a_kernel);
  EXPECT_TRUE(found.error().message.starts_with(path + " is a unified")) << found.error().message;
}

TEST_F(TargetTest, MustBeThere) {
  const auto none = find("");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_found);
  const auto missing = find("/nowhere/vmlinuz");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kernel_not_found);
  const auto relative = find("../vmlinuz");
  ASSERT_FALSE(relative);
  EXPECT_EQ(relative.error().code, ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace handover::system::test
