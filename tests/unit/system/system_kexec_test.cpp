// SPDX-License-Identifier: LGPL-2.1-or-later
// Loading a kernel: what is refused before the system call, and what its errnos mean. The call
// itself runs in the virtual machine's tests.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <vector>

#include "core/unique_fd.h"
#include "support/temporary_directory.h"
#include "system/files.h"
#include "system/kexec.h"
#include "system/kexec_errors.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

TEST(Kexec, NeedsFilesThatExist) {
  TemporaryDirectory directory;
  const auto missing = open_kernel(directory.path("missing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kernel_not_found);
  EXPECT_NE(missing.error().message.find(directory.path("missing")), std::string::npos);

  auto image = open_kernel(directory.write("present", ""));
  ASSERT_TRUE(image);
  const auto no_initrd = open_initrd(*image, directory.path("missing"));
  ASSERT_FALSE(no_initrd);
  EXPECT_EQ(no_initrd.error().code, ErrorCode::kernel_not_found);
  EXPECT_NE(no_initrd.error().message.find("initrd"), std::string::npos);
  EXPECT_FALSE(image->initrd);
}

/// To open a device may do something: a watchdog starts to count.
TEST(Kexec, OpensNothingButRegularFiles) {
  TemporaryDirectory directory;
  auto image = open_kernel(directory.write("kernel", "kernel"));
  ASSERT_TRUE(image);
  const auto pipe = directory.path("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const UniqueFd opened(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(::inotify_add_watch(opened.get(), pipe.c_str(), IN_OPEN), 0);
  directory.link("link", pipe);
  for (const auto& path : {pipe, directory.path("link"), std::string("/dev/null")}) {
    const auto kernel = open_kernel(path);
    ASSERT_FALSE(kernel) << path;
    EXPECT_EQ(kernel.error().code, ErrorCode::not_a_kernel);
    EXPECT_EQ(kernel.error().message, path + " is not a regular file");
    for (const auto& paths : {std::vector{path}, std::vector{path, path}}) {
      const auto initrd = open_initrds(*image, paths);
      ASSERT_FALSE(initrd) << path;
      EXPECT_EQ(initrd.error().code, ErrorCode::invalid_argument);
      EXPECT_EQ(initrd.error().message, "the initrd " + path + " is not a regular file");
      EXPECT_FALSE(image->initrd);
    }
  }
  char event[sizeof(inotify_event)];
  EXPECT_LT(::read(opened.get(), event, sizeof(event)), 0);
  EXPECT_EQ(errno, EAGAIN) << "it was opened";
}

TEST(Kexec, OpensATargetOnce) {
  TemporaryDirectory directory;
  auto image = open_kernel(directory.write("kernel", "kernel"));
  ASSERT_TRUE(image);
  EXPECT_EQ(image->kernel_path, directory.path("kernel"));
  EXPECT_FALSE(image->initrd);
  ASSERT_TRUE(open_initrd(*image, directory.write("initrd", "initrd")));
  ASSERT_TRUE(image->initrd);
  EXPECT_EQ(read_fd(image->initrd->get(), 100), "initrd");
  EXPECT_EQ(image->initrd_path, directory.path("initrd"));
  EXPECT_NE(::fcntl(image->kernel.get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_TRUE(open_initrd(*image, ""));
  EXPECT_FALSE(image->initrd) << "none is wanted";
}

/// A copy over the file is written into the same inode.
TEST(Kexec, LoadsNothingThatWasWrittenIntoSinceItWasOpened) {
  TemporaryDirectory directory;
  const auto fresh = [&] {
    auto image = open_kernel(directory.write("kernel", "kernel"));
    EXPECT_TRUE(image && open_initrd(*image, directory.write("initrd", "initrd")));
    return image;
  };
  for (const auto& file : {directory.path("kernel"), directory.path("initrd")}) {
    auto image = fresh();
    ASSERT_TRUE(image);
    ASSERT_TRUE(check_unchanged(*image));
    struct stat before = {};
    ASSERT_EQ(::stat(file.c_str(), &before), 0);
    std::ofstream(file, std::ios::in | std::ios::out) << "KERNEL";
    // As `cp -p` may leave it.
    const struct timespec times[] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
    for (const auto& refused : {check_unchanged(*image), load_kernel(*image, "kho=on")}) {
      ASSERT_FALSE(refused) << file;
      EXPECT_EQ(refused.error().code, ErrorCode::kexec_load_failed);
      EXPECT_EQ(refused.error().message,
                file + " was changed since it was looked at: update (or prepare) again");
    }
  }
  auto image = fresh();
  ASSERT_TRUE(image);
  ASSERT_TRUE(open_initrds(*image, {directory.path("initrd"), directory.path("initrd")}));
  directory.write("initrd", "another");
  EXPECT_TRUE(check_unchanged(*image)) << "a copy in memory";
}

TEST(Kexec, JoinsSeveralInitrds) {
  TemporaryDirectory directory;
  auto image = open_kernel(directory.write("kernel", "kernel"));
  ASSERT_TRUE(image);
  const auto one = directory.write("microcode", "12345");
  const auto two = directory.write("initrd", "6789");
  ASSERT_TRUE(open_initrds(*image, {one, two}));
  // init/initramfs.c wants each archive at a multiple of four.
  EXPECT_EQ(read_fd(image->initrd->get(), 100), std::string("12345\0\0\0"
                                                            "6789",
                                                            12));
  EXPECT_EQ(image->initrd_path, one + ", " + two);
  // The kernel loads nothing that is open for writing.
  EXPECT_EQ(::fcntl(image->initrd->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  ASSERT_TRUE(open_initrds(*image, {two}));
  EXPECT_EQ(read_fd(image->initrd->get(), 100), "6789");
  EXPECT_EQ(image->initrd_path, two);
  EXPECT_FALSE(open_initrds(*image, {one, directory.path("missing")}));
  EXPECT_FALSE(image->initrd);
  ASSERT_TRUE(open_initrds(*image, {}));
  EXPECT_FALSE(image->initrd);
}

TEST(Kexec, RefusesToLoadWhatIsNoKernel) {
  TemporaryDirectory directory;
  auto image = open_kernel(directory.write("kernel", "kernel"));
  ASSERT_TRUE(image);
  const auto loaded = load_kernel(*image, "kho=on");
  ASSERT_FALSE(loaded) << "whoever may load one: this is none";
  EXPECT_EQ(loaded.error().code, ErrorCode::kexec_load_failed);
  EXPECT_NE(loaded.error().message.find(directory.path("kernel")), std::string::npos);
}

TEST(Kexec, TellsWhetherAKernelIsLoaded) {
  TemporaryDirectory root;
  root.write("sys/kernel/kexec_loaded", "0\n");
  EXPECT_EQ(kernel_loaded(root.path()), false);
  root.write("sys/kernel/kexec_loaded", "1\n");
  EXPECT_EQ(kernel_loaded(root.path()), true);
  const auto unknown = kernel_loaded(root.path("nowhere"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().sys_errno, ENOENT);
}

TEST(Kexec, SaysWhatToDo) {
  struct Case {
    int sys_errno;
    const char* advice;
  };
  for (const Case one : {Case{EPERM, "CAP_SYS_BOOT"}, Case{ENOEXEC, "cannot load an image"},
                         Case{ENOMEM, "kho_scratch="}, Case{EADDRNOTAVAIL, "kho_scratch="},
                         Case{EKEYREJECTED, "signature"}, Case{ENODATA, "has no signature"},
                         Case{ENOPKG, "signed otherwise"}, Case{ELIBBAD, "signature does not fit"},
                         Case{ETXTBSY, "open for writing"}, Case{EINVAL, "initrd is empty"},
                         Case{ENOSYS, "CONFIG_KEXEC_FILE"}, Case{EIO, "kernel log"}}) {
    const Error error = kexec_load_error("/boot/vmlinuz", one.sys_errno);
    EXPECT_EQ(error.code, ErrorCode::kexec_load_failed);
    EXPECT_EQ(error.sys_errno, one.sys_errno);
    EXPECT_NE(error.message.find("/boot/vmlinuz"), std::string::npos);
    EXPECT_NE(error.message.find(one.advice), std::string::npos) << error.message;
  }
  for (const Case one : {Case{EINVAL, "no kernel is loaded"}, Case{EPERM, "CAP_SYS_BOOT"},
                         Case{ENOENT, "kernel log"}}) {
    const Error error = kexec_call_error(one.sys_errno);
    EXPECT_EQ(error.code, ErrorCode::kexec_failed);
    EXPECT_NE(error.message.find(one.advice), std::string::npos) << error.message;
  }
}

}  // namespace
}  // namespace handover::system::test
