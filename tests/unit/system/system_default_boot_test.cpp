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
