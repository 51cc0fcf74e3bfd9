// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "log_capture.h"
#include "support/temporary_directory.h"
#include "system/hook_files.h"
#include "system/hook_run.h"

namespace handover::system {
namespace {

class HookFiles : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text, mode_t mode = 0755) {
    auto path = directory.write(name, text);
    chmod(path.c_str(), mode);
    for (auto part = std::filesystem::path(path).parent_path(); part != directory.path();
         part = part.parent_path()) {
      chmod(part.c_str(), 0755);
    }
    return path;
  }
  [[nodiscard]] std::vector<std::string> roots() const {
    return {directory.path("etc"), directory.path("lib")};
  }
  HookReport run(HookStage stage, std::uint64_t limit_usec = 60'000'000) {
    return run_hooks(roots(), stage, context, limit_usec, stop);
  }
  [[nodiscard]] std::vector<std::string> planned() const {
    std::vector<std::string> all;
    for (const auto& hook : plan_hooks(list_hooks(roots(), HookStage::prepare)).run) {
      all.push_back(hook.path.substr(directory.path().size()));
    }
    return all;
  }

  test::TemporaryDirectory directory;
  HookContext context;
  std::atomic<bool> stop{false};
};

using Strings = std::vector<std::string>;

TEST_F(HookFiles, NoDirectoryNoHook) {
  EXPECT_TRUE(list_hooks(roots(), HookStage::prepare).empty());
  EXPECT_TRUE(run(HookStage::prepare).results.empty());
  EXPECT_TRUE(unsafe_hooks(roots()).empty());
}

TEST_F(HookFiles, AreFoundInTheirDirectories) {
  write("etc/prepare/50-b", "#!/bin/sh\n");
  write("lib/prepare/10-a", "#!/bin/sh\n");
  write("lib/prepare/50-b", "#!/bin/sh\n");
  write("lib/prepare/60-c", "#!/bin/sh\n");
  write("lib/prepare/70-d", "#!/bin/sh\n");
  write("lib/prepare/80-no-x", "#!/bin/sh\n", 0644);
  write("lib/prepare/directory/x", "#!/bin/sh\n");
  write("lib/freeze/10-other-stage", "#!/bin/sh\n");
  write("etc/prepare/60-c", "");
  directory.link("etc/prepare/70-d", "/dev/null");
  directory.link("lib/prepare/90-dangling", "/no/such/file");
  EXPECT_EQ(planned(), (Strings{"/lib/prepare/10-a", "/etc/prepare/50-b"}));
}

TEST_F(HookFiles, ThatOthersCouldChangeAreNotRun) {
  const auto everybody = write("etc/prepare/10-everybody", "#!/bin/sh\nexit 1\n", 0777);
  const auto group = write("etc/prepare/20-group", "#!/bin/sh\nexit 1\n", 0775);
  write("etc/prepare/30-good", "#!/bin/sh\n");
  const auto report = run(HookStage::prepare);
  ASSERT_EQ(report.results.size(), 1U);
  EXPECT_EQ(report.results[0].name, "prepare/30-good");
  ASSERT_EQ(report.unsafe.size(), 2U);
  EXPECT_EQ(report.unsafe[0], (UnsafeHook{everybody, "is writable for everybody"}));
  EXPECT_EQ(report.unsafe[1].path, group);
  EXPECT_EQ(unsafe_hooks(roots()), report.unsafe);
}

TEST_F(HookFiles, OfADirectoryThatOthersCouldChangeAreNotRun) {
  write("etc/failed/10-x", "#!/bin/sh\nexit 1\n");
  chmod(directory.path("etc").c_str(), 0777);
  EXPECT_TRUE(run(HookStage::failed).results.empty());
  const auto unsafe = unsafe_hooks(roots());
  ASSERT_EQ(unsafe.size(), 1U);
  EXPECT_EQ(unsafe[0].path, directory.path("etc/failed"));
  EXPECT_EQ(unsafe[0].why,
            "leads to " + directory.path("etc") + ", which is writable for everybody");
}

TEST_F(HookFiles, ALinkIsAsSafeAsWhatItLeadsTo) {
  const auto target = write("elsewhere/program", "#!/bin/sh\n");
  std::filesystem::create_directories(directory.path("etc/prepare"));
  chmod(directory.path("etc/prepare").c_str(), 0755);
  chmod(directory.path("etc").c_str(), 0755);
  directory.link("etc/prepare/10-link", target);
  EXPECT_EQ(planned(), Strings{"/etc/prepare/10-link"});
  chmod(directory.path("elsewhere").c_str(), 0777);
  EXPECT_TRUE(planned().empty());
}

