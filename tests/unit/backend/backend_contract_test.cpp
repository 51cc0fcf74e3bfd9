// SPDX-License-Identifier: LGPL-2.1-or-later
// What every backend promises (backend/backend.h), on each of them: a client developer who only
// ever saw the emulated one must meet no surprise on luo.
#include <gtest/gtest.h>

#include <functional>

#include "descriptors.h"
#include "worlds.h"

namespace handover::backend::test {
namespace {

struct WorldKind {
  std::string name;
  Keeper keeper;
  std::function<std::unique_ptr<World>()> make;
};

std::ostream& operator<<(std::ostream& out, const WorldKind& kind) { return out << kind.name; }

class BackendContract : public testing::TestWithParam<WorldKind> {
 protected:
  std::unique_ptr<World> world = GetParam().make();
};

std::vector<std::uint64_t> tokens_of(const Session& session) {
  std::vector<std::uint64_t> tokens;
  for (const Descriptor& descriptor : session.describe()) tokens.push_back(descriptor.token);
  return tokens;
}

using Tokens = std::vector<std::uint64_t>;

TEST_P(BackendContract, IsThereForItsKeeper) {
  EXPECT_TRUE(world->backend().available(GetParam().keeper));
  EXPECT_EQ(world->create("s")->keeper(), GetParam().keeper);
}

TEST_P(BackendContract, DescribesWhatItPreserves) {
  auto session = world->create("vm");
  const auto preserved = session->preserve(7, memfd("twelve bytes").get());
  ASSERT_TRUE(preserved);
  EXPECT_EQ(preserved->descriptor.token, 7U);
  EXPECT_EQ(preserved->descriptor.kind, Kind::memfd);
  EXPECT_EQ(preserved->descriptor.bytes, 12U);
  ASSERT_EQ(preserved->stored.size(), 1U);
  EXPECT_EQ(preserved->stored[0].part, token_part(7));
  EXPECT_TRUE(session->holds(7));
  EXPECT_FALSE(session->holds(3));
  ASSERT_TRUE(session->preserve(3, memfd().get()));
  EXPECT_EQ(tokens_of(*session), (Tokens{3, 7}));
  EXPECT_FALSE(session->incoming());
  EXPECT_EQ(session->name(), "vm");
}

TEST_P(BackendContract, RefusesWhatNoKexecKeepsAndSaysWhatItWas) {
  auto session = world->create("s");
  struct Refused {
    UniqueFd fd;
    std::string noun;
  };
  std::vector<Refused> cases;
  cases.push_back({pipe_end(), "a pipe"});
  cases.push_back({socket_end(), "a socket"});
  cases.push_back({regular_file(), "a regular file"});
  cases.push_back({directory(), "a directory"});
  cases.push_back({character_device(), "a character device"});
  cases.push_back({event_counter(), "eventfd"});
  cases.push_back({named_tmpfs_file(), "tmpfs"});
  if (UniqueFd huge = hugetlb_memfd()) cases.push_back({std::move(huge), "a hugetlb memfd"});
  for (const Refused& refused : cases) {
    const auto result = session->preserve(1, refused.fd.get());
    ASSERT_FALSE(result) << refused.noun;
    EXPECT_EQ(result.error().code, ErrorCode::unsupported) << refused.noun;
    EXPECT_NE(result.error().message.find(refused.noun), std::string::npos)
        << result.error().message;
    EXPECT_NE(result.error().message.find(": "), std::string::npos)
        << "no advice: " << refused.noun;
  }
  EXPECT_TRUE(session->describe().empty());
  EXPECT_TRUE(session->preserve(1, memfd().get())) << "a refusal must not use the token up";
}

TEST_P(BackendContract, RefusesDescriptorsThatAreNone) {
  auto session = world->create("s");
  const auto closed = session->preserve(1, 9999);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::invalid_argument);
  const auto negative = session->preserve(1, -1);
  ASSERT_FALSE(negative);
  EXPECT_EQ(negative.error().code, ErrorCode::invalid_argument);
}

TEST_P(BackendContract, RefusesATokenAndAFileTwice) {
  auto session = world->create("s");
  auto other = world->create("other");
  const UniqueFd memory = memfd("x");
  ASSERT_TRUE(session->preserve(1, memory.get()));

  const auto same_token = session->preserve(1, memfd().get());
  ASSERT_FALSE(same_token);
  EXPECT_EQ(same_token.error().code, ErrorCode::token_taken);
  for (Session* where : {session.get(), other.get()}) {
    const auto same_file = where->preserve(2, memory.get());
    ASSERT_FALSE(same_file);
    EXPECT_EQ(same_file.error().code, ErrorCode::already_preserved);
  }
  EXPECT_EQ(tokens_of(*session), Tokens{1});
  EXPECT_TRUE(other->describe().empty());
}

TEST_P(BackendContract, RefusesANameTwiceUntilItIsFree) {
  auto session = world->create("s");
  const UniqueFd memory = memfd();
  ASSERT_TRUE(session->preserve(1, memory.get()));
  const auto second = world->try_create("s");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::name_taken);
  session.reset();
  const auto third = world->try_create("s");
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_TRUE((*third)->preserve(1, memory.get())) << "a discarded session must let its files go";
}

