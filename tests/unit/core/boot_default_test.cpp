// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/boot_default.h"

#include <gtest/gtest.h>

namespace handover {
namespace {

/// As Debian's grub-mkconfig writes it.
const std::string debian = R"(set default="${saved_entry}"
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple-abcd' {
	linux /boot/vmlinuz-7.3.5-amd64
}
submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-abcd' {
	menuentry 'Debian GNU/Linux, with Linux 7.3.5-amd64' --class debian $menuentry_id_option 'gnulinux-7.3.5-amd64-advanced-abcd' {
		if [ x$grub_platform = xxen ]; then insmod xzio; fi
		linux /boot/vmlinuz-7.3.5-amd64
	}
	menuentry 'Debian GNU/Linux, with Linux 7.3.5-amd64 (recovery mode)' $menuentry_id_option 'gnulinux-7.3.5-amd64-recovery-abcd' {
		linux /boot/vmlinuz-7.3.5-amd64 single
	}
	menuentry 'Debian GNU/Linux, with Linux 7.3.4-amd64' $menuentry_id_option 'gnulinux-7.3.4-amd64-advanced-abcd' {
	}
}
menuentry 'Own' --id own-7.3.3 {
}
)";

BootDefaultFacts grub_host() {
  BootDefaultFacts facts;
  facts.release = "7.3.4-amd64";
  facts.grub_cfg = debian;
  facts.grub_tool = "/usr/sbin/grub-set-default";
  facts.bootctl = "/usr/bin/bootctl";
  return facts;
}

TEST(GrubMenu, HasEntriesBelowSubmenus) {
  EXPECT_EQ(grub_entry_id(debian, "7.3.4-amd64"),
            "gnulinux-advanced-abcd>gnulinux-7.3.4-amd64-advanced-abcd");
  EXPECT_EQ(grub_entry_id(debian, "7.3.5-amd64"),
            "gnulinux-advanced-abcd>gnulinux-7.3.5-amd64-advanced-abcd");
  for (const char* none : {"7.3.4", "7.3.6-amd64", "", "amd64"}) {
    const auto refused = grub_entry_id(debian, none);
    ASSERT_FALSE(refused) << none;
    EXPECT_EQ(refused.error().code, ErrorCode::kernel_not_found);
  }
}

TEST(GrubMenu, WithoutASubmenuHasItsOwnId) {
  EXPECT_EQ(
      grub_entry_id("menuentry 'a' $menuentry_id_option 'gnulinux-7.3-advanced-x' {\n}\n", "7.3"),
      "gnulinux-7.3-advanced-x");
  EXPECT_EQ(grub_entry_id("menuentry \"a\" --id gnulinux-7.3-advanced-x {\n}\n", "7.3"),
            "gnulinux-7.3-advanced-x");
}

TEST(GrubMenu, WhatMeansMoreThanItselfIsNotPassedOn) {
  EXPECT_FALSE(grub_entry_id("menuentry 'a' --id 'gnulinux-7.3-advanced-x;y' {\n}\n", "7.3"));
  EXPECT_FALSE(
      grub_entry_id("submenu 's' --id '-x' {\nmenuentry 'a' --id "
                    "gnulinux-7.3-advanced-x {\n}\n}\n",
                    "7.3"));
  EXPECT_FALSE(grub_entry_id("menuentry 'a' --id 'gnulinux-7.3-advanced-x", "7.3"));
}

TEST(BootDefault, OfGrubIsWhatItSaves) {
  auto facts = grub_host();
  EXPECT_EQ(
      boot_default_command(facts),
      (std::vector<std::string>{"/usr/sbin/grub-set-default",
                                "gnulinux-advanced-abcd>gnulinux-7.3.4-amd64-advanced-abcd"}));
  facts.grub_cfg = "set default=\"0\"\n" + debian.substr(debian.find('\n') + 1);
  ASSERT_FALSE(boot_default_command(facts));
  EXPECT_NE(boot_default_command(facts).error().message.find("GRUB_DEFAULT=saved"),
            std::string::npos);
  facts = grub_host();
  facts.grub_tool.clear();
  EXPECT_FALSE(boot_default_command(facts));
}

TEST(BootDefault, OfFedorasGrubIsTheEntrysId) {
  auto facts = grub_host();
  facts.grub_cfg = "set default=\"${saved_entry}\"\ninsmod blscfg\nblscfg\n";
  facts.grub_tool = "/usr/sbin/grub2-set-default";
  facts.entry = "0123-7.3.4.conf";
  EXPECT_EQ(boot_default_command(facts),
            (std::vector<std::string>{"/usr/sbin/grub2-set-default", "0123-7.3.4"}));
  facts.entry.clear();
  EXPECT_FALSE(boot_default_command(facts));
}

TEST(BootDefault, OfSystemdBootIsTheEntry) {
  BootDefaultFacts facts;
  facts.release = "7.3.4";
  EXPECT_FALSE(boot_default_command(facts)) << "there is nothing";
  facts.bootctl = "/usr/bin/bootctl";
  EXPECT_FALSE(boot_default_command(facts)) << "no entry";
  facts.entry = "debian-7.3.4.conf";
  const std::vector<std::string> expected = {"/usr/bin/bootctl", "set-default",
                                             "debian-7.3.4.conf"};
  EXPECT_EQ(boot_default_command(facts), expected);
  facts.grub_cfg = debian;
  facts.loader_conf = "timeout 3\n";
  EXPECT_EQ(boot_default_command(facts), expected) << "a GRUB is left over";
  facts.entry = "a b";
  EXPECT_FALSE(boot_default_command(facts));
  facts.entry = "--help";
  EXPECT_FALSE(boot_default_command(facts));
}

}  // namespace
}  // namespace handover