TEST_F(HookFiles, OfAnotherUserAreNotRun) {
  if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
  const auto path = write("etc/prepare/10-his", "#!/bin/sh\n");
  ASSERT_EQ(chown(path.c_str(), 12345, 0), 0);
  EXPECT_EQ(why_unsafe(path), "belongs to user 12345");
  EXPECT_TRUE(planned().empty());
}

TEST_F(HookFiles, TheFirstThatRefusesEndsTheStage) {
  const test::LogCapture log;
  write("etc/prepare/10-good", "#!/bin/sh\necho fine\n");
  write("etc/prepare/20-warns", "#!/bin/sh\necho hm\nexit 77\n");
  write("etc/prepare/30-bad", "#!/bin/sh\necho first\necho 'no room' >&2\nexit 3\n");
  write("etc/prepare/40-never", "#!/bin/sh\ntouch " + directory.path("never") + "\n");
  const auto report = run(HookStage::prepare);
  ASSERT_EQ(report.results.size(), 3U);
  EXPECT_EQ(report.results[0].end, HookEnd::passed);
  EXPECT_EQ(report.results[1].end, HookEnd::warned);
  EXPECT_EQ(sentence_of(report.results[2]), "hook 'prepare/30-bad' ended with status 3: no room");
  EXPECT_FALSE(std::filesystem::exists(directory.path("never")));
  Strings lines;
  for (const auto& line : log.lines()) lines.push_back(line.text);
  EXPECT_EQ(lines, (Strings{"Hook 'prepare/10-good': fine", "Hook 'prepare/20-warns': hm",
                            "Hook 'prepare/30-bad': first", "Hook 'prepare/30-bad': no room"}));
  EXPECT_TRUE(test::has_field(log.lines().front(), "HOOK=prepare/10-good"));
}

TEST_F(HookFiles, OfPreflightAllRun) {
  write("etc/preflight/10-bad", "#!/bin/sh\nexit 1\n");
  write("etc/preflight/20-bad", "#!/no/such/program\n");
  write("etc/preflight/30-good", "#!/bin/sh\n");
  const auto report = run(HookStage::preflight);
  ASSERT_EQ(report.results.size(), 3U);
  EXPECT_EQ(report.results[1].end, HookEnd::not_started);
  EXPECT_NE(sentence_of(report.results[1]).find("No such file"), std::string::npos);
  EXPECT_EQ(report.results[2].end, HookEnd::passed);
}

TEST_F(HookFiles, AreToldWhatTheyAreFor) {
  write("etc/thaw/10-env", "#!/bin/sh\necho $HANDOVER_STAGE $HANDOVER_UPDATE $HANDOVER_TO\n");
  context.update = 12;
  context.to = "7.3.1";
  EXPECT_EQ(run(HookStage::thaw).results.at(0).last_line, "thaw 12 7.3.1");
}

TEST_F(HookFiles, MuchOutputIsCutAndEndsNothing) {
  const test::LogCapture log;
  write("etc/prepare/10-loud", "#!/bin/sh\nyes | head -c 1048576\necho the end\nexit 1\n");
  const auto report = run(HookStage::prepare);
  EXPECT_EQ(report.results.at(0).last_line, "the end");
  const auto lines = log.lines();
  EXPECT_LT(lines.size(), 300U);
  EXPECT_NE(lines.back().text.find(" more lines are left out."), std::string::npos);
}

TEST_F(HookFiles, EndAtTheirLimit) {
  write("etc/freeze/10-slow", "#!/bin/sh\necho begun\nsleep 1000\n");
  const auto report = run(HookStage::freeze, 500'000);
  EXPECT_EQ(sentence_of(report.results.at(0)),
            "hook 'freeze/10-slow' took longer than 500 ms: begun");
}

TEST_F(HookFiles, DoNotBeginWhenTheUpdateIsUndone) {
  write("etc/freeze/10-x", "#!/bin/sh\n");
  stop = true;
  EXPECT_TRUE(run(HookStage::freeze).results.empty());
}

}  // namespace
}  // namespace handover::system
