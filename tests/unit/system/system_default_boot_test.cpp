// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_directory.h"
#include "system/default_boot.h"

namespace handover::system::test {
namespace {

using handover::test::TemporaryDirectory;

class DefaultBoot : public testing::Test {
 protected:
  std::string program(const std::string& path) const {
    auto whole = root.write(path, "");
    std::filesystem::permissions(whole, std::filesystem::perms::owner_all);
    return whole;
  }
  TemporaryDirectory root;
};

TEST_F(DefaultBoot, IsTheBusinessOfWhatIsThere) {
  EXPECT_FALSE(default_boot_command("a.conf", "7.3.4", root.path()));
  const auto bootctl = program("usr/bin/bootctl");
  EXPECT_EQ(default_boot_command("a.conf", "7.3.4", root.path()),
            (std::vector<std::string>{bootctl, "set-default", "a.conf"}));
  root.write("boot/grub/grub.cfg",
             "set default=\"${saved_entry}\"\nmenuentry 'a' --id gnulinux-7.3.4-advanced-x {\n}\n");
  EXPECT_FALSE(default_boot_command("a.conf", "7.3.4", root.path())) << "GRUB has no tool here";
  const auto tool = program("usr/sbin/grub-set-default");
  EXPECT_EQ(default_boot_command("", "7.3.4", root.path()),
            (std::vector<std::string>{tool, "gnulinux-7.3.4-advanced-x"}));
  root.write("boot/loader/loader.conf", "timeout 3\n");
  EXPECT_EQ(default_boot_command("a.conf", "7.3.4", root.path()),
            (std::vector<std::string>{bootctl, "set-default", "a.conf"}));
}

/// The program passes also where it could not write.
TEST_F(DefaultBoot, OfGrubIsInItsEnvironmentBlock) {
  const std::string entry = "gnulinux-advanced-x>gnulinux-7.3.4-advanced-x";
  const std::vector<std::string> grub = {"/usr/bin/systemd-run", "--", "/usr/sbin/grub-set-default",
                                         entry};
  EXPECT_FALSE(check_default_boot(grub, root.path()));
  const std::string head = "# GRUB Environment Block\n";
  root.write("boot/grub/grubenv", head + "saved_entry=other\n######");
  const auto not_taken = check_default_boot(grub, root.path());
  ASSERT_FALSE(not_taken);
  EXPECT_NE(not_taken.error().message.find("/boot/grub/grubenv"), std::string::npos);
  root.write("boot/grub/grubenv", head + "next_entry=\nsaved_entry=" + entry + "\n######");
  EXPECT_TRUE(check_default_boot(grub, root.path()));
  auto fedora = grub;
  fedora[2] = "/usr/sbin/grub2-set-default";
  EXPECT_FALSE(check_default_boot(fedora, root.path()));
  root.write("boot/grub2/grubenv", head + "saved_entry=" + entry + "\n");
  EXPECT_TRUE(check_default_boot(fedora, root.path()));
  EXPECT_TRUE(check_default_boot({"/usr/bin/bootctl", "set-default", "a.conf"}, root.path()));
}

TEST_F(DefaultBoot, IsSetByAUnitOfItsOwn) {
  const auto bootctl = program("usr/bin/bootctl");
  root.write("run/systemd/system/x", "");
  EXPECT_EQ(default_boot_command("a.conf", "7.3.4", root.path())->front(), bootctl)
      << "there is no systemd-run";
  const auto runner = program("usr/bin/systemd-run");
  const auto command = default_boot_command("a.conf", "7.3.4", root.path());
  ASSERT_TRUE(command);
  EXPECT_EQ(command->front(), runner);
  EXPECT_EQ(std::vector<std::string>(command->end() - 4, command->end()),
            (std::vector<std::string>{"--", bootctl, "set-default", "a.conf"}));
}

}  // namespace
}  // namespace handover::system::test
