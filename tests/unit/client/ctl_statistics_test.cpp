// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/format.h"
#include "ctl/statistics.h"

namespace handover::ctl {
namespace {

TEST(Statistics, AreWordsAPersonUnderstands) {
  const Properties statistics = {{"calls-queued", std::uint64_t{12}},
                                 {"questions-open", std::uint64_t{0}},
                                 {"connections", std::uint64_t{1000}}};
  EXPECT_EQ(statistics_text(statistics, 80),
            "  1000  connections to the private socket\n"
            "    12  calls to clients that wait to be sent\n"
            "     0  questions to polkit that are not answered yet\n");
}

/// A newer daemon counts more.
TEST(Statistics, OthersAreShownByTheirNames) {
  const Properties statistics = {{"connections", std::uint64_t{3}},
                                 {"turns-late", std::uint64_t{7}},
                                 {"longest-turn-usec", std::uint64_t{12'300}},
                                 {"sealed-bytes", std::uint64_t{1U << 20U}},
                                 {"last-error", std::string("no\nroom")}};
  EXPECT_EQ(statistics_text(statistics, 80),
            "        3  connections to the private socket\n"
            "  no?room  last error\n"
            "  12.3 ms  longest turn usec\n"
            "  1.0 MiB  sealed bytes\n"
            "        7  turns late\n");
  const auto json = statistics_json(statistics);
  EXPECT_EQ(json["turns-late"], 7);
  EXPECT_EQ(json["last-error"], "no\nroom");
}

TEST(Statistics, FitTheWidth) {
  const Properties statistics = {{std::string(200, 'x'), std::string(200, 'y')}};
  const auto text = statistics_text(statistics, 80);
  EXPECT_LE(text_width(text), 81U) << text;
  EXPECT_EQ(statistics_text({}, 80), "");
}

}  // namespace
}  // namespace handover::ctl
