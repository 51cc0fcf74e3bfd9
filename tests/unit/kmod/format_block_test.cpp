// SPDX-License-Identifier: LGPL-2.1-or-later
// The keys of a block's frames, against kho_preserve_pages() of each range as the kernel has it.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <random>
#include <set>
#include <utility>

#include "c_format.h"

namespace handover {
namespace {

using Frames = std::array<bool, HO_BLOCK_PAGES>;
using Set = std::array<u64, HO_BLOCK_WORDS>;
/// First frame and order.
using Key = std::pair<u32, u32>;

Set set_of(const Frames& frames) {
  Set set{};
  for (u32 i = 0; i < frames.size(); ++i) set.at(i / 64) |= u64{frames.at(i)} << i % 64;
  return set;
}

std::set<Key> keys_of(const Set& set) {
  std::set<Key> keys;
  for (u32 at = ho_block_next(set.data(), 0); at < HO_BLOCK_PAGES;) {
    const u32 order = ho_block_key(set.data(), at);
    keys.emplace(at, order);
    at = ho_block_next(set.data(), at + (1U << order));
  }
  return keys;
}

/// As __kho_preserve_pages_order() splits each range (kernel/liveupdate/kexec_handover.c).
std::set<Key> keys_by_kernel(const Frames& frames) {
  std::set<Key> keys;
  for (u32 first = 0; first < frames.size();) {
    u32 end = first;
    while (end < frames.size() && frames.at(end)) ++end;
    while (first < end) {
      const u32 order = std::min(static_cast<u32>(std::countr_zero(first | HO_BLOCK_PAGES)),
                                 static_cast<u32>(std::bit_width(end - first)) - 1);
      keys.emplace(first, order);
      first += 1U << order;
    }
    first = end + 1;
  }
  return keys;
}

void expect_all(const Frames& frames) {
  const Set set = set_of(frames);
  for (u32 at = 0; at <= HO_BLOCK_PAGES; ++at) {
    const auto* const begin = frames.begin() + at;
    ASSERT_EQ(ho_block_next(set.data(), at), std::find(begin, frames.end(), true) - frames.begin());
    ASSERT_EQ(ho_block_end(set.data(), at), std::find(begin, frames.end(), false) - frames.begin());
  }
  const auto expected = keys_by_kernel(frames);
  ASSERT_EQ(keys_of(set), expected);
  for (u32 order = 0; order <= HO_PIECE_ORDER; ++order) {
    for (u32 at = 0; at < HO_BLOCK_PAGES; at += 1U << order) {
      ASSERT_EQ(ho_block_has_key(set.data(), at, order), expected.contains({at, order}))
          << at << " " << order;
    }
  }
}

TEST(Block, OfEveryRange) {
  for (u32 first = 0; first < HO_BLOCK_PAGES; first += first < 20 || first > 490 ? 1 : 13) {
    for (u32 end = first; end <= HO_BLOCK_PAGES; end += end < 20 || end > 490 ? 1 : 11) {
      Frames frames{};
      std::fill(frames.begin() + first, frames.begin() + end, true);
      expect_all(frames);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Block, OfRandomFrames) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    Frames frames{};
    // From nearly none to nearly all.
    std::bernoulli_distribution there(std::exp2(-(round % 9)));
    for (auto& frame : frames) frame = there(random) != (round % 2 == 0);
    expect_all(frames);
    if (HasFatalFailure()) return;
  }
}

/// What block.c relies on when maps come and go: keys that both sets have stay as they are.
TEST(Block, OfJoinedSetsIsThatOfOne) {
  Frames even{};
  Frames odd{};
  for (u32 i = 0; i < HO_BLOCK_PAGES; ++i) (i % 2 != 0 ? odd : even).at(i) = true;
  Set both = set_of(even);
  EXPECT_EQ(keys_of(both).size(), HO_BLOCK_PAGES / 2);
  for (u32 i = 0; i < HO_BLOCK_WORDS; ++i) both.at(i) |= set_of(odd).at(i);
  EXPECT_EQ(keys_of(both), (std::set<Key>{{0, HO_PIECE_ORDER}}));
}

}  // namespace
}  // namespace handover
