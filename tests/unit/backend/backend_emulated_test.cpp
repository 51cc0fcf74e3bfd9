// SPDX-License-Identifier: LGPL-2.1-or-later
// What the emulated backend alone must get right: an update is told from a crash, and a file that
// the kernel would have kept from changing its size is refused.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

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
  EmulatedWorld world;
  ASSERT_TRUE(world.manifest().replace("of the process that crashed"));
  const auto stored = [&] { return kept(world.manifest().stored_fds()); };
  EXPECT_TRUE(in_another_process([&]() {
    EmulatedWorld restarted;
    auto parts = stored();
    if (!restarted.manifest().adopt(parts)) return false;
    const auto text = restarted.manifest().unseal();
    return text && !*text;
  }));
  EmulatedWorld same_process;
  auto parts = stored();
  ASSERT_TRUE(same_process.manifest().adopt(parts));
  EXPECT_EQ(same_process.manifest().unseal().value(), "of the process that crashed");
}

TEST(Emulated, GoesOnSealingAfterACrash) {
  EmulatedWorld world;
  ASSERT_TRUE(in_another_process([&]() { return world.manifest().replace("x").has_value(); }));
  ASSERT_TRUE(world.manifest().replace("a long text of the crashed daemon"));
  EXPECT_TRUE(in_another_process([&]() {
    EmulatedWorld restarted;
    auto parts = kept(world.manifest().stored_fds());
    if (!restarted.manifest().adopt(parts)) return false;
    if (!restarted.manifest().replace("short")) return false;
    EmulatedWorld updated;
    parts = kept(restarted.manifest().stored_fds());
    if (!updated.manifest().adopt(parts)) return false;
    return updated.manifest().unseal().value() == "short";
  }));
}

TEST(Emulated, ReportsADescriptorThatDidNotComeBack) {
  EmulatedWorld world;
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, memfd("one").get()));
  ASSERT_TRUE(session->preserve(2, memfd("two").get()));

  Adopted incoming = kept_session(*session, true);
  incoming.parts.pop_back();  // t2
  EmulatedWorld after;
  const auto updated = after.backend().adopt(incoming).value();
  ASSERT_EQ(updated.losses.size(), 1U);
  EXPECT_EQ(updated.losses[0].token, 2U);
  EXPECT_TRUE(updated.session->retrieve(1));
  const auto lost = updated.session->retrieve(2);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::state_lost);

  Adopted outgoing = kept_session(*session, false);
  outgoing.parts.pop_back();
  EmulatedWorld restarted;
  const auto again = restarted.backend().adopt(outgoing).value();
  ASSERT_EQ(again.session->describe().size(), 1U);
  EXPECT_EQ(again.session->describe().front().token, 1U);
  ASSERT_EQ(again.losses.size(), 1U) << "nothing is silently missing";
  EXPECT_EQ(again.losses[0].token, 2U);
}

TEST(Emulated, MakesASessionAnewOfTheDescriptorsThatCameBack) {
  EmulatedWorld world;
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, memfd("one").get()));
  ASSERT_TRUE(session->preserve(2, memfd("two").get()));
  Adopted adopted = kept_session(*session, false);
  adopted.parts.erase(adopted.parts.begin(), adopted.parts.begin() + 2);  // "s" and t1
  EmulatedWorld restarted;
  const auto again = restarted.backend().adopt(adopted);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->session->holds(2));
  ASSERT_EQ(again->losses.size(), 1U);
  EXPECT_EQ(again->losses[0].token, 1U);
}

TEST(Emulated, LetsNoTwoSessionsAdoptOneFile) {
  EmulatedWorld world;
  auto session = world.create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  EmulatedWorld restarted;
  const auto first = restarted.adopt(kept_session(*session, true));
  ASSERT_TRUE(first);
  auto adopted = kept_session(*session, true);
  const auto second = restarted.backend().adopt(adopted);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::already_preserved);
  for (const auto& part : adopted.parts) EXPECT_TRUE(part.fd);
}

/// What both the rehearsal and the end of an update say.
Result<void> closed(EmulatedWorld& world) {
  Tables& tables = *world.keepers().tables;
  const auto rehearsed = tables.rehearse();
  const auto sealed = tables.close();
  EXPECT_EQ(rehearsed.has_value(), sealed.has_value());
  EXPECT_TRUE(tables.open());
  return sealed;
}

TEST(Emulated, RefusesAPreservedFileOfAnotherSize) {
  EmulatedWorld world;
  auto session = world.create("s");
  const UniqueFd memory = memfd("sixteen bytes...");
  ASSERT_TRUE(session->preserve(7, memory.get()));
  EXPECT_TRUE(closed(world));
  for (const off_t size : {off_t{1}, off_t{0}, off_t{17}, off_t{1} << 40}) {
    ASSERT_EQ(::ftruncate(memory.get(), size), 0);
    const auto refused = closed(world);
    ASSERT_FALSE(refused) << size;
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
    EXPECT_TRUE(refused.error().message.starts_with("token 7 of session \"s\" has " +
                                                    std::to_string(size) + " bytes and had 16"))
        << refused.error().message;
  }
  ASSERT_EQ(::ftruncate(memory.get(), 16), 0);
  EXPECT_TRUE(closed(world));
}

TEST(Emulated, LeavesTheOwnersFileAsItIs) {
  EmulatedWorld world;
  auto session = world.create("s");
  const UniqueFd memory = memfd("x");
  ASSERT_TRUE(session->preserve(1, memory.get()));
  EXPECT_TRUE(closed(world));
  EXPECT_EQ(::fcntl(memory.get(), F_GET_SEALS), 0) << "a seal cannot be taken back";
  ASSERT_TRUE(session->unpreserve(1));
  ASSERT_EQ(::ftruncate(memory.get(), 4096), 0);
  EXPECT_TRUE(closed(world)) << "what is not preserved may grow";
  ASSERT_TRUE(session->preserve(1, memory.get()));
  EXPECT_TRUE(closed(world)) << "the size is the one that it was preserved with";
  ASSERT_TRUE(session->discard());
  ASSERT_EQ(::ftruncate(memory.get(), 1), 0);
  EXPECT_TRUE(closed(world));
}

TEST(Emulated, ComparesSizesAfterARestartToo) {
  EmulatedWorld world;
  auto session = world.create("s");
  const UniqueFd memory = memfd("12345678");
  ASSERT_TRUE(session->preserve(1, memory.get()));
  Adopted outgoing = kept_session(*session, false);
  ASSERT_EQ(::ftruncate(memory.get(), 9), 0);
  EmulatedWorld restarted;
  const auto again = restarted.adopt(std::move(outgoing));
  ASSERT_TRUE(again);
  EXPECT_FALSE(closed(restarted));
}

TEST(Emulated, LetsWhatIsRetrievedGrow) {
  EmulatedWorld world;
  auto session = world.create("s");
  const UniqueFd memory = memfd("12345678");
  ASSERT_TRUE(session->preserve(1, memory.get()));
  EmulatedWorld after;
  const auto incoming = after.adopt(kept_session(*session, true));
  ASSERT_TRUE(incoming);
  const auto retrieved = (*incoming)->retrieve(1);
  ASSERT_TRUE(retrieved);
  ASSERT_EQ(::ftruncate(retrieved->fd.get(), 4096), 0);
  EXPECT_TRUE(closed(after)) << "as LUO, which gives back a file of its own size";
}

}  // namespace
}  // namespace handover::backend::test
