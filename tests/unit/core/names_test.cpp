// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/names.h"

#include <gtest/gtest.h>

#include <string>

#include "support/utf8.h"

namespace handover {
namespace {

void expect_refused(const Result<void>& checked, const std::string& why) {
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::invalid_name);
  EXPECT_NE(checked.error().message.find(why), std::string::npos) << checked.error().message;
  EXPECT_TRUE(test::is_utf8(checked.error().message));  // it becomes a D-Bus string
}

TEST(Names, AcceptsOneTo63BytesOfUtf8) {
  for (const std::string& name :
       {std::string("a"), std::string("db.primary"), std::string("Grüße 世界"), std::string("..."),
        std::string("-x"), std::string(max_name_bytes, 'n')}) {
    EXPECT_TRUE(check_name(name)) << name;
  }
}

TEST(Names, RefusesTheRest) {
  expect_refused(check_name(""), "empty");
  expect_refused(check_name(std::string(max_name_bytes + 1, 'n')), "64 bytes");
  // 21 characters of 3 bytes are 63, one more byte is too many: bytes count, not characters.
  std::string three_bytes_each;
  for (int i = 0; i < 21; ++i) three_bytes_each += "世";
  EXPECT_TRUE(check_name(three_bytes_each));
  expect_refused(check_name(three_bytes_each + "x"), "64 bytes");
  expect_refused(check_name("a/b"), "'/'");
  expect_refused(check_name("/"), "'/'");
  expect_refused(check_name("."), "directory");
  expect_refused(check_name(".."), "directory");
  expect_refused(check_name("a\nb"), "control");
  expect_refused(check_name(std::string_view("a\0b", 3)), "control");
  expect_refused(check_name("\x7F"), "control");
  expect_refused(check_name("a\xC2\x9F"), "control");
  expect_refused(check_name("a\xFF"), "UTF-8");
  expect_refused(check_name("\xC0\xAF"), "UTF-8");  // '/' in disguise
  expect_refused(check_name("cut\xE4\xB8"), "UTF-8");
}

TEST(Names, EveryByteAloneIsJudged) {
  for (int value = 0; value < 256; ++value) {
    const std::string name(1, static_cast<char>(value));
    const bool allowed = value > 0x20 - 1 && value < 0x7F && name != "/" && name != ".";
    EXPECT_EQ(check_name(name).has_value(), allowed) << value;
  }
}

TEST(Names, OthersSessionsAreKept) {
  expect_refused(check_session_name("systemd"), "PID 1");
  expect_refused(check_session_name("handoverd"), "daemon");
  expect_refused(check_session_name("a/b"), "'/'");
  EXPECT_TRUE(check_session_name("systemd2"));
  EXPECT_TRUE(check_name("systemd"));  // a client may be called so
}

}  // namespace
}  // namespace handover
