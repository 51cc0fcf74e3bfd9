// SPDX-License-Identifier: LGPL-2.1-or-later
// Every error of the daemon's has an errno that says something.
#include <gtest/gtest.h>

#include <cerrno>
#include <handover/handover.hpp>
#include <set>
#include <string>

#include "core/error.h"
#include "core/error_name.h"
#include "fake_daemon.h"
#include "support/temporary_directory.h"

namespace handover::client {
namespace {

/// Of these the system said no more than that it failed.
bool is_plain_failure(ErrorCode code) {
  return code == ErrorCode::io || code == ErrorCode::kexec_failed;
}

TEST(LibraryErrno, EveryErrorOfTheDaemonHasOne) {
  for (const auto& [code, word] : words(ErrorCode{})) {
    const auto name = dbus_name(code);
    EXPECT_EQ(handover_error_name_to_errno(name.c_str()) == EIO, is_plain_failure(code))
        << name << " is missing in client/lib/src/errno_map.cpp";
  }
}

TEST(LibraryErrno, IsTheUsualOne) {
  EXPECT_EQ(handover_error_name_to_errno("org.handover1.Error.NameTaken"), EEXIST);
  EXPECT_EQ(handover_error_name_to_errno("org.handover1.Error.Busy"), EBUSY);
  EXPECT_EQ(handover_error_name_to_errno("org.handover1.Error.AccessDenied"), EACCES);
  EXPECT_EQ(handover_error_name_to_errno("org.handover1.Error.NoSuchToken"), ENOENT);
  EXPECT_EQ(handover_error_name_to_errno("org.handover1.Error.TimedOut"), ETIMEDOUT);
  EXPECT_EQ(handover_error_name_to_errno("org.freedesktop.DBus.Error.AccessDenied"), EACCES);
  EXPECT_EQ(handover_error_name_to_errno("org.handover1.Error.OfALaterVersion"), EIO);
  EXPECT_EQ(handover_error_name_to_errno(nullptr), 0);
}

TEST(LibraryErrno, ComesWithAnAnswer) {
  const handover::test::TemporaryDirectory directory;
  const auto path = directory.path("private");
  setenv("HANDOVER_PRIVATE_SOCKET", path.c_str(), 1);
  test::FakeDaemon daemon(path);
  daemon.start("new");
  auto connection = Connection::open({0, 60'000'000, nullptr});
  ASSERT_TRUE(connection) << connection.error().message;
  auto made = connection->create_session("s");
  ASSERT_TRUE(made);
  EXPECT_EQ(connection->create_session("s").error().code, EEXIST);
  EXPECT_EQ(made->retrieve(1).error().code, ENOENT);
}

}  // namespace
}  // namespace handover::client