TEST_P(BackendContract, UnpreservesOneAndKeepsTheRest) {
  auto session = world->create("s");
  auto other = world->create("other");
  const UniqueFd memory = memfd();
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  ASSERT_TRUE(session->preserve(2, memory.get()));
  ASSERT_TRUE(session->preserve(3, memfd().get()));

  ASSERT_TRUE(session->unpreserve(2));
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 3}));
  const auto again = session->unpreserve(2);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::no_such_token);
  EXPECT_TRUE(other->preserve(2, memory.get()));
  EXPECT_TRUE(session->preserve(2, memfd().get()));
}

TEST_P(BackendContract, UnpreservesTheLast) {
  auto session = world->create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  ASSERT_TRUE(session->unpreserve(1));
  EXPECT_TRUE(session->describe().empty());
  EXPECT_TRUE(session->preserve(1, memfd().get()));
}

TEST_P(BackendContract, DuplicatesWhatItHolds) {
  auto session = world->create("s");
  const UniqueFd memory = memfd("x");
  ASSERT_TRUE(session->preserve(1, memory.get()));
  const auto copy = session->duplicate(1);
  ASSERT_TRUE(copy);
  EXPECT_TRUE(same_file(copy->get(), memory.get()));
  EXPECT_TRUE(close_on_exec(copy->get()));
  EXPECT_FALSE(session->duplicate(2));
}

TEST_P(BackendContract, HoldsTheFileWhenTheCallerClosesIt) {
  auto session = world->create("s");
  {
    const UniqueFd memory = memfd("still here");
    ASSERT_TRUE(session->preserve(1, memory.get()));
  }
  const auto copy = session->duplicate(1);
  ASSERT_TRUE(copy);
  EXPECT_EQ(contents(copy->get()), "still here");
}

TEST_P(BackendContract, NeedsAnEarlierKernelToRetrieve) {
  auto session = world->create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  const auto retrieved = session->retrieve(1);
  ASSERT_FALSE(retrieved);
  EXPECT_EQ(retrieved.error().code, ErrorCode::not_incoming);
  const auto finished = session->finish();
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code, ErrorCode::not_incoming);
  const auto unknown = world->retrieve("s");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_such_session);
  EXPECT_EQ(tokens_of(*session), Tokens{1});
}

