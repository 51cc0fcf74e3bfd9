// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/fd_store.h"
#include "fake_host.h"

namespace handover::engine::test {
namespace {

using Names = std::vector<std::string>;
using Fds = std::vector<backend::Session::StoredFd>;

UniqueFd memory() { return UniqueFd(memfd_create("test", MFD_CLOEXEC)); }

/// That many descriptors under the longest tokens that there are.
Fds with_long_names(std::uint64_t count, int fd) {
  Fds fds;
  for (std::uint64_t n = 0; n < count; ++n) {
    fds.push_back({token_part(std::numeric_limits<std::uint64_t>::max() - n), fd});
  }
  return fds;
}

class FdStoreTest : public testing::Test {
 protected:
  Names stored() { return machine.fd_store.names(); }
  /// As many of them as are taken.
  static std::size_t keep_each(FdStore& store, const std::string& prefix, const Fds& fds) {
    std::size_t kept = 0;
    for (const auto& one : fds) {
      const auto done = store.keep(prefix, one.part, one.fd);
      if (!done) {
        EXPECT_EQ(done.error().code, ErrorCode::limit_exceeded);
        break;
      }
      ++kept;
    }
    return kept;
  }

  Machine machine;
  FakeHost host{machine};
  UniqueFd one = memory();
  UniqueFd other = memory();
};

TEST(FdStoreName, IsReadAsItIsWritten) {
  const auto name = FdStore::stored_name(FdStore::prefix_of(12), token_part(3));
  EXPECT_EQ(name, "session-12-t3");
  const auto parsed = FdStore::parse(name);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->prefix, "session-12");
  EXPECT_EQ(parsed->session, 12U);
  EXPECT_EQ(parsed->part, token_part(3));
}

TEST(FdStoreName, OfTheManifestHasNoSession) {
  const auto parsed = FdStore::parse("manifest-s");
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->session);
  EXPECT_EQ(parsed->part, session_part);
}

TEST(FdStoreName, OfSomebodyElseIsNotOurs) {
  for (const auto* name : {"", "stored", "session-s", "session--s", "session-x-s", "session-1-",
                           "session-1-x", "session-1-t", "session-1-t1x", "manifest", "other-1-s",
                           "session-99999999999999999999999-s"}) {
    EXPECT_FALSE(FdStore::parse(name)) << name;
  }
}

TEST_F(FdStoreTest, KeepsAndForgets) {
  FdStore store(host);
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  ASSERT_TRUE(store.keep("session-1", token_part(7), other.get()));
  ASSERT_TRUE(store.keep("session-2", session_part, other.get()));
  EXPECT_EQ(stored(), (Names{"session-1-s", "session-1-t7", "session-2-s"}));
  EXPECT_EQ(store.count(), 3U);
  ASSERT_TRUE(store.forget("session-1", token_part(7)));
  ASSERT_TRUE(store.forget("session-1", token_part(8)));  // never there
  EXPECT_EQ(stored(), (Names{"session-1-s", "session-2-s"}));
  ASSERT_TRUE(store.forget_all("session-1"));
  EXPECT_EQ(stored(), Names{"session-2-s"});
  EXPECT_EQ(store.count(), 1U);
}

TEST_F(FdStoreTest, StoresTheSameDescriptorOnce) {
  FdStore store(host);
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  const auto effects = machine.effects();
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  EXPECT_EQ(machine.effects(), effects);
}

TEST_F(FdStoreTest, ReplacesWhatHasTheName) {
  FdStore store(host);
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  ASSERT_TRUE(store.keep("session-1", session_part, other.get()));
  EXPECT_EQ(stored(), Names{"session-1-s"});
  EXPECT_EQ(store.count(), 1U);
}

TEST_F(FdStoreTest, CountsNothingThatWasNotTaken) {
  FdStore store(host);
  machine.fd_store.refuse_errno = ENOBUFS;
  EXPECT_FALSE(store.keep("session-1", session_part, one.get()));
  EXPECT_EQ(store.count(), 0U);
  machine.fd_store.refuse_errno = 0;
  EXPECT_TRUE(store.keep("session-1", session_part, one.get()));
  EXPECT_EQ(store.count(), 1U);
}

