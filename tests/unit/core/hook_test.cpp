// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/hook.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace handover {
namespace {

using Kind = HookEntry::Kind;

HookEntry program(std::string name, std::string unsafe = "") {
  return {std::move(name), Kind::program, std::move(unsafe)};
}

std::vector<std::string> paths(const HookPlan& plan) {
  std::vector<std::string> all;
  for (const auto& hook : plan.run) all.push_back(hook.path);
  return all;
}

using Paths = std::vector<std::string>;

TEST(HookPlan, OfNothingIsEmpty) {
  const auto plan = plan_hooks({});
  EXPECT_TRUE(plan.run.empty());
  EXPECT_TRUE(plan.unsafe.empty());
}

TEST(HookPlan, GoesByNamesWhateverTheDirectory) {
  const auto plan = plan_hooks({{"/etc", {program("50-b"), program("10-z")}},
                                {"/lib", {program("9-c"), program("20-a"), program("B")}}});
  EXPECT_EQ(paths(plan), (Paths{"/etc/10-z", "/lib/20-a", "/etc/50-b", "/lib/9-c", "/lib/B"}));
}

TEST(HookPlan, TheFirstDirectoryWins) {
  const auto plan = plan_hooks({{"/etc", {program("a")}}, {"/lib", {program("a"), program("b")}}});
  EXPECT_EQ(paths(plan), (Paths{"/etc/a", "/lib/b"}));
}

TEST(HookPlan, AnEmptyFileHidesOthersAndIsNotRun) {
  const auto plan =
      plan_hooks({{"/etc", {{"a", Kind::mask}}}, {"/lib", {program("a"), {"b", Kind::mask}}}});
  EXPECT_TRUE(plan.run.empty());
  EXPECT_TRUE(plan.unsafe.empty());
}

TEST(HookPlan, WhatIsNoProgramMeansNothing) {
  const auto plan = plan_hooks({{"/etc", {{"a", Kind::other}}}, {"/lib", {program("a")}}});
  EXPECT_EQ(paths(plan), Paths{"/lib/a"});
}

TEST(HookPlan, BackupsMeanNothing) {
  const auto plan = plan_hooks({{"/etc",
                                 {program(".hidden"), program("a~"), program("a.dpkg-new"),
                                  program("a.rpmsave"), program("a.bak"), program("a.sh")}}});
  EXPECT_EQ(paths(plan), Paths{"/etc/a.sh"});
}

TEST(HookPlan, AnUnsafeOneIsNotRunAndNoOtherInItsPlace) {
  const auto plan =
      plan_hooks({{"/etc", {program("a", "is writable for everybody")}}, {"/lib", {program("a")}}});
  EXPECT_TRUE(plan.run.empty());
  EXPECT_EQ(plan.unsafe, (std::vector<UnsafeHook>{{"/etc/a", "is writable for everybody"}}));
}

/// What the administrator has hidden stays so.
TEST(HookPlan, NothingOfAnUnsafeDirectoryRunsAndNoOtherInItsPlace) {
  const auto plan = plan_hooks({{"/etc", {program("a"), {"b", Kind::mask}}, "belongs to user 7"},
                                {"/lib", {program("b"), program("c")}}});
  EXPECT_EQ(paths(plan), Paths{"/lib/c"});
  EXPECT_EQ(plan.unsafe, (std::vector<UnsafeHook>{{"/etc", "belongs to user 7"}}));
}

TEST(HookEnvironment, HasAllOfItAndNothingElse) {
  HookContext context;
  context.job = "update";
  context.update = 7;
  context.mode = "immediate";
  context.from = "7.3.0";
  context.to = "7.3.1";
  context.outcome = "failed";
  context.reason = "Client 'db', Freeze: no.\nX=1";
  auto environment = hook_environment(HookStage::failed, context);
  ASSERT_TRUE(environment.front().starts_with("PATH=/"));
  environment.erase(environment.begin());
  EXPECT_EQ(environment,
            (std::vector<std::string>{
                "LANG=C.UTF-8", "HANDOVER_STAGE=failed", "HANDOVER_JOB=update", "HANDOVER_UPDATE=7",
                "HANDOVER_MODE=immediate", "HANDOVER_FROM=7.3.0", "HANDOVER_TO=7.3.1",
                "HANDOVER_OUTCOME=failed", "HANDOVER_REASON=Client 'db', Freeze: no.\\x0aX=1"}));
}

TEST(HookEnvironment, OfNoUpdateHasNoId) {
  const auto environment = hook_environment(HookStage::preflight, {});
  EXPECT_NE(std::find(environment.begin(), environment.end(), "HANDOVER_UPDATE="),
            environment.end());
}

HookResult result(HookEnd end, int status = 0, std::string last = "") {
  HookResult made;
  made.name = "prepare/50-check";
  made.end = end;
  made.status = status;
  made.last_line = std::move(last);
  return made;
}

TEST(HookResult, SaysWhoAndWhy) {
  EXPECT_EQ(sentence_of(result(HookEnd::refused, 3, "the disk is full")),
            "hook 'prepare/50-check' ended with status 3: the disk is full");
  EXPECT_EQ(sentence_of(result(HookEnd::refused, 1)),
            "hook 'prepare/50-check' ended with status 1");
  EXPECT_EQ(sentence_of(result(HookEnd::killed, 11)),
            "hook 'prepare/50-check' was killed by signal 11");
  auto late = result(HookEnd::timed_out);
  late.usec = 1'500'000;
  EXPECT_EQ(sentence_of(late), "hook 'prepare/50-check' took longer than 1500 ms");
  auto absent = result(HookEnd::not_started);
  absent.problem = "Exec format error";
  EXPECT_EQ(sentence_of(absent), "hook 'prepare/50-check' could not be started: Exec format error");
}

TEST(HookResult, BecomesTheUpdatesError) {
  EXPECT_EQ(to_error(result(HookEnd::refused, 3, "no")),
            (Error{ErrorCode::vetoed, "Hook 'prepare/50-check' ended with status 3: no."}));
  EXPECT_EQ(to_error(result(HookEnd::timed_out)).code, ErrorCode::timed_out);
}

TEST(HookResult, EveryEndButTwoRefuses) {
  for (const auto end : all_values<HookEnd>()) {
    EXPECT_EQ(is_refusal(result(end)), end != HookEnd::passed && end != HookEnd::warned)
        << to_string(end);
  }
  HookReport report;
  EXPECT_EQ(first_refusal(report), nullptr);
  report.results = {result(HookEnd::passed), result(HookEnd::warned), result(HookEnd::killed, 9),
                    result(HookEnd::refused, 1)};
  ASSERT_NE(first_refusal(report), nullptr);
  EXPECT_EQ(first_refusal(report)->end, HookEnd::killed);
}

}  // namespace
}  // namespace handover
