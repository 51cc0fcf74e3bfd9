// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/kernel_choice.h"

#include <gtest/gtest.h>

#include <map>

#include "boot_trees.h"

namespace handover {
namespace {

TEST(InstalledKernels, AreListedOnceEach) {
  BootListing listing;
  const auto add = [&listing](const std::string& path, const std::string& real, bool is_link) {
    listing.images.push_back({path, real, is_link, ""});
  };
  add("/boot/vmlinuz-7.3.4", "/boot/vmlinuz-7.3.4", false);
  add("/boot/vmlinuz", "/boot/vmlinuz-7.3.4", true);
  add("/boot/vmlinuz-7.3.4.old", "/boot/vmlinuz-7.3.4.old", false);
  add("/boot/vmlinuz-0-rescue-abc", "/boot/vmlinuz-0-rescue-abc", false);
  add("/boot/initrd.img-7.3.4", "/boot/initrd.img-7.3.4", false);
  add("/lib/modules/7.3.4/vmlinuz", "/lib/modules/7.3.4/vmlinuz", false);
  add("/lib/modules/7.3.5/vmlinuz", "/lib/modules/7.3.5/vmlinuz", false);
  BootEntry same;
  same.id = "a";
  same.linux = "/boot/vmlinuz-7.3.4";
  same.release = "7.3.4";
  BootEntry unified;
  unified.id = "b";
  unified.uki = "/efi/EFI/Linux/b.efi";
  unified.release = "7.3.6";
  listing.entries = {same, unified};
  const std::vector<InstalledKernel> expected = {{"/boot/vmlinuz-7.3.4", "7.3.4"},
                                                 {"/efi/EFI/Linux/b.efi", "7.3.6"},
                                                 {"/lib/modules/7.3.5/vmlinuz", "7.3.5"}};
  EXPECT_EQ(installed_kernels(listing), expected);
  EXPECT_TRUE(installed_kernels({}).empty());
}

/// The tree as it would be listed. `asked`: what images without a version say of themselves.
BootListing listing_of(const std::string& name,
                       const std::map<std::string, std::string>& asked = {}) {
  const auto tree = test::boot_tree(name);
  BootListing listing;
  for (const auto& file : tree) {
    FoundImage image{file.path, test::real_path(tree, file.path), !file.target.empty()};
    const auto said = asked.find(file.path);
    if (said != asked.end() && must_be_asked(image)) image.release = said->second;
    listing.images.push_back(std::move(image));
  }
  for (const auto& [path, release] : asked) listing.modules.insert(release);
  return listing;
}

std::string newest_of(const BootListing& listing, const std::string& running) {
  const auto chosen = choose_kernel("", listing, running);
  return chosen ? chosen->path : chosen.error().message;
}

TEST(NewestKernel, IsTheRightOneOfEachTree) {
  struct Case {
    std::string tree, running, newest;
  };
  const std::vector<Case> cases = {
      {"alias", "6.1.0-9-amd64", "/vmlinuz-7.3.4-amd64"},
      {"debian-rt", "7.2.13-amd64", "/vmlinuz-7.3.4-amd64"},
      {"debian-rt", "7.2.13-rt-amd64", "/vmlinuz-7.3.4-rt-amd64"},
      {"debian-rt", "7.2.13-cloud-amd64", "/vmlinuz-7.3.4-cloud-amd64"},
      {"el10-debug", "6.12.0-55.9.1.el10_0.x86_64", "/vmlinuz-6.12.0-55.27.1.el10_0.x86_64"},
      {"el10-debug", "6.12.0-55.9.1.el10_0.x86_64+rt", "/vmlinuz-6.12.0-55.27.1.el10_0.x86_64+rt"},
      {"hmac", "5.14.0-427.el9.x86_64", "/vmlinuz-5.14.0-427.el9.x86_64"},
      {"installkernel-next", "7.3.3", "/vmlinuz-7.3.4"},
      {"kdump", "7.3.3-amd64", "/vmlinuz-7.3.4-amd64"},
      {"next", "7.2.13", "/vmlinuz-7.3.0"},
      {"next", "7.3.0-rc1-next-20260101", "/vmlinuz-7.3.0-next-20260901"},
      {"old", "7.3.3", "/vmlinuz-7.3.4"},
      {"omarchy", "7.3.3-amd64", "/vmlinuz-7.3.4-amd64"},
      {"partial", "7.3.3-amd64", "/vmlinuz-7.3.4-amd64"},
      {"rc", "7.2.13", "/vmlinuz-7.3.0"},
      {"rcdeb", "7.2-amd64", "/vmlinuz-7.3-amd64"},
      {"rescue", "3.10.0-957.el7.x86_64", "/vmlinuz-3.10.0-1127.el7.x86_64"},
      {"rpi", "6.18.33+rpt-rpi-2712", "/vmlinuz-6.18.34+rpt-rpi-2712"},
      {"rpi", "6.18.33+rpt-rpi-v8", "/vmlinuz-6.18.34+rpt-rpi-v8"},
      {"signed", "7.3.3-amd64", "/vmlinuz-7.3.4-amd64"},
      {"ten", "7.9.8-1-amd64", "/vmlinuz-7.10.0-1-amd64"},
      {"unsigned", "7.3.3-generic", "/vmlinuz-7.3.4-generic"},
      {"xen", "6.17-amd64", "/vmlinuz-6.18-amd64"},
      {"xen", "6.17-xen", "/vmlinuz-6.18-xen"},
      {"deb-abs", "7.3.3-amd64", "/boot/vmlinuz-7.3.4-amd64"},
      {"debian", "7.3.3-amd64", "/boot/vmlinuz-7.3.4-amd64"},
      {"fedora", "7.3.3-100.fc44.x86_64", "/boot/vmlinuz-7.3.4-200.fc44.x86_64"},
      {"gentoo", "7.3.3-gentoo-dist", "/boot/kernel-7.3.4-gentoo-dist"},
      {"mod", "7.3.3-amd64", "/lib/modules/7.3.4-amd64/vmlinuz"},
      {"suse", "7.3.3-1-default", "/boot/vmlinuz-7.3.4-1-default"},
      {"bls", "7.3.3-amd64", "/boot/b0e793a9baf14b5fa13ecbe84ff637ac/7.3.4-amd64/linux"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(newest_of(listing_of(one.tree), one.running), one.newest) << one.tree;
  }
}

TEST(NewestKernel, MayHaveNoVersionInItsName) {
  const std::map<std::string, std::string> arch = {{"/vmlinuz-linux", "7.3.5-arch1-1"},
                                                   {"/vmlinuz-linux-lts", "6.18.9-1-lts"}};
  const auto root_arch = listing_of("arch", arch);
  // The tree has /boot as well.
  EXPECT_EQ(newest_of(root_arch, "7.3.4-arch1-1"), "/vmlinuz-linux");
  EXPECT_EQ(newest_of(root_arch, "6.18.8-1-lts"), "/vmlinuz-linux-lts");
  EXPECT_EQ(
      newest_of(listing_of("alpine", {{"/boot/vmlinuz-lts", "6.18.2-0-lts"}}), "6.18.1-0-lts"),
      "/boot/vmlinuz-lts");
  // Without modules it is somebody else's: an installer's, say.
  auto listing = listing_of("omarchy", {{"/vmlinuz-omarchy-usb-root", "9.9.9-amd64"}});
  listing.modules.clear();
  EXPECT_EQ(newest_of(listing, "7.3.3-amd64"), "/vmlinuz-7.3.4-amd64");
}

TEST(NewestKernel, IsNoLinkToAnotherRelease) {
  BootListing listing;
  listing.images = {{"/boot/vmlinuz-6.1", "/boot/vmlinuz-6.1"},
                    {"/boot/vmlinuz-7.0", "/boot/vmlinuz-6.1", true},
                    {"/boot/vmlinuz-7.1", "/build/bzImage", true, "6.1"},
                    {"/boot/vmlinuz-7.2", "", true}};
  EXPECT_EQ(newest_of(listing, "6.0"), "/boot/vmlinuz-6.1");
  listing.images.push_back({"/boot/vmlinuz-7.3", "/build/bzImage", true, "7.3"});
  EXPECT_EQ(newest_of(listing, "6.0"), "/boot/vmlinuz-7.3");
}

TEST(NewestKernel, IsNotFoundWithWhatIsThere) {
  const auto none = choose_kernel("", listing_of("debian-rt"), "7.2.13-handover");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_found);
  for (const char* word :
       {"'handover'", "7.2.13-handover", "/vmlinuz-7.3.4-rt-amd64", "handoverctl update KERNEL"}) {
    EXPECT_NE(none.error().message.find(word), std::string::npos) << none.error().message;
  }
  const auto empty = choose_kernel("newest", {}, "7.3");
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().message.find("there is ;"), std::string::npos) << empty.error().message;
  // No kernel loads an ELF file.
  EXPECT_FALSE(choose_kernel("", listing_of("vmlinux"), "6.18.41-cloud-arm64"));
}

TEST(NewestKernel, SaysWhy) {
  const auto chosen = choose_kernel("newest", listing_of("debian-rt"), "7.2.13-amd64");
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->why, "the newest of 2 kernels of the running one's kind ('amd64')");
  EXPECT_EQ(chosen->release, "7.3.4-amd64");
  const auto rescue = choose_kernel("", listing_of("rescue"), "3.10.0-957.el7.x86_64");
  ASSERT_TRUE(rescue);
  EXPECT_EQ(rescue->why, "the only kernel of the running one's kind ('el-x86_64')");
  BootListing listing;
  listing.images = {{"/boot/vmlinuz-7.3-amd64", "/boot/vmlinuz-7.3-amd64"},
                    {"/boot/vmlinuz-7.4-rt-amd64", "/boot/vmlinuz-7.4-rt-amd64"}};
  const auto older = choose_kernel("", listing, "7.3-amd64");
  ASSERT_TRUE(older);
  EXPECT_NE(older->why.find("/boot/vmlinuz-7.4-rt-amd64 is newer and of another kind ('rt-amd64')"),
            std::string::npos)
      << older->why;
}

