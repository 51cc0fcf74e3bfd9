// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/update_options.h"

#include <gtest/gtest.h>

#include "core/kernel_cmdline.h"

namespace handover::test {
namespace {

const UpdateOptions prepared{"/boot/vmlinuz-a", "/boot/initrd.img-a", "quiet kho=on",
                             Mode::orderly};

TEST(GoingOn, KeepsWhatWasPrepared) { EXPECT_EQ(going_on({}, prepared), prepared); }

TEST(GoingOn, ChangesWhatIsNamed) {
  EXPECT_EQ(going_on({"", {}, "", Mode::immediate}, prepared),
            (UpdateOptions{prepared.kernel, prepared.initrd, prepared.cmdline, Mode::immediate}));
  EXPECT_EQ(going_on({prepared.kernel, "", "debug", {}}, prepared),
            (UpdateOptions{prepared.kernel, "", "debug", Mode::orderly}));
}

TEST(GoingOn, AnotherKernelHasItsOwnInitrdAndCommandLine) {
  EXPECT_EQ(going_on({"/boot/vmlinuz-b", {}, "", {}}, prepared),
            (UpdateOptions{"/boot/vmlinuz-b", {}, "", Mode::orderly}));
}

/// Which alone says that there are two initrds.
TEST(GoingOn, KeepsTheEntryThatTheKernelWasFoundBy) {
  auto found = prepared;
  found.entry = "/efi/loader/entries/a.conf";
  found.initrd.reset();
  EXPECT_EQ(going_on({"", {}, "debug", {}}, found).kernel, found.entry);
  EXPECT_EQ(going_on({found.kernel, {}, "debug", {}}, found).kernel, found.entry);
  EXPECT_EQ(going_on({"/boot/vmlinuz-b", {}, "", {}}, found).kernel, "/boot/vmlinuz-b");
}

TEST(AsksForAnotherTarget, OnlyIfSomethingDiffers) {
  auto have = prepared;
  have.entry = "/efi/loader/entries/a.conf";
  have.cmdline = ensure_cmdline("quiet");
  EXPECT_FALSE(asks_for_another_target({}, have));
  EXPECT_FALSE(asks_for_another_target({have.kernel, have.initrd, have.cmdline, have.mode}, have));
  EXPECT_FALSE(asks_for_another_target({have.entry, {}, "quiet", {}}, have));
  EXPECT_TRUE(asks_for_another_target({"/boot/vmlinuz-b", {}, "", {}}, have));
  EXPECT_TRUE(asks_for_another_target({"", "", "", {}}, have));
  EXPECT_TRUE(asks_for_another_target({"", {}, "debug", {}}, have));
  EXPECT_TRUE(asks_for_another_target({"", {}, "", Mode::immediate}, have));
}

}  // namespace
}  // namespace handover::test
