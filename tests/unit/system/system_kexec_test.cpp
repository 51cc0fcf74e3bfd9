// SPDX-License-Identifier: LGPL-2.1-or-later
// Loading a kernel: what is refused before the system call, and what its errnos mean. The call
// itself runs in the virtual machine's tests.
#include <gtest/gtest.h>

#include "support/temporary_directory.h"
#include "system/kexec.h"
#include "system/kexec_errors.h"

namespace handover::system::test {

using handover::test::TemporaryDirectory;
namespace {

TEST(Kexec, NeedsFilesThatExist) {
  TemporaryDirectory directory;
  const std::string present = directory.write("present", "");
  for (const auto& [kernel, initrd] : {std::pair(directory.path("missing"), std::string()),
                                       std::pair(present, directory.path("missing"))}) {
    const auto loaded = load_kernel(kernel, initrd, "kho=on");
    ASSERT_FALSE(loaded);
    EXPECT_EQ(loaded.error().code, ErrorCode::kernel_not_found);
    EXPECT_NE(loaded.error().message.find(directory.path("missing")), std::string::npos);
  }
}

TEST(Kexec, SaysWhatToDo) {
  struct Case {
    int sys_errno;
    const char* advice;
  };
  for (const Case one :
       {Case{EPERM, "CAP_SYS_BOOT"}, Case{ENOEXEC, "no image"}, Case{ENOMEM, "kho_scratch="},
        Case{EADDRNOTAVAIL, "kho_scratch="}, Case{EKEYREJECTED, "signature"},
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
