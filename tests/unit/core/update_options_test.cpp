// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/update_options.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace handover::test