/// The images of "debian-rt", and entries of this machine and others.
BootListing with_entries() {
  auto listing = listing_of("debian-rt");
  listing.machine_id = "b0e7";
  const auto entry = [](std::string id, std::string version, std::string machine) {
    BootEntry made;
    made.id = std::move(id);
    made.source = "/efi/loader/entries/" + made.id;
    made.version = version;
    made.machine_id = std::move(machine);
    made.sort_key = "debian";
    made.linux = "/efi/" + made.machine_id + "/" + version + "/linux";
    made.release = std::move(version);
    return made;
  };
  listing.entries = {entry("b0e7-7.3.5-amd64.conf", "7.3.5-amd64", "b0e7"),
                     entry("ffff-7.9.9-amd64.conf", "7.9.9-amd64", "ffff"),
                     entry("b0e7-7.8.8-amd64.conf", "7.8.8-amd64", "b0e7"),
                     entry("b0e7-0-rescue.conf", "0-rescue-amd64", "b0e7")};
  listing.entries[2].tries_left = 0;
  return listing;
}

TEST(NewestKernel, MayBeABootLoaderEntry) {
  const auto chosen = choose_kernel("", with_entries(), "7.2.13-amd64");
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->path, "/efi/b0e7/7.3.5-amd64/linux");
  ASSERT_TRUE(chosen->entry);
  EXPECT_EQ(chosen->entry->id, "b0e7-7.3.5-amd64.conf");
  // Of two of the same release, the image in /boot, whose command line is the running kernel's.
  auto listing = with_entries();
  listing.entries[0].release = "7.3.4-amd64";
  const auto image = choose_kernel("", listing, "7.2.13-amd64");
  ASSERT_TRUE(image);
  EXPECT_EQ(image->path, "/vmlinuz-7.3.4-amd64");
  EXPECT_FALSE(image->entry);
}

