// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/error.h"

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace handover {
namespace {

std::vector<ErrorCode> all_codes() {
  std::vector<ErrorCode> codes;
  for (int code = 0; code <= static_cast<int>(ErrorCode::internal); ++code) {
    codes.push_back(static_cast<ErrorCode>(code));
  }
  return codes;
}

TEST(Error, EveryCodeHasItsOwnBusName) {
  std::set<std::string_view> names;
  for (const ErrorCode code : all_codes()) {
    const std::string_view name = to_string(code);
    ASSERT_FALSE(name.empty());
    // D-Bus specification, "Valid Names": letters, digits and underscores in an element.
    for (const char c : name) EXPECT_TRUE(std::isalpha(static_cast<unsigned char>(c))) << name;
    EXPECT_TRUE(std::isupper(static_cast<unsigned char>(name[0]))) << name;
    EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
  }
  EXPECT_EQ(to_string(ErrorCode::name_taken), "NameTaken");
  EXPECT_EQ(to_string(ErrorCode::io), "Io");
}

TEST(Error, TheReferenceNamesTheSameErrors) {
  std::ifstream file(HANDOVER_SOURCE_DIR "/docs/dbus.md");
  ASSERT_TRUE(file);
  std::stringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  const auto heading = all.find("\n## Errors\n");
  ASSERT_NE(heading, std::string::npos);
  const auto colon = all.find(":\n", heading);
  ASSERT_NE(colon, std::string::npos);
  const auto full_stop = all.find('.', colon);
  ASSERT_NE(full_stop, std::string::npos);

  std::set<std::string> documented;
  std::string word;
  for (const char c : all.substr(colon + 1, full_stop - colon)) {
    if (std::isalpha(static_cast<unsigned char>(c))) {
      word += c;
    } else if (!word.empty()) {
      documented.insert(word);
      word.clear();
    }
  }
  std::set<std::string> coded;
  for (const ErrorCode code : all_codes()) coded.emplace(to_string(code));
  EXPECT_EQ(documented, coded);
}

TEST(Error, FailConvertsToAnyResult) {
  const auto number = []() -> Result<int> { return fail(ErrorCode::busy, "later"); }();
  ASSERT_FALSE(number);
  EXPECT_EQ(number.error(), (Error{ErrorCode::busy, "later", 0, Nature::refused}));
  const auto nothing = [&]() -> Result<void> { return fail(number.error()); }();
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error(), number.error());
}

TEST(Error, NatureFollowsFromErrnoAndCode) {
  for (const int passes : {EBUSY, EAGAIN, EINTR, ENOMEM, EMFILE, ENFILE, ENOSPC, ETIMEDOUT}) {
    EXPECT_EQ(fail_errno("open", passes).value().nature, Nature::passing) << passes;
    EXPECT_EQ(fail(ErrorCode::state_lost, "", passes).value().nature, Nature::passing) << passes;
  }
  for (const int stays : {0, ENOENT, EINVAL, EACCES, EIO, ENODEV}) {
    EXPECT_EQ(fail(ErrorCode::io, "", stays).value().nature, Nature::refused) << stays;
    EXPECT_EQ(fail(ErrorCode::state_lost, "", stays).value().nature, Nature::damaged) << stays;
    EXPECT_EQ(fail(ErrorCode::manifest_invalid, "", stays).value().nature, Nature::damaged);
  }
  for (const ErrorCode code : all_codes()) {
    const bool lost = code == ErrorCode::state_lost || code == ErrorCode::manifest_invalid;
    EXPECT_EQ(fail(code, "").value().nature, lost ? Nature::damaged : Nature::refused)
        << to_string(code);
  }
  const Error error = fail(ErrorCode::state_lost, "gone").value();
  EXPECT_EQ(passing(error).nature, Nature::passing);
  EXPECT_EQ(refused(error).nature, Nature::refused);
  EXPECT_EQ(damaged(passing(error)), error) << "nothing else changes";
}

TEST(Error, ErrnoIsSpelledOutAndKept) {
  const Error error = fail_errno("open /dev/liveupdate", ENOENT).value();
  EXPECT_EQ(error.code, ErrorCode::io);
  EXPECT_EQ(error.sys_errno, ENOENT);
  EXPECT_EQ(error.message, "open /dev/liveupdate: No such file or directory");

  errno = EACCES;
  EXPECT_EQ(fail_errno("read").value().sys_errno, EACCES);
  EXPECT_EQ(fail_errno("load", EPERM, ErrorCode::kexec_load_failed).value().code,
            ErrorCode::kexec_load_failed);
}

}  // namespace
}  // namespace handover
