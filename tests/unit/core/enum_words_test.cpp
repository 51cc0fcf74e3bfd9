// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/enum_words.h"

#include <gtest/gtest.h>

#include <set>

#include "core/error.h"
#include "core/manifest.h"
#include "core/state_machine.h"
#include "core/timeline.h"
#include "core/words.h"

namespace handover {
namespace {

template <typename E>
class EnumWords : public testing::Test {};

using Enums = testing::Types<Mode, Keeper, Kind, Outcome, JobPhase, State, Event, Action,
                             ClientPhase, Mark, ErrorCode, Nature>;
TYPED_TEST_SUITE(EnumWords, Enums, );

TYPED_TEST(EnumWords, EveryValueHasItsOwnWordAndComesBack) {
  std::set<std::string_view> seen;
  for (const TypeParam value : all_values<TypeParam>()) {
    const std::string_view word = to_string(value);
    EXPECT_FALSE(word.empty());
    EXPECT_TRUE(seen.insert(word).second) << word << " is there twice";
    EXPECT_EQ(from_string<TypeParam>(word), value) << word;
  }
  EXPECT_EQ(seen.size(), words_of<TypeParam>.size());
}

TYPED_TEST(EnumWords, WhatIsNoneHasNoWordAndIsNotRead) {
  EXPECT_EQ(to_string(static_cast<TypeParam>(words_of<TypeParam>.size())), "unknown");
  EXPECT_EQ(to_string(static_cast<TypeParam>(-1)), "unknown");
  for (const std::string_view wrong : {"", "unknown", " ", "done ", "Luo", "NORMAL"}) {
    EXPECT_EQ(from_string<TypeParam>(wrong), std::nullopt) << wrong;
  }
}

// D-Bus, JSON files and the journal have these: a change of one breaks somebody's script.
TEST(Words, AreWhatTheyWere) {
  EXPECT_EQ(alternatives<Mode>(), "'immediate', 'orderly', 'emulated' or 'external'");
  EXPECT_EQ(alternatives<Keeper>(), "'luo', 'tracker' or 'emulated'");
  EXPECT_EQ(alternatives<Kind>(),
            "'memfd', 'tmpfs', 'hugetlb', 'fd', 'blob', 'range', 'allocated', 'handover' or "
            "'kernel'");
  EXPECT_EQ(alternatives<Outcome>(),
            "'done', 'done-with-losses', 'rehearsed', 'cancelled' or 'failed'");
  EXPECT_EQ(alternatives<JobPhase>(),
            "'preflight', 'load', 'prepare', 'collapse', 'prepared', 'freeze', 'seal', 'kexec', "
            "'cancel', 'thaw' or 'restore'");
  EXPECT_EQ(alternatives<ClientPhase>(),
            "'idle', 'preparing', 'prepared', 'freezing', 'frozen', 'thawing', 'restoring', "
            "'restored' or 'given_up'");
}

}  // namespace
}  // namespace handover