/// Only the entry's has an initrd (Arch, Fedora, openSUSE with kernel-install).
TEST(NewestKernel, OfOneReleaseAnEntryComesBeforeTheModulesImage) {
  BootListing listing;
  const std::string modules = "/lib/modules/7.3.5-arch1-1/vmlinuz";
  listing.images = {{modules, modules}};
  BootEntry entry;
  entry.id = "b0e7-7.3.5-arch1-1.conf";
  entry.linux = "/efi/b0e7/7.3.5-arch1-1/linux";
  entry.release = "7.3.5-arch1-1";
  listing.entries = {entry};
  for (const char* wanted : {"", "7.3.5-arch1-1"}) {
    const auto chosen = choose_kernel(wanted, listing, "7.3.4-arch1-1");
    ASSERT_TRUE(chosen) << chosen.error().message;
    EXPECT_EQ(chosen->path, entry.linux);
  }
  listing.entries.clear();
  EXPECT_EQ(newest_of(listing, "7.3.4-arch1-1"), modules);
}

TEST(NewestKernel, OfOneReleaseTheMenuDecides) {
  BootListing listing;
  for (const char* id : {"ostree-1.conf", "ostree-2.conf"}) {
    BootEntry entry;
    entry.id = id;
    entry.linux = "/boot/ostree/vmlinuz-7.3.5";
    entry.release = "7.3.5";
    listing.entries.push_back(std::move(entry));
  }
  for (const char* wanted : {"", "7.3.5"}) {
    const auto chosen = choose_kernel(wanted, listing, "7.3.4");
    ASSERT_TRUE(chosen) << chosen.error().message;
    EXPECT_EQ(chosen->entry->id, "ostree-2.conf");
  }
}

