// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/error.h"
#include "ctl/exit_code.h"

namespace handover::ctl {
namespace {

struct Codes {
  int code;            ///< of any command
  int of_update = -1;  ///< of update and prepare, if it is another
};

/// Every error there is: a new one has to be thought about here.
TEST(ExitCodes, OfEveryErrorOfTheDaemon) {
  const std::map<std::string, Codes, std::less<>> expected = {
      {"InvalidArgument", {2}},
      {"InvalidName", {2}},
      {"NameTaken", {1, 6}},
      {"NoSuchSession", {3}},
      {"NoSuchClient", {3}},
      {"NoSuchToken", {3}},
      {"TokenTaken", {1, 6}},
      {"NoSuchBackend", {3}},
      {"Unsupported", {1, 6}},
      {"AlreadyPreserved", {1, 6}},
      {"AlreadyRetrieved", {1, 6}},
      {"NotIncoming", {1, 6}},
      {"Incoming", {1, 6}},
      {"AccessDenied", {4}},
      {"Busy", {5}},
      {"NothingToCancel", {1, 6}},
      {"LimitExceeded", {1, 6}},
      {"DependencyCycle", {6}},
      {"UnknownDependency", {6}},
      {"KernelNotFound", {3}},
      {"NotAKernel", {6}},
      {"KernelIncompatible", {6}},
      {"ModuleMissing", {6}},
      {"KexecLoadFailed", {6}},
      {"KexecFailed", {6}},
      {"Vetoed", {6}},
      {"TimedOut", {6}},
      {"ClientGone", {6}},
      {"Cancelled", {7}},
      {"ManifestInvalid", {1, 6}},
      {"StateLost", {1, 6}},
      {"Io", {1, 6}},
      {"NotSupported", {1, 6}},
      {"Internal", {1, 6}},
  };
  for (int number = 0; number <= static_cast<int>(ErrorCode::internal); ++number) {
    const auto error = to_string(static_cast<ErrorCode>(number));
    const auto found = expected.find(error);
    ASSERT_NE(found, expected.end()) << error << " has no exit code";
    const auto [code, of_update] = found->second;
    const std::string name = "org.handover1.Error." + std::string(error);
    EXPECT_EQ(static_cast<int>(exit_code_of(name)), code) << name;
    EXPECT_EQ(static_cast<int>(update_exit_code_of(name)), of_update < 0 ? code : of_update)
        << name;
  }
  EXPECT_EQ(expected.size(), static_cast<std::size_t>(ErrorCode::internal) + 1);
}

TEST(ExitCodes, OfTheBusAndOfOthers) {
  const std::pair<const char*, int> expected[] = {
      {"org.freedesktop.DBus.Error.AccessDenied", 4},
      {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", 4},
      {"org.freedesktop.DBus.Error.ServiceUnknown", 8},
      {"org.freedesktop.DBus.Error.NoReply", 8},
      {"org.freedesktop.DBus.Error.Disconnected", 8},
      {"org.freedesktop.DBus.Error.Spawn.ChildExited", 8},
      {"org.handover1.Error.NoSuchUpdate", 3},
      {"org.handover1.Error.OfANewerDaemon", 1},
      {"org.example.Busy", 1},
      {"", 1},
  };
  for (const auto& [name, code] : expected) {
    EXPECT_EQ(static_cast<int>(exit_code_of(name)), code) << name;
    // 1 of an update says that it is done.
    EXPECT_EQ(static_cast<int>(update_exit_code_of(name)), code == 1 ? 6 : code) << name;
  }
}

}  // namespace
}  // namespace handover::ctl
