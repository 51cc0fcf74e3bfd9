// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "kernel_images.h"
#include "support/temporary_directory.h"
#include "support/uki.h"
#include "system/boot_listing.h"
#include "system/kernel_image.h"

namespace handover::system::test {
namespace {

using handover::test::pe_file;
using handover::test::TemporaryDirectory;

const FoundImage* image_of(const BootListing& listing, const std::string& path) {
  for (const auto& image : listing.images) {
    if (image.path == path) return &image;
  }
  return nullptr;
}

TEST(BootListing, IsEmptyWhereThereIsNothing) {
  const TemporaryDirectory root;
  const auto listing = boot_listing(root.path());
  EXPECT_TRUE(listing.images.empty());
  EXPECT_TRUE(listing.entries.empty());
  EXPECT_TRUE(listing.modules.empty());
}

TEST(BootListing, HasImagesAndWhatTheySay) {
  const TemporaryDirectory root;
  const auto plain = root.write("boot/vmlinuz-7.3.4", "");
  root.link("boot/vmlinuz", "vmlinuz-7.3.4");
  root.link("boot/vmlinuz-9.9", "nowhere");
  root.write("boot/vmlinuz-linux", bzimage("gzip", "7.3.5-arch1-1", kernel_text("7.3.5", "")));
  root.write("lib/modules/7.3.4/vmlinuz", "");
  root.write("lib/modules/7.3.5-arch1-1/modules.dep", "");
  const auto listing = boot_listing(root.path());
  ASSERT_NE(image_of(listing, plain), nullptr);
  EXPECT_FALSE(image_of(listing, plain)->is_link);
  EXPECT_TRUE(image_of(listing, root.path("boot/vmlinuz"))->is_link);
  EXPECT_TRUE(image_of(listing, root.path("boot/vmlinuz"))->real.ends_with("/boot/vmlinuz-7.3.4"));
  EXPECT_EQ(image_of(listing, root.path("boot/vmlinuz-9.9"))->real, "");
  EXPECT_NE(image_of(listing, root.path("lib/modules/7.3.4/vmlinuz")), nullptr);
  EXPECT_EQ(listing.modules, (std::set<std::string>{"7.3.4", "7.3.5-arch1-1"}));
  if (host_architecture() == Architecture::x86_64) {
    EXPECT_EQ(image_of(listing, root.path("boot/vmlinuz-linux"))->release, "7.3.5-arch1-1");
    const auto chosen = choose_kernel("", listing, "7.3.4-arch1-1");
    ASSERT_TRUE(chosen) << chosen.error().message;
    EXPECT_EQ(chosen->path, root.path("boot/vmlinuz-linux"));
  }
}

/// As NixOS and Arch have them, and ukify without --uname.
TEST(BootListing, AsksTheKernelsOfEntriesThatSayNoRelease) {
  const TemporaryDirectory root;
  const auto kernel = [](const std::string& release) {
    const auto text = kernel_text(release, "kho-v4");
    return host_architecture() == Architecture::x86_64 ? bzimage("gzip", release, text)
                                                       : arm64_image(text);
  };
  root.write("boot/EFI/nixos/0a-linux-7.3.5-bzImage.efi", kernel("7.3.5"));
  root.write("boot/loader/entries/nixos-generation-7.conf",
             "title NixOS\nlinux /EFI/nixos/0a-linux-7.3.5-bzImage.efi\n");
  root.write("efi/vmlinuz-linux", kernel("7.3.5-arch1-1"));
  root.write("efi/loader/entries/arch.conf", "title Arch Linux\nlinux /vmlinuz-linux\n");
  root.write("efi/EFI/Linux/a.efi", pe_file({{".linux", kernel("7.3.6-arch1-1")}}));
  root.write("efi/EFI/Linux/broken.efi", pe_file({{".linux", "no kernel"}}));
  const auto listing = boot_listing(root.path());
  const auto release = [&](const char* id) {
    const auto* entry = find_entry(listing.entries, id);
    return entry == nullptr ? std::string("not there") : entry->release;
  };
  EXPECT_EQ(release("nixos-generation-7"), "7.3.5");
  EXPECT_EQ(release("arch"), "7.3.5-arch1-1");
  EXPECT_EQ(release("a.efi"), "7.3.6-arch1-1");
  EXPECT_EQ(release("broken.efi"), "");
  const auto newest = choose_kernel("newest", listing, "7.3.4-arch1-1");
  ASSERT_TRUE(newest) << newest.error().message;
  EXPECT_EQ(newest->path, root.path("efi/EFI/Linux/a.efi"));
  const auto nixos = choose_kernel("newest", listing, "7.3.4");
  ASSERT_TRUE(nixos) << nixos.error().message;
  EXPECT_EQ(nixos->entry->id, "nixos-generation-7.conf");
}

/// Fedora, EL and ostree where /boot is a directory of the root file system.
TEST(BootListing, HasEntriesWhosePathsBeginAtTheRoot) {
  const TemporaryDirectory root;
  root.write("boot/vmlinuz-7.3.4", "");
  root.write("boot/loader/entries/a-7.3.4.conf",
             "linux /boot/vmlinuz-7.3.4\ninitrd /boot/initramfs-7.3.4.img\n");
  root.write("boot/grub2/grubenv", "saved_entry=a-7.3.4\n");
  const auto listing = boot_listing(root.path());
  ASSERT_EQ(listing.entries.size(), 1U);
  EXPECT_EQ(listing.entries[0].linux, root.path("boot/vmlinuz-7.3.4"));
  EXPECT_EQ(listing.entries[0].initrds,
            std::vector<std::string>{root.path("boot/initramfs-7.3.4.img")});
  EXPECT_EQ(listing.grubenv, "saved_entry=a-7.3.4\n");
}

TEST(BootListing, HasWhatTheFirmwareKeepsForTheBootLoader) {
  const TemporaryDirectory root;
  const auto set = [&root](const std::string& name, std::string_view text) {
    std::string bytes("\x07\0\0\0", 4);
    for (const char c : text) bytes += {c, '\0'};
    root.write("sys/firmware/efi/efivars/" + name + "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
               bytes + std::string(2, '\0'));
  };
  root.write("efi/a/linux", "");
  for (const char* name : {"a-7.3.3", "a-7.3.4", "a-7.3.5"}) {
    root.write("efi/loader/entries/" + std::string(name) + ".conf",
               "version " + std::string(name).substr(2) + "\nlinux /a/linux\n");
  }
  const auto chosen = [&root] {
    const auto choice = choose_kernel("default", boot_listing(root.path()), "7.3.3");
    return choice && choice->entry ? choice->entry->id : "none";
  };
  EXPECT_EQ(chosen(), "a-7.3.5.conf");
  root.write("efi/loader/loader.conf", "default @saved\n");
  EXPECT_EQ(chosen(), "a-7.3.5.conf");
  set("LoaderEntryLastBooted", "a-7.3.4.conf");
  EXPECT_EQ(chosen(), "a-7.3.4.conf");
  set("LoaderEntryDefault", "A-7.3.3.conf");
  EXPECT_EQ(chosen(), "a-7.3.3.conf");
}

TEST(BootListing, HasTheBootLoadersEntries) {
  const TemporaryDirectory root;
  root.write("etc/machine-id", "b0e7\n");
  root.write("efi/loader/loader.conf", "default b0e7-*\n");
  root.write("efi/b0e7/7.3.4/linux", "");
  root.write("efi/loader/entries/b0e7-7.3.4+3.conf",
             "version 7.3.4\nmachine-id b0e7\nlinux /b0e7/7.3.4/linux\n");
  root.write("efi/loader/entries/gone.conf", "linux /nothing\n");
  root.write("efi/loader/entries/note.txt", "linux /b0e7/7.3.4/linux\n");
  root.write("efi/loader/entries/bad.conf", "title no kernel\n");
  // The same, mounted there as well.
  root.write("boot/efi/b0e7/7.3.4/linux", "");
  root.write("boot/efi/loader/entries/b0e7-7.3.4+3.conf", "linux /b0e7/7.3.4/linux\n");
  const auto uki = pe_file({{".osrel", "ID=debian\nVERSION_ID=13\n"},
                            {".uname", "7.3.5"},
                            {".cmdline", "quiet"},
                            {".linux", std::string(200'000, 'k')}});
  root.write("efi/EFI/Linux/debian.efi", uki);
  root.write("efi/EFI/Linux/shell.efi", pe_file({{".text", "shell"}}));
  const auto listing = boot_listing(root.path());
  EXPECT_EQ(listing.machine_id, "b0e7");
  EXPECT_EQ(listing.loader_conf, "default b0e7-*\n");
  ASSERT_EQ(listing.entries.size(), 2U);
  EXPECT_EQ(listing.entries[0].id, "b0e7-7.3.4.conf");
  EXPECT_EQ(listing.entries[0].linux, root.path("efi/b0e7/7.3.4/linux"));
  EXPECT_EQ(listing.entries[0].tries_left, 3U);
  EXPECT_EQ(listing.entries[1].uki, root.path("efi/EFI/Linux/debian.efi"));
  EXPECT_EQ(listing.entries[1].release, "7.3.5");
  EXPECT_EQ(listing.entries[1].sort_key, "debian");
  EXPECT_EQ(listing.entries[1].options, "quiet");
}

}  // namespace
}  // namespace handover::system::test
