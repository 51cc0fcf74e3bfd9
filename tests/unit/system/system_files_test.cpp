// SPDX-License-Identifier: LGPL-2.1-or-later
// Files replaced as one, and memfds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/temporary_directory.h"
#include "system/files.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

TEST(Files, ReadsWhole) {
  TemporaryDirectory directory;
  const std::string large(100'000, 'x');
  EXPECT_EQ(read_file(directory.write("large", large)), large);
  EXPECT_EQ(read_file(directory.write("empty", "")), "");
  EXPECT_FALSE(read_file("/proc/self/stat").value().empty()) << "it tells no size";
}

TEST(Files, SaysWhatCannotBeRead) {
  TemporaryDirectory directory;
  const auto missing = read_file(directory.path("missing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::io);
  EXPECT_EQ(missing.error().sys_errno, ENOENT);
  EXPECT_NE(missing.error().message.find(directory.path("missing")), std::string::npos);
  EXPECT_EQ(read_file(directory.path()).error().sys_errno, EISDIR);
}

TEST(Files, ReplacesWithoutLeavingAnythingBeside) {
  TemporaryDirectory directory;
  const std::string path = directory.path("file");
  for (const bool durable : {false, true}) {
    for (const std::string& text : {std::string("a longer text"), std::string("short")}) {
      ASSERT_TRUE(replace_file(path, text, durable));
      EXPECT_EQ(read_file(path), text);
    }
  }
  struct stat status = {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(directory.entries(), 1U);
}

TEST(Files, KeepsTheOldFileWhenTheNewOneFails) {
  TemporaryDirectory directory;
  directory.write("taken/file", "");  // a directory in the way of the rename
  const auto failed = replace_file(directory.path("taken"), "text", false);
  ASSERT_FALSE(failed);
  EXPECT_EQ(directory.entries(), 1U) << "the temporary file must go";
  EXPECT_FALSE(replace_file(directory.path("missing/file"), "text", true));
}

TEST(Files, Removes) {
  TemporaryDirectory directory;
  EXPECT_TRUE(remove_file(directory.write("file", "")));
  EXPECT_EQ(directory.entries(), 0U);
  EXPECT_EQ(remove_file(directory.path("file")).error().sys_errno, ENOENT);
}

TEST(Files, HoldsATextInAMemfd) {
  const auto fd = memfd_with("name", "the text");
  ASSERT_TRUE(fd);
  EXPECT_NE(::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_EQ(::lseek(fd->get(), 0, SEEK_CUR), 0);
  EXPECT_EQ(read_fd(fd->get(), 100), "the text");
  EXPECT_EQ(read_fd(fd->get(), 3), "the");
  EXPECT_EQ(::lseek(fd->get(), 0, SEEK_CUR), 0) << "reading must not move it";
  EXPECT_EQ(read_fd(-1, 3).error().sys_errno, EBADF);
}

}  // namespace
}  // namespace handover::system::test
