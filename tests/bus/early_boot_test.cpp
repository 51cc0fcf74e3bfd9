// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon starts before /var is mounted.
#include <gtest/gtest.h>

#include <filesystem>

#include "host.h"

namespace handover::test {
namespace {

TEST(EarlyBoot, TheHistoryIsThereAsSoonAsItsFileIs) {
  Host host;
  const auto path = host.directory().path("state/history.json");
  host.boot();
  host.update_ends("done");
  const auto before = text_of(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(host.kill_daemon());
  EXPECT_EQ(host.history().size(), 0U);

  host.directory().write("state/history.json", before);
  EXPECT_EQ(host.history().size(), 1U);
  host.update_ends("done");
  EXPECT_EQ(host.history().size(), 2U);
  EXPECT_EQ(nlohmann::json::parse(text_of(path)).size(), 2U);
}

}  // namespace
}  // namespace handover::test
