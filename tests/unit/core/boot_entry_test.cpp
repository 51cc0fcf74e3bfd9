// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/boot_entry.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace handover {
namespace {

BootEntry parse(const std::string& text, const std::string& name = "a.conf") {
  const auto entry = parse_boot_entry("/efi/loader/entries/" + name, "/efi", text);
  EXPECT_TRUE(entry) << entry.error().message;
  return entry.value_or(BootEntry{});
}

TEST(ParseBootEntry, ReadsAllThatCounts) {
  const auto entry = parse(
      "# Boot Loader Specification type#1 entry\n"
      "title      Debian GNU/Linux 13 (trixie)\n"
      "version    7.3.4-amd64\n"
      "machine-id b0e793a9baf14b5fa13ecbe84ff637ac\n"
      "sort-key   debian\n"
      "options    root=/dev/vda1 ro \t\r\n"
      "options    quiet\n"
      "architecture x64\n"
      "linux      /b0e7/7.3.4-amd64/linux\n"
      "initrd     /b0e7/7.3.4-amd64/microcode\n"
      "initrd\t/b0e7/7.3.4-amd64/initrd.img-7.3.4-amd64\n"
      "grub_users $grub_users\n"
      "devicetree /a.dtb\n"
      "title",
      "b0e7-7.3.4-amd64.conf");
  EXPECT_EQ(entry.id, "b0e7-7.3.4-amd64.conf");
  EXPECT_EQ(entry.source, "/efi/loader/entries/b0e7-7.3.4-amd64.conf");
  EXPECT_EQ(entry.title, "Debian GNU/Linux 13 (trixie)");
  EXPECT_EQ(entry.version, "7.3.4-amd64");
  EXPECT_EQ(entry.machine_id, "b0e793a9baf14b5fa13ecbe84ff637ac");
  EXPECT_EQ(entry.sort_key, "debian");
  EXPECT_EQ(entry.architecture, "x64");
  EXPECT_EQ(entry.options, "root=/dev/vda1 ro quiet");
  EXPECT_EQ(entry.linux, "/efi/b0e7/7.3.4-amd64/linux");
  EXPECT_EQ(entry.initrds,
            (std::vector<std::string>{"/efi/b0e7/7.3.4-amd64/microcode",
                                      "/efi/b0e7/7.3.4-amd64/initrd.img-7.3.4-amd64"}));
  EXPECT_EQ(entry.release, "7.3.4-amd64");
  EXPECT_FALSE(entry.tries_left);
}

TEST(ParseBootEntry, FindsTheRelease) {
  EXPECT_EQ(parse("linux /vmlinuz-7.3.4-200.fc44.x86_64\n").release, "7.3.4-200.fc44.x86_64");
  EXPECT_EQ(parse("linux vmlinuz-linux\nversion 7.3.4-arch1-1\n").release, "7.3.4-arch1-1");
  EXPECT_EQ(parse("linux vmlinuz-linux\n").release, "");
  EXPECT_EQ(parse("linux vmlinuz-linux\n").linux, "/efi/vmlinuz-linux");
  // sdbootutil of openSUSE: the hash is no release, and the snapshot's number none of it.
  EXPECT_EQ(
      parse("version 1@6.17.5-1-default\nlinux /suse/6.17.5-1-default/linux-1f2e3d\n").release,
      "6.17.5-1-default");
  EXPECT_EQ(parse("version 12@6.17.5-1-default\nlinux /suse/linux\n").release, "6.17.5-1-default");
}

TEST(ParseBootEntry, TakesWhatGrubTakesInOneLine) {
  const auto entry = parse("linux /l\ninitrd /ucode.img /initramfs-7.3.img $tuned_initrd\n");
  EXPECT_EQ(entry.initrds, (std::vector<std::string>{"/efi/ucode.img", "/efi/initramfs-7.3.img"}));
}

TEST(GrubDefault, IsItsSavedEntry) {
  EXPECT_EQ(grub_default("# GRUB Environment Block\nsaved_entry=ffff-7.3.4\nboot_success=0\n####"),
            "ffff-7.3.4");
  EXPECT_EQ(grub_default("# GRUB Environment Block\nmy_saved_entry=x\n"), "");
  EXPECT_EQ(grub_default(""), "");
}

TEST(ParseBootEntry, CountsTries) {
  const std::string text = "linux /l\n";
  EXPECT_EQ(parse(text, "a+3.conf").tries_left, 3U);
  EXPECT_EQ(parse(text, "a+3.conf").id, "a.conf");
  const auto used = parse(text, "6.1+deb+0-12.conf");
  EXPECT_EQ(used.tries_left, 0U);
  EXPECT_EQ(used.tries_done, 12U);
  EXPECT_EQ(used.id, "6.1+deb.conf");
  for (const char* name : {"a+.conf", "a+x.conf", "a+3-.conf", "a+3-x.conf", "a+-3.conf",
                           "6.12.9+deb13.conf", "a+99999999999.conf"}) {
    EXPECT_FALSE(parse(text, name).tries_left) << name;
    EXPECT_EQ(parse(text, name).id, name);
  }
}

TEST(ParseBootEntry, RefusesWhatIsNone) {
  for (const char* text : {"", "title x\n", "efi /shell.efi\n", "linux\n", "linux /a\nuki /b\n",
                           "linux /../etc/x\n", "linux ..\n", "linux /a\ninitrd /b/../../c\n"}) {
    const auto refused = parse_boot_entry("/efi/loader/entries/a.conf", "/efi", text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(refused.error().message.find("/efi/loader/entries/a.conf"), std::string::npos);
  }
  EXPECT_EQ(parse("uki /EFI/Linux/a.efi\n").uki, "/efi/EFI/Linux/a.efi");
  EXPECT_EQ(parse("linux /a..b/..c\n").linux, "/efi/a..b/..c");
}

TEST(EntryOfUki, HasWhatItsSectionsSay) {
  using namespace std::string_literals;
  const auto entry =
      entry_of_uki("/efi/EFI/Linux/debian-7.3.4+2-1.efi",
                   "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux\"\n#x\nVERSION_ID='13'\n"
                   "=\nBUILD_ID\n\0junk"s,
                   "7.3.4-amd64\n\0"s, "root=/dev/vda1 quiet\n\0\0"s);
  EXPECT_EQ(entry.id, "debian-7.3.4.efi");
  EXPECT_EQ(entry.tries_left, 2U);
  EXPECT_EQ(entry.uki, "/efi/EFI/Linux/debian-7.3.4+2-1.efi");
  EXPECT_EQ(entry.linux, "");
  EXPECT_EQ(entry.title, "Debian GNU/Linux");
  EXPECT_EQ(entry.version, "13");
  EXPECT_EQ(entry.sort_key, "debian");
  EXPECT_EQ(entry.release, "7.3.4-amd64");
  EXPECT_EQ(entry.options, "root=/dev/vda1 quiet");
  const auto image =
      entry_of_uki("/a.efi", "ID=x\nIMAGE_ID=img\nIMAGE_VERSION=7\nVERSION=9\n", "", "");
  EXPECT_EQ(image.sort_key, "img");
  EXPECT_EQ(image.version, "7");
  EXPECT_EQ(image.title, "img");
}

BootEntry entry(const std::string& id, const std::string& sort_key = "",
                const std::string& version = "", const std::string& machine = "") {
  BootEntry made;
  made.id = id;
  made.sort_key = sort_key;
  made.version = version;
  made.machine_id = machine;
  return made;
}

TEST(MenuOrder, IsThatOfBootctl) {
  auto used_up = entry("z.conf", "a", "99");
  used_up.tries_left = 0;
  auto more = entry("same.conf");
  more.tries_left = 3;
  auto fewer = entry("same.conf");
  fewer.tries_left = 2;
  auto fewer_done = fewer;
  fewer_done.tries_done = 1;
  const std::vector<BootEntry> sorted = {
      entry("a.conf", "arch", "7.3"),
      entry("b.conf", "arch", "7.2"),
      entry("a.conf", "debian", "7.10", "1"),
      entry("c.conf", "debian", "7.9", "1"),
      entry("b.conf", "debian", "7.9", "1"),
      entry("a.conf", "debian", "8.0", "2"),
      entry("z-7.10.conf"),
      entry("z-7.9.conf"),
      more,
      fewer,
      fewer_done,
      entry("a.conf"),
      used_up,
  };
  for (std::size_t a = 0; a < sorted.size(); ++a) {
    for (std::size_t b = 0; b < sorted.size(); ++b) {
      EXPECT_EQ(menu_order(sorted[a], sorted[b]), a < b) << a << " " << b;
    }
  }
}

TEST(DefaultEntry, IsTheFirstOrWhatLoaderConfSays) {
  const std::vector<BootEntry> entries = {entry("old.conf", "debian", "7.2"),
                                          entry("new.conf", "debian", "7.3"),
                                          entry("other.efi", "", "9")};
  const auto id = [&](const std::string& conf) { return default_entry(entries, conf)->id; };
  EXPECT_EQ(id(""), "new.conf");
  EXPECT_EQ(id("timeout 3\n"), "new.conf");
  EXPECT_EQ(id("default old.conf\n"), "old.conf");
  EXPECT_EQ(id("default OLD*\n"), "old.conf");
  EXPECT_EQ(id("default *.conf"), "new.conf");
  EXPECT_EQ(id("default *.efi\n"), "other.efi");
  EXPECT_EQ(id("#default old.conf\n"), "new.conf");
  EXPECT_EQ(id("default nothing*\n"), "new.conf");
  EXPECT_EQ(id("default @saved\n"), "new.conf");
  EXPECT_EQ(default_entry({}, "default x"), nullptr);
  EXPECT_EQ(default_entry({}, "", {"x", "y"}), nullptr);
}

TEST(FindEntry, ByIdOrPath) {
  std::vector<BootEntry> entries = {entry("a.conf"), entry("b.efi")};
  entries[0].source = "/efi/loader/entries/a+3.conf";
  EXPECT_EQ(find_entry(entries, "a.conf"), &entries[0]);
  EXPECT_EQ(find_entry(entries, "a"), &entries[0]);
  EXPECT_EQ(find_entry(entries, "/efi/loader/entries/a+3.conf"), &entries[0]);
  EXPECT_EQ(find_entry(entries, "b"), &entries[1]);
  EXPECT_EQ(find_entry(entries, "c"), nullptr);
  EXPECT_EQ(find_entry(entries, ""), nullptr);
}

}  // namespace
}  // namespace handover
