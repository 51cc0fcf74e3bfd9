// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/sessions.h"

namespace handover::engine::test {
namespace {

/// That many descriptors under the longest tokens that there are; outside of a service nothing is
/// done with them.
std::vector<backend::Session::StoredFd> with_long_names(std::uint64_t count) {
  std::vector<backend::Session::StoredFd> fds;
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto token = std::numeric_limits<std::uint64_t>::max() - n;
    fds.push_back({"t" + std::to_string(token), 0});
  }
  return fds;
}

TEST(FdStore, KeepsNoMoreThanCanBeNamedToTheNextDaemon) {
  FdStore store;
  EXPECT_TRUE(store.keep_more("session-1", with_long_names(3000)));
  const auto refused = store.keep_more("session-1", with_long_names(4000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
}

TEST(FdStore, CountsTheNamesOfAllSessions) {
  FdStore store;
  EXPECT_TRUE(store.keep_more("session-1", with_long_names(2000)));
  EXPECT_FALSE(store.keep_more("session-2", with_long_names(2000)));
  EXPECT_TRUE(store.drop_all("session-1"));
  EXPECT_TRUE(store.keep_more("session-2", with_long_names(2000)));
}

/// What came back is kept, whatever it takes.
TEST(FdStore, KeepsWhatItHas) {
  FdStore store;
  EXPECT_TRUE(store.keep("session-1", with_long_names(4000)));
}

}  // namespace
}  // namespace handover::engine::test