TEST_F(FdStoreTest, KeepsNoMoreThanItsLimit) {
  machine.fd_store.limit = 2;
  FdStore store(host);
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  ASSERT_TRUE(store.keep("session-1", token_part(1), other.get()));
  const auto refused = store.keep("session-2", session_part, one.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_TRUE(store.keep("session-1", token_part(1), one.get()));  // in place of the other
  ASSERT_TRUE(store.forget("session-1", token_part(1)));
  EXPECT_TRUE(store.keep("session-2", session_part, one.get()));
}

TEST_F(FdStoreTest, KeepsNoMoreThanCanBeNamedToTheNextDaemon) {
  FdStore store(host);
  const auto kept = keep_each(store, "session-1", with_long_names(7000, one.get()));
  EXPECT_GT(kept, 3000U);
  EXPECT_LT(kept, 4000U);
}

TEST_F(FdStoreTest, CountsTheNamesOfAllSessions) {
  FdStore store(host);
  EXPECT_EQ(keep_each(store, "session-1", with_long_names(2000, one.get())), 2000U);
  EXPECT_LT(keep_each(store, "session-2", with_long_names(2000, one.get())), 2000U);
  ASSERT_TRUE(store.forget_all("session-2"));
  ASSERT_TRUE(store.forget_all("session-1"));
  EXPECT_EQ(keep_each(store, "session-2", with_long_names(2000, one.get())), 2000U);
}

TEST_F(FdStoreTest, KnowsWhatCameBack) {
  ASSERT_TRUE(machine.fd_store.store("session-1-s", one.get()));
  FdStore store(host);
  store.came_back("session-1", session_part, one.get());
  const auto effects = machine.effects();
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  EXPECT_EQ(machine.effects(), effects);
  EXPECT_EQ(store.count(), 1U);
}

TEST_F(FdStoreTest, KeepsExactlyWhatItIsTold) {
  FdStore store(host);
  ASSERT_TRUE(store.keep("session-1", session_part, one.get()));
  ASSERT_TRUE(store.keep("session-1", token_part(1), other.get()));
  ASSERT_TRUE(store.keep("session-2", session_part, other.get()));
  ASSERT_TRUE(
      store.keep_exactly("session-1", {{session_part, other.get()}, {token_part(2), one.get()}}));
  EXPECT_EQ(stored(), (Names{"session-1-s", "session-1-t2", "session-2-s"}));
  EXPECT_EQ(store.count(), 3U);
  ASSERT_TRUE(store.keep_exactly("session-1", {}));
  EXPECT_EQ(stored(), Names{"session-2-s"});
}

/// What came back is kept, whatever it takes.
TEST_F(FdStoreTest, KeepsExactlyWhateverTheLimit) {
  FdStore store(host);
  EXPECT_TRUE(store.keep_exactly("session-1", with_long_names(4000, one.get())));
  EXPECT_EQ(store.count(), 4000U);
}

/// What PID 1 refuses of many must not cost the others.
TEST_F(FdStoreTest, KeepsTheOthersWhereOneIsRefused) {
  FdStore store(host);
  machine.fd_store.refuse_errno = ENOBUFS;
  machine.fd_store.refused_part = "-t1";
  UniqueFd third = memory();
  EXPECT_FALSE(store.keep_exactly(
      "session-1",
      {{session_part, one.get()}, {token_part(1), other.get()}, {token_part(2), third.get()}}));
  EXPECT_EQ(stored(), (Names{"session-1-s", "session-1-t2"}));
  machine.fd_store.refuse_errno = 0;
  EXPECT_TRUE(store.keep_exactly(
      "session-1",
      {{session_part, one.get()}, {token_part(1), other.get()}, {token_part(2), third.get()}}));
  EXPECT_EQ(stored(), (Names{"session-1-s", "session-1-t1", "session-1-t2"}));
  EXPECT_EQ(store.count(), 3U);
}

}  // namespace
}  // namespace handover::engine::test
