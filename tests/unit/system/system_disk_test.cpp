// SPDX-License-Identifier: LGPL-2.1-or-later
// Files on a disk that does not answer: a pipe with a name, which waits for its other end for ever.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "core/unique_fd.h"
#include "support/temporary_directory.h"
#include "system/disk.h"
#include "system/files.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

constexpr std::uint64_t short_limit_usec = 200'000;

class Disk : public testing::Test {
 protected:
  /// Whoever opens it waits.
  std::string make_hang(const std::string& name) {
    EXPECT_EQ(::mkfifo(directory.path(name).c_str(), 0600), 0);
    return directory.path(name);
  }

  TemporaryDirectory directory;
};

TEST_F(Disk, ReplacesReadsAndRemoves) {
  const std::string path = directory.path("file");
  for (const std::string& text :
       {std::string(3'000'000, 'x'), std::string("short"), std::string()}) {
    ASSERT_TRUE(replace_on_disk(path, text));
    EXPECT_EQ(read_from_disk(path), text);
    EXPECT_EQ(read_file(path), text);
  }
  struct stat status = {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(directory.entries(), 1U);
  EXPECT_TRUE(rename_on_disk(path, directory.path("other")));
  EXPECT_EQ(read_from_disk(path).error().sys_errno, ENOENT);
  EXPECT_TRUE(remove_from_disk(directory.path("other")));
  EXPECT_EQ(remove_from_disk(directory.path("other")).error().sys_errno, ENOENT);
}

TEST_F(Disk, KnowsDirectories) {
  const std::string path = directory.path("made");
  EXPECT_FALSE(is_directory_on_disk(path));
  EXPECT_TRUE(make_directory_on_disk(path));
  EXPECT_TRUE(make_directory_on_disk(path)) << "it is there";
  EXPECT_TRUE(is_directory_on_disk(path));
  EXPECT_FALSE(is_directory_on_disk(directory.write("file", "")));
}

TEST_F(Disk, KeepsTheOldFileWhenTheNewOneFails) {
  directory.write("taken/file", "");  // a directory in the way of the rename
  EXPECT_FALSE(replace_on_disk(directory.path("taken"), "text"));
  EXPECT_EQ(directory.entries(), 1U) << "the temporary file must go";
  EXPECT_EQ(replace_on_disk(directory.path("missing/file"), "text").error().sys_errno, ENOENT);
}

TEST_F(Disk, IsNotWaitedForWithoutEnd) {
  using Clock = std::chrono::steady_clock;
  make_hang("history.json.new");
  const auto began = Clock::now();
  const auto written = replace_on_disk(directory.path("history.json"), "text", short_limit_usec);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().sys_errno, ETIMEDOUT);
  EXPECT_NE(written.error().message.find(directory.path("history.json")), std::string::npos);
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(30));
}

TEST_F(Disk, SaysWhetherADirectoryAnswers) {
  EXPECT_TRUE(disk_answers(directory.path("")));
  EXPECT_TRUE(disk_answers(directory.path("missing"))) << "nobody waits for it";
  directory.write("file", "");
  EXPECT_EQ(disk_answers(directory.path("file")).error().sys_errno, ENOTDIR);
}

TEST_F(Disk, ReadingIsNotWaitedForEither) {
  const auto read = read_from_disk(make_hang("file"), short_limit_usec);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().sys_errno, ETIMEDOUT);
}

/// As soon as the disk lets it end, the next call is made.
TEST_F(Disk, AnswersAgain) {
  const std::string path = make_hang("file");
  ASSERT_FALSE(read_from_disk(path, short_limit_usec));
  for (int i = 0; i < 1000; ++i) {
    if (replace_on_disk(directory.path("other"), "text")) break;
    ::usleep(10'000);
  }
  EXPECT_EQ(read_file(directory.path("other")), "text");
}

}  // namespace
}  // namespace handover::system::test
