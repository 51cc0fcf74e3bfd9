// SPDX-License-Identifier: LGPL-2.1-or-later
// The manifest's memfd: whatever instant a write ends at, a whole text can be read.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "backend/memory_file.h"
#include "backend/slots.h"
#include "descriptors.h"

namespace handover::backend::test {
namespace {

constexpr std::uint64_t small_slot = 512;

/// Every write, with what the memfd held before it.
struct Recorder {
  struct Write {
    std::string before;
    std::string bytes;
    std::uint64_t offset = 0;
  };
  std::vector<Write> writes;

  Slots::Write writer() {
    return [this](int fd, std::string_view bytes, std::uint64_t offset) -> Result<void> {
      auto before = read_memory_file(fd);
      if (!before) return fail(before.error());
      writes.push_back({std::move(*before), std::string(bytes), offset});
      return write_memory_file(fd, bytes, offset);
    };
  }
};

Slots small_slots(std::string_view base, Recorder& recorder) {
  auto made = Slots::make("test", base, small_slot, recorder.writer());
  EXPECT_TRUE(made) << made.error().message;
  return std::move(*made);
}

std::string text_of(const Slots& slots) {
  const auto text = read_slots(slots.fd());
  EXPECT_TRUE(text) << text.error().message;
  return text.value_or("");
}

/// Ends each write after each of its bytes. What can be read then must be one of `allowed`, or the
/// earlier text with a beginning of `added` behind it.
void tear_every_write(const Recorder& recorder, const std::vector<std::string>& allowed,
                      const std::string& added = "") {
  for (const auto& write : recorder.writes) {
    for (std::size_t bytes = 0; bytes <= write.bytes.size(); ++bytes) {
      std::string contents = write.before;
      std::copy_n(write.bytes.begin(), bytes,
                  contents.begin() + static_cast<std::ptrdiff_t>(write.offset));
      const auto text = text_in_slots(contents);
      ASSERT_TRUE(text) << "after " << bytes << " bytes at " << write.offset;
      const bool whole = std::find(allowed.begin(), allowed.end(), *text) != allowed.end();
      const bool partly_added =
          text->starts_with(allowed.front()) &&
          std::string_view(added).starts_with(text->substr(allowed.front().size()));
      ASSERT_TRUE(whole || partly_added)
          << "after " << bytes << " bytes at " << write.offset << ": " << *text;
    }
  }
}

TEST(Slots, KeepsATextThatIsReplacedAndAddedTo) {
  Recorder recorder;
  Slots slots = small_slots("base one\n", recorder);
  EXPECT_EQ(text_of(slots), "base one\n");
  ASSERT_TRUE(slots.append("+1\n"));
  ASSERT_TRUE(slots.append("+2\n"));
  EXPECT_EQ(text_of(slots), "base one\n+1\n+2\n");
  ASSERT_TRUE(slots.replace("base two\n"));
  EXPECT_EQ(text_of(slots), "base two\n");
  ASSERT_TRUE(slots.append("+3\n"));
  ASSERT_TRUE(slots.replace("3\n"));
  EXPECT_EQ(text_of(slots), "3\n") << "the lines of two bases before must not show";
}

TEST(Slots, IsWholeWhateverByteAWriteEndsAt) {
  Recorder recorder;
  Slots slots = small_slots("base one, which is rather long\n", recorder);
  std::string earlier = text_of(slots);
  for (const std::string& base :
       {std::string("two\n"), std::string("base three, long as well, and longer\n"),
        std::string("4\n"), std::string("5\n"), std::string(400, 'x') + "\n", std::string("7\n")}) {
    recorder.writes.clear();
    ASSERT_TRUE(slots.replace(base));
    ASSERT_GE(recorder.writes.size(), 2U);
    tear_every_write(recorder, {earlier, base});
    earlier = base;
    for (const std::string& line : {std::string("+1 a line\n"), std::string("+2 another one\n")}) {
      recorder.writes.clear();
      ASSERT_TRUE(slots.append(line));
      ASSERT_EQ(recorder.writes.size(), 1U) << "append is one write";
      tear_every_write(recorder, {earlier, earlier + line}, line);
      earlier += line;
    }
  }
}

TEST(Slots, IsTheEarlierTextAfterAFailedWrite) {
  for (int failing = 1; failing <= 3; ++failing) {
    int left = 0;
    const auto writer = [&](int fd, std::string_view bytes, std::uint64_t offset) -> Result<void> {
      if (--left != 0) return write_memory_file(fd, bytes, offset);
      // The worst kind: half of it is there.
      (void)write_memory_file(fd, bytes.substr(0, bytes.size() / 2), offset);
      return fail(ErrorCode::io, "on purpose");
    };
    auto made = Slots::make("test", "base\n", small_slot, writer);
    ASSERT_TRUE(made);
    Slots slots = std::move(*made);
    ASSERT_TRUE(slots.append("+1 rather long, so that there is something to clear\n"));
    const std::string earlier = text_of(slots);
    left = failing;
    const bool replaced = slots.replace("other\n").has_value();
    left = 0;
    EXPECT_EQ(text_of(slots), replaced ? "other\n" : earlier);

    const std::string before = text_of(slots);
    left = 1;
    EXPECT_FALSE(slots.append("+2 whole line\n+3 half a line\n"));
    left = 0;
    EXPECT_EQ(text_of(slots), before);
    ASSERT_TRUE(slots.append("+2\n"));
    EXPECT_EQ(text_of(slots), before + "+2\n");
  }
}

TEST(Slots, SaysWhatDoesNotFit) {
  Recorder recorder;
  Slots slots = small_slots("base\n", recorder);
  const auto room = slots.room();
  const auto refused = slots.append(std::string(room + 1, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(text_of(slots), "base\n");
  ASSERT_TRUE(slots.append(std::string(room, 'x')));
  EXPECT_EQ(slots.room(), 0U);
  EXPECT_EQ(text_of(slots), "base\n" + std::string(room, 'x'));

  const auto too_large = slots.replace(std::string(small_slot, 'y'));
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(text_of(slots), "base\n" + std::string(room, 'x'));
}

TEST(Slots, HasRoomForAsMuchAgain) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}, std::size_t{1} << 20}) {
    const std::string base(bytes, 'x');
    EXPECT_GE(Slots::slot_bytes_for(base), UINT64_C(256) * 1024);
    auto slots = Slots::make("test", base);
    ASSERT_TRUE(slots);
    EXPECT_TRUE(slots->has_ample_room(base));
    EXPECT_GE(slots->room(), bytes);
    EXPECT_TRUE(close_on_exec(slots->fd()));
    EXPECT_EQ(text_of(*slots), base);
  }
  EXPECT_FALSE(Slots::make("test", "")->has_ample_room(std::string(200'000, 'x')));
}

TEST(Slots, KeepsTheSizeOfItsMemory) {
  auto slots = Slots::make("test", "base\n");
  ASSERT_TRUE(slots);
  const auto size = [&] {
    struct stat status = {};
    ::fstat(slots->fd(), &status);
    return status.st_size;
  };
  const auto before = size();
  ASSERT_TRUE(slots->append(std::string(slots->room(), 'x')));
  ASSERT_TRUE(slots->replace("other\n"));
  EXPECT_EQ(size(), before) << "a preserved memfd cannot change its size";
}

TEST(Slots, ReadsWhatAnOlderDaemonWrote) {
  const auto memory = memfd("handover-manifest 1 2 00000000\n{}" + std::string(5000, '\0'));
  const auto text = read_slots(memory.get());
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "handover-manifest 1 2 00000000\n{}");
  const auto empty = text_in_slots(std::string(4096, '\0'));
  ASSERT_TRUE(empty);
  EXPECT_EQ(*empty, "");
}

/// The kernel that wrote it may have run another version: these bytes are read for ever.
TEST(Slots, ReadsTheseBytes) {
  const auto padded = [](std::string text, std::size_t size, char with) {
    text.resize(size, with);
    return text;
  };
  const auto slot = [&](const std::string& header, const std::string& text) {
    return padded(padded(header, 63, ' ') + "\n" + text, 512, '\0');
  };
  const std::string first = padded("handover-slots 1 512\n", 4096, '\0');
  const std::string older =
      slot("00000000000000000006 00000000000000000006 4e25d287", "older\n+1 x\n");
  const std::string newer =
      slot("00000000000000000007 00000000000000000006 d5563853", "newer\n+1 y\n");
  EXPECT_EQ(text_in_slots(first + older + newer).value_or("none"), "newer\n+1 y\n");
  EXPECT_EQ(text_in_slots(first + newer + older).value_or("none"), "newer\n+1 y\n");
  const std::string torn = slot("00000000000000000008 00000000000000000006 d5563853", "torn!\n");
  EXPECT_EQ(text_in_slots(first + older + torn).value_or("none"), "older\n+1 x\n");
}

TEST(Slots, SaysWhatIsDamaged) {
  Recorder recorder;
  const Slots slots = small_slots("base\n", recorder);
  const auto contents = read_memory_file(slots.fd());
  ASSERT_TRUE(contents);
  ASSERT_TRUE(text_in_slots(*contents));
  struct Damage {
    std::size_t offset;
    std::string bytes;
  };
  for (const Damage& damage :
       {Damage{17, "99999999"}, Damage{17, "x"}, Damage{17, "0\n"}, Damage{4096 + 19, "7"},
        Damage{4096 + 25, "9"}, Damage{4096 + 42, "zz"}}) {
    std::string damaged = *contents;
    damaged.replace(damage.offset, damage.bytes.size(), damage.bytes);
    const auto text = text_in_slots(damaged);
    ASSERT_FALSE(text) << damage.offset;
    EXPECT_EQ(text.error().code, ErrorCode::manifest_invalid);
  }
  for (const std::size_t bytes : {std::size_t{17}, std::size_t{100}, std::size_t{4100}}) {
    EXPECT_FALSE(text_in_slots(std::string_view(*contents).substr(0, bytes))) << bytes;
  }
  EXPECT_FALSE(read_slots(pipe_end().get()));
}

}  // namespace
}  // namespace handover::backend::test