TEST_P(BackendContract, PreservesAgainAroundWhatRunsBetween) {
  auto session = world->create("s");
  ASSERT_TRUE(session->preserve(1, memfd().get()));
  ASSERT_TRUE(session->preserve(2, memfd().get()));
  int runs = 0;
  ASSERT_TRUE(session->preserve_again([&]() -> Result<void> {
    ++runs;
    return {};
  }));
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));

  const auto cancelled = session->preserve_again(
      [&]() -> Result<void> { return fail(ErrorCode::cancelled, "on request"); });
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, ErrorCode::cancelled);
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2})) << "an interrupted collapse must lose nothing";
}

TEST_P(BackendContract, GivesBackAfterAnUpdate) {
  Sessions sessions;
  sessions["a"] = world->create("a");
  sessions["b"] = world->create("b");
  ASSERT_TRUE(sessions["a"]->preserve(1, memfd("first").get()));
  ASSERT_TRUE(sessions["a"]->preserve(2, memfd("second").get()));
  ASSERT_TRUE(sessions["b"]->preserve(1, memfd("other").get()));
  world->update(sessions);

  Session& session = *sessions["a"];
  EXPECT_TRUE(session.incoming());
  EXPECT_TRUE(session.describe().empty());
  const auto first = session.retrieve(1);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(contents(first->fd.get()), "first");
  EXPECT_TRUE(close_on_exec(first->fd.get()));

  EXPECT_FALSE(first->once);
  const auto twice = session.retrieve(1);
  ASSERT_TRUE(twice) << "an owner that died starts again";
  EXPECT_TRUE(same_file(first->fd.get(), twice->fd.get()));
  const auto unknown = session.retrieve(99);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::no_such_token);
  for (const auto& refused : {session.preserve(5, memfd().get()).map([](const auto&) {}),
                              session.unpreserve(2), session.preserve_again(nullptr)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::incoming);
  }
  const auto other = sessions["b"]->retrieve(1);
  ASSERT_TRUE(other);
  EXPECT_EQ(contents(other->fd.get()), "other");

  ASSERT_TRUE(session.finish());
  for (const auto& refused : {session.finish(), session.retrieve(2).map([](const auto&) {})}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::not_incoming);
  }
  EXPECT_TRUE(session.stored_fds().empty());
}

TEST_P(BackendContract, HasAnIncomingAndAnOutgoingSessionOfOneName) {
  Sessions sessions;
  sessions["s"] = world->create("s");
  ASSERT_TRUE(sessions["s"]->preserve(1, memfd("old").get()));
  world->update(sessions);
  auto outgoing = world->create("s");
  ASSERT_TRUE(outgoing->preserve(1, memfd("new").get()));
  EXPECT_TRUE(sessions["s"]->retrieve(1));
  ASSERT_TRUE(sessions["s"]->finish());
  sessions.clear();
  const auto taken = world->try_create("s");
  ASSERT_FALSE(taken) << "finishing the old one must not free the new one's name";
  EXPECT_EQ(taken.error().code, ErrorCode::name_taken);
  EXPECT_EQ(tokens_of(*outgoing), Tokens{1});
}

TEST_P(BackendContract, UpdatesThreeTimesInARow) {
  UniqueFd memory = memfd("kept");
  for (int round = 1; round <= 3; ++round) {
    Sessions sessions;
    sessions["s"] = world->create("s");
    const auto preserved = sessions["s"]->preserve(1, memory.get());
    ASSERT_TRUE(preserved) << "round " << round << ": " << preserved.error().message;
    ASSERT_TRUE(world->manifest().replace("manifest " + std::to_string(round)));
    world->update(sessions);

    const auto text = world->manifest().unseal();
    ASSERT_TRUE(text) << text.error().message;
    ASSERT_TRUE(*text);
    EXPECT_EQ(**text, "manifest " + std::to_string(round));
    auto retrieved = sessions["s"]->retrieve(1);
    ASSERT_TRUE(retrieved) << "round " << round;
    memory = std::move(retrieved->fd);
    EXPECT_EQ(contents(memory.get()), "kept");
    const auto too_early = world->create("early")->preserve(1, memory.get());
    ASSERT_FALSE(too_early) << "what is retrieved is the earlier session's until it is finished";
    EXPECT_EQ(too_early.error().code, ErrorCode::already_preserved);
    ASSERT_TRUE(sessions["s"]->finish());
  }
}