TEST(NewestKernel, IsNotAnotherMachinesUnifiedImage) {
  const std::string here(32, 'a');
  const std::string there(32, 'b');
  BootListing listing;
  listing.machine_id = here;
  for (const auto& id : {here + "-7.3.5.efi", there + "-7.9.9.efi"}) {
    BootEntry entry;
    entry.id = id;
    entry.uki = "/efi/EFI/Linux/" + id;
    entry.release = id.substr(33, 5);
    listing.entries.push_back(std::move(entry));
  }
  EXPECT_EQ(newest_of(listing, "7.3.4"), listing.entries[0].uki);
  EXPECT_FALSE(choose_kernel("7.9.9", listing, "7.3.4"));
}

TEST(ChooseKernel, TakesNoLinkToAnotherRelease) {
  BootListing listing;
  listing.images = {{"/boot/vmlinuz-7.0", "/boot/vmlinuz-6.1", true},
                    {"/boot/vmlinuz-6.1", "/boot/vmlinuz-6.1"}};
  EXPECT_FALSE(choose_kernel("7.0", listing, "6.1"));
  EXPECT_TRUE(choose_kernel("6.1", listing, "6.1"));
}

TEST(ChooseKernel, ByWhatGrubHasSaved) {
  auto listing = with_entries();
  listing.grubenv = "saved_entry=ffff-7.9.9-amd64\n";
  const auto chosen = choose_kernel("default", listing, "7.2.13-amd64");
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->entry->id, "ffff-7.9.9-amd64.conf");
  const auto refusal = [&listing] {
    const auto refused = choose_kernel("default", listing, "7.2.13-amd64");
    return refused ? std::string("taken") : refused.error().message;
  };
  listing.grubenv = "# GRUB Environment Block\n";
  EXPECT_NE(refusal().find("does not say"), std::string::npos) << refusal();
  // Of a menu that grub-mkconfig wrote.
  for (const std::string saved : {"1", "gnulinux-advanced-x>gnulinux-7.3.4-advanced-x"}) {
    listing.grubenv = "saved_entry=" + saved + "\n";
    EXPECT_NE(refusal().find("saved_entry=" + saved + ", which is the number"), std::string::npos)
        << refusal();
  }
}

