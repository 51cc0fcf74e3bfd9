// SPDX-License-Identifier: LGPL-2.1-or-later
// What the emulated backend alone must get right: an update is told from a crash.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/backend.h"
#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

/// Runs `body` in a child process, which is another process to the backend.
template <typename Body>
bool in_another_process(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body() ? 0 : 1);
  int status = 0;
  return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Emulated, TakesNoManifestOfACrashedDaemonForAnUpdate) {
  auto backend = make_emulated().value();
  ASSERT_TRUE(backend->seal("of the process that crashed"));
  EXPECT_TRUE(in_another_process([&]() {
    auto restarted = make_emulated().value();
    if (!restarted->adopt_manifest(kept(backend->stored_fds()))) return false;
    const auto text = restarted->unseal();
    return text && !*text;
  }));
  auto same_process = make_emulated().value();
  ASSERT_TRUE(same_process->adopt_manifest(kept(backend->stored_fds())));
  EXPECT_EQ(same_process->unseal().value(), "of the process that crashed");
}

TEST(Emulated, GoesOnSealingAfterACrash) {
  auto backend = make_emulated().value();
  ASSERT_TRUE(in_another_process([&]() { return backend->seal("x").has_value(); }));
  ASSERT_TRUE(backend->seal("a long text of the crashed daemon"));
  EXPECT_TRUE(in_another_process([&]() {
    auto restarted = make_emulated().value();
    if (!restarted->adopt_manifest(kept(backend->stored_fds()))) return false;
    if (!restarted->seal("short")) return false;
    auto updated = make_emulated().value();
    if (!updated->adopt_manifest(kept(restarted->stored_fds()))) return false;
    return updated->unseal().value() == "short";
  }));
}

TEST(Emulated, ReportsADescriptorThatDidNotComeBack) {
  auto backend = make_emulated().value();
  auto session = backend->create("s").value();
  ASSERT_TRUE(session->preserve(1, memfd("one").get()));
  ASSERT_TRUE(session->preserve(2, memfd("two").get()));

  Adopted incoming = kept_session(*session, true);
  incoming.parts.pop_back();  // t2
  auto after = make_emulated().value();
  auto updated = after->adopt(std::move(incoming)).value();
  EXPECT_TRUE(updated->retrieve(1));
  const auto lost = updated->retrieve(2);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::state_lost);

  Adopted outgoing = kept_session(*session, false);
  outgoing.parts.pop_back();
  auto restarted = make_emulated().value();
  auto again = restarted->adopt(std::move(outgoing)).value();
  ASSERT_EQ(again->describe().size(), 1U);
  EXPECT_EQ(again->describe().front().token, 1U);
}

TEST(Emulated, LetsNoTwoSessionsAdoptOneFile) {
  auto backend = make_emulated().value();
  auto session = backend->create("s").value();
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  auto restarted = make_emulated().value();
  auto first = restarted->adopt(kept_session(*session, true));
  ASSERT_TRUE(first);
  const auto second = restarted->adopt(kept_session(*session, true));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::already_preserved);
}

}  // namespace
}  // namespace handover::backend::test
