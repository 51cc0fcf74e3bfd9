// SPDX-License-Identifier: LGPL-2.1-or-later
// Collapsing memfds, for real on this kernel.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "core/unique_fd.h"
#include "system/collapse.h"
#include "test_cgroup.h"

namespace handover::system {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

UniqueFd touched_memfd(std::size_t size) {
  UniqueFd fd(::memfd_create("collapse", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  std::vector<char> page(4096);
  for (std::size_t at = 0; at < size; at += page.size()) {
    const std::size_t length = std::min(page.size(), size - at);
    std::fill(page.begin(), page.end(), static_cast<char>(at / 4096));
    EXPECT_EQ(::pwrite(fd.get(), page.data(), length, static_cast<off_t>(at)),
              static_cast<ssize_t>(length));
  }
  return fd;
}

bool is_intact(int fd, std::size_t size) {
  std::vector<char> page(4096);
  for (std::size_t at = 0; at < size; at += page.size()) {
    const std::size_t length = std::min(page.size(), size - at);
    if (::pread(fd, page.data(), length, static_cast<off_t>(at)) != static_cast<ssize_t>(length)) {
      return false;
    }
    for (std::size_t byte = 0; byte < length; ++byte) {
      if (page[byte] != static_cast<char>(at / 4096)) return false;
    }
  }
  return true;
}

class CollapseTest : public testing::Test {
 protected:
  void SetUp() override {
    const UniqueFd empty = touched_memfd(0);
    const auto tried = collapse_memfd(empty.get(), nullptr, never);
    if (!tried && tried.error().code == ErrorCode::not_supported) {
      GTEST_SKIP() << tried.error().message;
    }
    ASSERT_TRUE(tried) << tried.error().message;
  }

  std::atomic<bool> never = false;
};

TEST_F(CollapseTest, AccountsForEveryByteAndChangesNone) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, 2 * mebibyte - 1, 2 * mebibyte, 9 * mebibyte + 4097}) {
    const UniqueFd fd = touched_memfd(size);
    std::vector<std::uint64_t> reports;
    const auto collapsed = collapse_memfd(
        fd.get(), [&](std::uint64_t done) { reports.push_back(done); }, never);
    ASSERT_TRUE(collapsed) << collapsed.error().message;
    EXPECT_EQ(collapsed->bytes_huge + collapsed->bytes_small, size);
    EXPECT_EQ(collapsed->bytes_huge % (2 * mebibyte), 0U);
    EXPECT_TRUE(is_intact(fd.get(), size));
    ASSERT_FALSE(reports.empty());
    EXPECT_TRUE(std::is_sorted(reports.begin(), reports.end()));
    EXPECT_EQ(reports.back(), size);
    struct stat status = {};
    ASSERT_EQ(::fstat(fd.get(), &status), 0);
    EXPECT_EQ(static_cast<std::size_t>(status.st_size), size);
  }
}

TEST_F(CollapseTest, MakesHugePagesAlsoOfSealedMemory) {
  const UniqueFd fd = touched_memfd(4 * mebibyte);
  ASSERT_EQ(::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
  const auto collapsed = collapse_memfd(fd.get(), nullptr, never);
  ASSERT_TRUE(collapsed) << collapsed.error().message;
  EXPECT_TRUE(is_intact(fd.get(), 4 * mebibyte));
  if (collapsed->bytes_huge == 0) {
    GTEST_SKIP() << "this machine forbids huge pages in shmem, or has none free";
  }
  const auto again = collapse_memfd(fd.get(), nullptr, never);
  ASSERT_TRUE(again);
  EXPECT_GE(again->bytes_huge, collapsed->bytes_huge) << "what is huge already counts";
}

TEST_F(CollapseTest, StopsWhenCancelled) {
  const UniqueFd fd = touched_memfd(4 * mebibyte);
  const std::atomic<bool> now = true;
  const auto cancelled = collapse_memfd(fd.get(), nullptr, now);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_TRUE(is_intact(fd.get(), 4 * mebibyte));
}

class CollapseInCgroup : public CollapseTest {
 protected:
  void SetUp() override {
    CollapseTest::SetUp();
    if (!IsSkipped() && !cgroup.problem().empty()) GTEST_SKIP() << cgroup.problem();
  }

  test::TestCgroup cgroup;
};

TEST_F(CollapseInCgroup, AccountsForEveryByteAndChangesNone) {
  const std::size_t size = 9 * mebibyte + 4097;
  const UniqueFd fd = touched_memfd(size);
  std::vector<std::uint64_t> reports;
  const auto collapsed = collapse_memfd(
      fd.get(), [&](std::uint64_t done) { reports.push_back(done); }, never, cgroup.path());
  ASSERT_TRUE(collapsed) << collapsed.error().message;
  EXPECT_EQ(collapsed->bytes_huge + collapsed->bytes_small, size);
  EXPECT_TRUE(is_intact(fd.get(), size));
  EXPECT_TRUE(std::is_sorted(reports.begin(), reports.end()));
  EXPECT_EQ(reports.back(), size);

  const auto here = collapse_memfd(fd.get(), nullptr, never);
  ASSERT_TRUE(here);
  EXPECT_GE(here->bytes_huge, collapsed->bytes_huge) << "it was done for real";
  std::ifstream charged(cgroup.directory() + "/memory.current");
  std::uint64_t bytes = 0;
  if (collapsed->bytes_huge > 0 && charged >> bytes) {
    EXPECT_GE(bytes, collapsed->bytes_huge);
  }
}

TEST_F(CollapseInCgroup, StopsWhenCancelled) {
  const UniqueFd fd = touched_memfd(4 * mebibyte);
  const std::atomic<bool> now = true;
  const auto cancelled = collapse_memfd(fd.get(), nullptr, now, cgroup.path());
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
}

TEST_F(CollapseInCgroup, SaysThatTheCgroupIsGone) {
  const UniqueFd fd = touched_memfd(4 * mebibyte);
  const auto failed = collapse_memfd(fd.get(), nullptr, never, cgroup.path() + "/missing");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().sys_errno, ENOENT);
  EXPECT_TRUE(collapse_memfd(fd.get(), nullptr, never, ""));
}

TEST(Collapse, SaysWhatIsNoDescriptor) {
  const std::atomic<bool> never = false;
  const auto failed = collapse_memfd(-1, nullptr, never);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().sys_errno, EBADF);
}

}  // namespace
}  // namespace handover::system
