// SPDX-License-Identifier: LGPL-2.1-or-later
// Whom a descriptor is taken to first, and what is told of it before.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/choice.h"
#include "descriptors.h"

namespace handover::backend::test {
namespace {

constexpr off_t mebibyte = off_t{1} << 20;

UniqueFd sized_memfd(off_t size, off_t written) {
  UniqueFd fd(::memfd_create("sized", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), size), 0);
  if (written > 0) {
    EXPECT_EQ(::fallocate(fd.get(), 0, 0, written), 0);
  }
  return fd;
}

ChoiceInput plain_memfd() {
  ChoiceInput input;
  input.type.kind = Kind::memfd;
  input.type.preservable = true;
  input.module_there = true;
  return input;
}

using Keepers = std::vector<Keeper>;
const Keepers luo_first = {Keeper::luo, Keeper::tracker};
const Keepers tracker_first = {Keeper::tracker, Keeper::luo};

TEST(Choice, LuoHasWhatItTakes) { EXPECT_EQ(choose(plain_memfd()), luo_first); }

TEST(Choice, HolesAreForTheModule) {
  auto input = plain_memfd();
  input.type.sparse = true;
  EXPECT_EQ(choose(input), tracker_first);
  input.module_there = false;
  EXPECT_EQ(choose(input), luo_first) << "filled holes are better than nothing";
}

TEST(Choice, WhatDoesNotTellWhetherItIsPreservedGoesWhereThatIsLookedAt) {
  auto input = plain_memfd();
  input.frozen = Frozen::unknown;
  EXPECT_EQ(choose(input), tracker_first);
  input.module_there = false;
  EXPECT_EQ(choose(input), luo_first);
}

TEST(Choice, ASessionOfTheModuleAsksItForEverythingFirst) {
  auto input = plain_memfd();
  input.main = Keeper::tracker;
  EXPECT_EQ(choose(input), tracker_first);
}

TEST(Choice, SparseIsWhatHasClearlyFewerBlocks) {
  struct Case {
    off_t size;
    off_t written;
    bool sparse;
  };
  for (const Case& one : {Case{64 * mebibyte, 0, false}, Case{64 * mebibyte, mebibyte, true},
                          Case{64 * mebibyte, 64 * mebibyte, false},
                          // Less than an eighth is missing.
                          Case{64 * mebibyte, 60 * mebibyte, false},
                          // Nobody minds a megabyte.
                          Case{mebibyte, 0, false}, Case{0, 0, false}}) {
    const auto fd = sized_memfd(one.size, one.written);
    const auto type = examine(fd.get());
    ASSERT_TRUE(type);
    EXPECT_EQ(type->sparse, one.sparse) << one.written << " of " << one.size;
  }
}

TEST(Choice, LookingWhetherAFileIsFrozenChangesNothing) {
  const auto fd = memfd("twelve bytes");
  const auto type = examine(fd.get());
  ASSERT_TRUE(type);
  EXPECT_EQ(frozen(fd.get(), *type), Frozen::no);
  EXPECT_EQ(contents(fd.get()), "twelve bytes");
  const auto after = examine(fd.get());
  ASSERT_TRUE(after);
  EXPECT_EQ(after->bytes, type->bytes);
}

TEST(Choice, AFileThatCannotBeWrittenToDoesNotTell) {
  const auto sealed = sized_memfd(mebibyte, mebibyte);
  ASSERT_EQ(::fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  const auto type = examine(sealed.get());
  ASSERT_TRUE(type);
  EXPECT_EQ(frozen(sealed.get(), *type), Frozen::unknown);

  const auto memory = memfd("x");
  const UniqueFd reader(
      ::open(("/proc/self/fd/" + std::to_string(memory.get())).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(reader);
  EXPECT_EQ(frozen(reader.get(), *type), Frozen::unknown);
}

}  // namespace
}  // namespace handover::backend::test