TEST_P(BackendContract, GoesOnWithWhatTheFdStoreGaveBack) {
  auto session = world->create("s");
  const UniqueFd memory = memfd("kept");
  ASSERT_TRUE(session->preserve(1, memory.get()));
  ASSERT_TRUE(session->preserve(2, memfd().get()));
  std::vector<Part> parts;
  for (const auto& stored : session->stored_fds()) parts.push_back(stored.part);
  EXPECT_EQ(parts, (std::vector<Part>{session_part, token_part(1), token_part(2)}));

  Adopted adopted = kept_session(*session, false);
  session.reset();
  // The emulated backend's registry dies with its process; dropping the session stands for that.
  auto result = world->adopt(std::move(adopted));
  ASSERT_TRUE(result) << result.error().message;
  session = std::move(*result);
  EXPECT_FALSE(session->incoming());
  EXPECT_EQ(tokens_of(*session), (Tokens{1, 2}));
  ASSERT_TRUE(session->unpreserve(2));
  const auto twice = world->create("other")->preserve(1, memory.get());
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::already_preserved);

  Sessions sessions;
  sessions["s"] = std::move(session);
  world->update(sessions);
  const auto retrieved = sessions["s"]->retrieve(1);
  ASSERT_TRUE(retrieved);
  EXPECT_EQ(contents(retrieved->fd.get()), "kept");
}

TEST_P(BackendContract, AdoptsNothingThatIsNotTheSession) {
  auto session = world->create("right");
  auto wrong = kept_session(*session, false);
  wrong.name = "wrong";
  const auto other_name = world->adopt(std::move(wrong));
  ASSERT_FALSE(other_name);
  EXPECT_EQ(other_name.error().code, ErrorCode::io);

  Adopted no_session;
  no_session.name = "memory";
  no_session.parts.push_back(Adopted::Part{session_part, memfd("no session")});
  const auto memory = world->adopt(std::move(no_session));
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, ErrorCode::io);

  Adopted nothing;
  nothing.name = "nothing";
  const auto empty = world->adopt(std::move(nothing));
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, ErrorCode::io);
  EXPECT_TRUE(world->try_create("nothing")) << "a refused adoption must not keep the name";
}

TEST_P(BackendContract, LeavesWhatItDoesNotAdoptToTheCaller) {
  auto session = world->create("right");
  ASSERT_TRUE(session->preserve(1, memfd("kept").get()));
  auto adopted = kept_session(*session, false);
  const std::size_t parts = adopted.parts.size();
  adopted.name = "wrong";
  const auto refused = world->backend().adopt(adopted);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().nature, Nature::passing);
  ASSERT_EQ(adopted.parts.size(), parts);
  for (const auto& part : adopted.parts) EXPECT_TRUE(part.fd);
  EXPECT_EQ(adopted.tokens.size(), 1U);
  session.reset();
  adopted.name = "right";
  const auto taken = world->backend().adopt(adopted);
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_TRUE(taken->session->holds(1));
  EXPECT_TRUE(taken->losses.empty());
  EXPECT_TRUE(taken->given.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All, BackendContract,
    testing::Values(WorldKind{"luo", Keeper::luo, [] { return std::make_unique<LuoWorld>(); }},
                    WorldKind{"composite", Keeper::luo,
                              [] {
                                auto world = std::make_unique<CompositeWorld>();
                                world->module().unload();
                                return world;
                              }},
                    WorldKind{"emulated", Keeper::emulated,
                              [] { return std::make_unique<EmulatedWorld>(); }}),
    [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace handover::backend::test
