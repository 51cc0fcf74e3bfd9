// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "ctl/exposition.h"

namespace handover::ctl {
namespace {

Family gauge(Labels labels, double value) {
  return {"handover_clients", MetricType::gauge, "How many.", {{std::move(labels), value}}, {}};
}

TEST(Exposition, HasOneFormForEachReader) {
  const std::vector<Family> families = {
      gauge({{"phase", "idle"}}, 3),
      {"handover_calls", MetricType::counter, "Calls.", {{{}, 7}}, {}},
      {"handover_kernel", MetricType::info, "The kernel.", {{{{"release", "7.3"}}, 1}}, {}},
      {"handover_wait_seconds", MetricType::counter, "Waits.", {{{}, 0.25}}, {}},
  };
  EXPECT_EQ(exposition_of(families, Exposition::openmetrics),
            "# HELP handover_clients How many.\n"
            "# TYPE handover_clients gauge\n"
            "handover_clients{phase=\"idle\"} 3\n"
            "# HELP handover_calls Calls.\n"
            "# TYPE handover_calls counter\n"
            "handover_calls_total 7\n"
            "# HELP handover_kernel The kernel.\n"
            "# TYPE handover_kernel info\n"
            "handover_kernel_info{release=\"7.3\"} 1\n"
            "# HELP handover_wait_seconds Waits.\n"
            "# TYPE handover_wait_seconds counter\n"
            "# UNIT handover_wait_seconds seconds\n"
            "handover_wait_seconds_total 0.25\n"
            "# EOF\n");
  EXPECT_EQ(exposition_of(families, Exposition::text),
            "# HELP handover_clients How many.\n"
            "# TYPE handover_clients gauge\n"
            "handover_clients{phase=\"idle\"} 3\n"
            "# HELP handover_calls_total Calls.\n"
            "# TYPE handover_calls_total counter\n"
            "handover_calls_total 7\n"
            "# HELP handover_kernel_info The kernel.\n"
            "# TYPE handover_kernel_info gauge\n"
            "handover_kernel_info{release=\"7.3\"} 1\n"
            "# HELP handover_wait_seconds_total Waits.\n"
            "# TYPE handover_wait_seconds_total counter\n"
            "handover_wait_seconds_total 0.25\n"
            "# EOF\n");
}

TEST(Exposition, LeavesOutWhatHasNoSamples) {
  EXPECT_EQ(exposition_of({{"handover_clients", MetricType::gauge, "How many.", {}, {}}},
                          Exposition::openmetrics),
            "# EOF\n");
}

/// A client's name is whatever it chose.
TEST(Exposition, QuotesWhatIsInLabels) {
  const auto text = exposition_of({gauge({{"phase", "a\"b\\c\nd\xff{}"}}, 1)}, Exposition::text);
  EXPECT_NE(text.find("{phase=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD{}\"} 1\n"), std::string::npos) << text;
}

TEST(Exposition, CountsEachBucketWithThoseBelow) {
  const Family family = {"handover_blackout_seconds",
                         MetricType::histogram,
                         "Blackouts.",
                         {},
                         {{{{"kind", "update"}}, {0.001, 0.7, 1, 400}}}};
  const auto text = exposition_of({family}, Exposition::openmetrics);
  for (const auto* line : {"# TYPE handover_blackout_seconds histogram\n",
                           "# UNIT handover_blackout_seconds seconds\n",
                           "handover_blackout_seconds_bucket{kind=\"update\",le=\"0.001\"} 1\n",
                           "handover_blackout_seconds_bucket{kind=\"update\",le=\"0.5\"} 1\n",
                           "handover_blackout_seconds_bucket{kind=\"update\",le=\"1.0\"} 3\n",
                           "handover_blackout_seconds_bucket{kind=\"update\",le=\"300.0\"} 3\n",
                           "handover_blackout_seconds_bucket{kind=\"update\",le=\"+Inf\"} 4\n",
                           "handover_blackout_seconds_sum{kind=\"update\"} 401.701\n",
                           "handover_blackout_seconds_count{kind=\"update\"} 4\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

TEST(Exposition, HistogramsWithoutObservationsAreThere) {
  const Family family = {
      "handover_blackout_seconds", MetricType::histogram, "Blackouts.", {}, {{{}, {}}}};
  const auto text = exposition_of({family}, Exposition::text);
  EXPECT_NE(text.find("handover_blackout_seconds_bucket{le=\"+Inf\"} 0\n"), std::string::npos);
  EXPECT_NE(text.find("handover_blackout_seconds_sum 0\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace handover::ctl