TEST(ChooseKernel, ByPath) {
  const auto listing = with_entries();
  const auto chosen = choose_kernel("/srv/vmlinuz-test", listing, "7.2.13-amd64");
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->path, "/srv/vmlinuz-test");
  const auto entry =
      choose_kernel("/efi/loader/entries/b0e7-7.3.5-amd64.conf", listing, "7.2.13-amd64");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->path, "/efi/b0e7/7.3.5-amd64/linux");
  for (const char* relative : {"../../tmp/bzimage", "boot/vmlinuz", "./vmlinuz"}) {
    const auto refused = choose_kernel(relative, listing, "7.2.13-amd64");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  }
}

TEST(ChooseKernel, ByReleaseAndByEntry) {
  const auto listing = with_entries();
  const auto path = [&](const std::string& wanted) {
    const auto chosen = choose_kernel(wanted, listing, "7.2.13-amd64");
    return chosen ? chosen->path : chosen.error().message;
  };
  EXPECT_EQ(path("7.3.4-rt-amd64"), "/vmlinuz-7.3.4-rt-amd64");
  EXPECT_EQ(path("b0e7-7.3.5-amd64.conf"), "/efi/b0e7/7.3.5-amd64/linux");
  EXPECT_EQ(path("b0e7-7.3.5-amd64"), "/efi/b0e7/7.3.5-amd64/linux");
  EXPECT_EQ(path("7.3.5-amd64"), "/efi/b0e7/7.3.5-amd64/linux");
  const auto none = choose_kernel("8.0-amd64", listing, "7.2.13-amd64");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_found);
  EXPECT_NE(none.error().message.find("'8.0-amd64'"), std::string::npos);
  const auto named = choose_kernel("linux-lts", listing_of("arch"), "7.3.4-arch1-1");
  ASSERT_TRUE(named);
  EXPECT_EQ(named->path, "/vmlinuz-linux-lts");
}

TEST(ChooseKernel, ByTheBootLoadersDefault) {
  auto listing = with_entries();
  listing.loader_conf = "timeout 3\ndefault b0e7-*\n";
  const auto chosen = choose_kernel("default", listing, "7.2.13-amd64");
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->entry->id, "b0e7-7.3.5-amd64.conf") << "the other one has no tries left";
  const auto none = choose_kernel("default", listing_of("debian"), "7.2.13-amd64");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kernel_not_found);
}

TEST(MustBeAsked, OnlyWhoseNameDoesNotSayIt) {
  EXPECT_TRUE(must_be_asked({"/boot/vmlinuz-linux", "/boot/vmlinuz-linux"}));
  EXPECT_TRUE(must_be_asked({"/boot/vmlinuz-7.3", "/build/bzImage", true}));
  EXPECT_FALSE(must_be_asked({"/boot/vmlinuz-7.3", "/boot/vmlinuz-7.3"}));
  EXPECT_FALSE(must_be_asked({"/boot/vmlinuz-7.3", "/boot/vmlinuz-7.2", true}));
  EXPECT_FALSE(must_be_asked({"/boot/vmlinuz-previous", "/boot/vmlinuz-7.2", true}));
  EXPECT_FALSE(must_be_asked({"/boot/vmlinuz-kdump", "/boot/vmlinuz-kdump"}));
  EXPECT_FALSE(must_be_asked({"/boot/vmlinuz-7.3.sig", "/boot/vmlinuz-7.3.sig"}));
  EXPECT_FALSE(must_be_asked({"/boot/initrd.img-7.3", "/boot/initrd.img-7.3"}));
  EXPECT_FALSE(must_be_asked({"/boot/vmlinuz-gone", "", true}));
}

}  // namespace
}  // namespace handover
