// SPDX-License-Identifier: LGPL-2.1-or-later
// Our declarations of the kernel's ABI against its own header, where that is installed.
#include <gtest/gtest.h>

#include "backend/liveupdate_abi.h"

#if __has_include(<linux/liveupdate.h>)
#include <linux/liveupdate.h>
#define HAVE_KERNEL_HEADER 1
#endif

namespace handover::backend {
namespace {

TEST(LiveupdateAbi, NumbersAreThoseOfTheDocumentation) {
  // _IO(0xBA, n), Documentation/userspace-api/ioctl/ioctl-number.rst and uapi/linux/liveupdate.h.
  EXPECT_EQ(abi::create_session, 0xBA00U);
  EXPECT_EQ(abi::retrieve_session, 0xBA01U);
  EXPECT_EQ(abi::preserve_fd, 0xBA40U);
  EXPECT_EQ(abi::retrieve_fd, 0xBA41U);
  EXPECT_EQ(abi::finish, 0xBA42U);
  EXPECT_EQ(abi::get_name, 0xBA43U);
}

TEST(LiveupdateAbi, AgreesWithTheKernelsHeader) {
#ifdef HAVE_KERNEL_HEADER
  EXPECT_EQ(abi::session_name_length, std::size_t{LIVEUPDATE_SESSION_NAME_LENGTH});
  EXPECT_EQ(abi::create_session, LIVEUPDATE_IOCTL_CREATE_SESSION);
  EXPECT_EQ(abi::retrieve_session, LIVEUPDATE_IOCTL_RETRIEVE_SESSION);
  EXPECT_EQ(abi::preserve_fd, LIVEUPDATE_SESSION_PRESERVE_FD);
  EXPECT_EQ(abi::retrieve_fd, LIVEUPDATE_SESSION_RETRIEVE_FD);
  EXPECT_EQ(abi::finish, LIVEUPDATE_SESSION_FINISH);
  EXPECT_EQ(abi::get_name, LIVEUPDATE_SESSION_GET_NAME);
  EXPECT_EQ(sizeof(abi::CreateSession), sizeof(liveupdate_ioctl_create_session));
  EXPECT_EQ(sizeof(abi::RetrieveSession), sizeof(liveupdate_ioctl_retrieve_session));
  EXPECT_EQ(sizeof(abi::PreserveFd), sizeof(liveupdate_session_preserve_fd));
  EXPECT_EQ(sizeof(abi::RetrieveFd), sizeof(liveupdate_session_retrieve_fd));
  EXPECT_EQ(sizeof(abi::Finish), sizeof(liveupdate_session_finish));
  EXPECT_EQ(sizeof(abi::GetName), sizeof(liveupdate_session_get_name));
  EXPECT_EQ(offsetof(abi::PreserveFd, token), offsetof(liveupdate_session_preserve_fd, token));
  EXPECT_EQ(offsetof(abi::PreserveFd, fd), offsetof(liveupdate_session_preserve_fd, fd));
  EXPECT_EQ(offsetof(abi::CreateSession, name), offsetof(liveupdate_ioctl_create_session, name));
  EXPECT_EQ(offsetof(abi::GetName, name), offsetof(liveupdate_session_get_name, name));
#else
  GTEST_SKIP() << "no linux/liveupdate.h here: configure with -DHANDOVER_KERNEL_HEADERS=DIR, where "
                  "DIR/linux/liveupdate.h is of the kernel that was built";
#endif
}

}  // namespace
}  // namespace handover::backend
