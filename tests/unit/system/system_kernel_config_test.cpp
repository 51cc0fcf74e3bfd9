// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "support/temporary_directory.h"
#include "system/kernel_config.h"

namespace handover::system::test {
namespace {

TEST(KernelConfig, LiesBesideTheImageOrItsModules) {
  handover::test::TemporaryDirectory root;
  const auto kernel = root.write("boot/vmlinuz-7.3.4", "");
  const auto read = [&](const std::string& release) {
    return kernel_config(kernel, release, root.path());
  };
  EXPECT_EQ(read("7.3.4"), "");
  root.write("lib/modules/7.3.4/config", "modules");
  EXPECT_EQ(read("7.3.4"), "modules");
  root.write("boot/config-7.3.4", "boot");
  EXPECT_EQ(read("7.3.4"), "boot");
  EXPECT_EQ(read("7.3.5"), "");
  EXPECT_EQ(read(""), "");
  EXPECT_EQ(read("../7.3.4"), "");
  root.link("linux", "boot/vmlinuz-7.3.4");
  EXPECT_EQ(kernel_config(root.path("linux"), "7.3.4", root.path()), "boot");
  EXPECT_EQ(kernel_config(root.path("missing"), "7.3.4", root.path()), "modules");
}

}  // namespace
}  // namespace handover::system::test
