// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>

#include "common/memory_file.h"

namespace handover::common {
namespace {

TEST(MemoryFile, HasTheSizeThatWasAskedFor) {
  auto memory = make_memory("m", 12345);
  ASSERT_TRUE(memory);
  EXPECT_EQ(*size_of(memory->get()), 12345U);
}

/// B53: `ulimit -f` would end the process by a signal.
TEST(MemoryFile, TheLimitOfFilesIsAnError) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1 << 20, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto handler = signal(SIGXFSZ, SIG_DFL);
  auto memory = make_memory("m", 64 << 20);
  setrlimit(RLIMIT_FSIZE, &before);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, EFBIG);
  EXPECT_NE(memory.error().message.find("ulimit -f"), std::string::npos) << memory.error().message;
  EXPECT_EQ(signal(SIGXFSZ, handler), SIG_DFL) << "it was not put back";
}

}  // namespace
}  // namespace handover::common
