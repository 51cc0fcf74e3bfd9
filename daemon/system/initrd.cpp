// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/initrd.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cpio_walk.h"
#include "core/initrd_names.h"
#include "system/unpack.h"

namespace handover::system {
namespace {

constexpr std::uint64_t initrd_limit = UINT64_C(1) << 30;
constexpr std::uint64_t unpacked_initrd_limit = UINT64_C(8) << 30;

/// An initrd has hundreds of megabytes, of which so many are in memory at a time.
constexpr std::size_t piece_bytes = std::size_t{256} << 10;

constexpr std::string_view xz_magic =
    "\xfd"
    "7zXZ";
constexpr std::string_view zstd_magic = "\x28\xb5\x2f\xfd";
constexpr std::string_view xz_end = "YZ";

bool is_lzo(std::string_view bytes) { return bytes.starts_with("\x89LZO"); }

/// The bytes of a file, by pieces.
class Pieces {
 public:
  explicit Pieces(int fd) : fd_(fd) {}

  /// At most `size` bytes from `at` on; fewer only at the end, and if they cannot be read.
  std::string_view read(std::uint64_t at, std::uint64_t size) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, piece_bytes));
    piece_.resize(wanted);
    std::size_t got = 0;
    while (got < wanted) {
      const auto now =
          ::pread(fd_, piece_.data() + got, wanted - got, static_cast<off_t>(at + got));
      if (now < 0 && errno == EINTR) continue;
      if (now < 0 && sys_errno_ == 0) sys_errno_ = errno;
      if (now <= 0) break;
      got += static_cast<std::size_t>(now);
    }
    return std::string_view(piece_).substr(0, got);
  }
  /// Where the NULs from `at` on end.
  std::uint64_t skip_nuls(std::uint64_t at, std::uint64_t end) {
    while (at < end) {
      const auto piece = read(at, end - at);
      if (piece.empty()) break;
      const auto other = piece.find_first_not_of('\0');
      if (other != std::string_view::npos) return at + other;
      at += piece.size();
    }
    return end;
  }
  /// Where the NULs in front of `end` begin; not before `begin`.
  std::uint64_t without_nuls(std::uint64_t begin, std::uint64_t end) {
    while (end > begin) {
      const auto from = end - begin > piece_bytes ? end - piece_bytes : begin;
      const auto piece = read(from, end - from);
      const auto other = piece.find_last_not_of('\0');
      if (other != std::string_view::npos) return from + other + 1;
      if (piece.empty()) break;
      end = from;
    }
    return begin;
  }
  /// 0, or why not all could be read.
  [[nodiscard]] int sys_errno() const { return sys_errno_; }

 private:
  int fd_;
  int sys_errno_ = 0;
  std::string piece_;
};

struct Walked {
  CpioWalk walk;
  std::string problem;    ///< of the compressed stream; "": none
  std::uint64_t end = 0;  ///< where the stream ends, as far as that is known
};

Walked walk_compressed(Pieces& pieces, std::uint64_t at, std::uint64_t end) {
  Walked done;
  auto next = at;
  std::uint64_t taken = 0;
  const auto source = [&] {
    const auto piece = next < end ? pieces.read(next, end - next) : std::string_view();
    next += piece.size();
    return piece;
  };
  const auto sink = [&done](std::string_view piece) { done.walk.feed(piece); };
  const auto unpacked = unpack(source, unpacked_initrd_limit, sink, taken);
  if (!unpacked) done.problem = unpacked.error().message;
  done.end = at + taken;
  return done;
}

/// Tools fill up with NULs, on which libarchive gives up, with the last block of what it had. A
/// stream may itself end in a few of them. Where it ended by that, another one may follow.
std::optional<Walked> walk_up_to(Pieces& pieces, std::uint64_t at, std::uint64_t end) {
  constexpr std::uint64_t most_of_its_own = 8;
  const auto least = pieces.without_nuls(at, end);
  for (auto size = least; size < end && size <= least + most_of_its_own; ++size) {
    auto again = walk_compressed(pieces, at, size);
    again.end = size;
    if (again.walk.is_whole()) return again;
  }
  return std::nullopt;
}

/// Where the zstd frames that begin at `at` end (RFC 8878, 3.1.1): their blocks say how long they
/// are. `at`: there is none, or not a whole one.
std::uint64_t end_of_zstd(Pieces& pieces, std::uint64_t at, std::uint64_t end) {
  constexpr std::array<std::uint64_t, 4> dictionary_bytes = {0, 1, 2, 4};
  constexpr std::array<std::uint64_t, 4> content_size_bytes = {0, 2, 4, 8};
  constexpr std::uint64_t descriptor = 4;
  const auto byte = [](std::string_view bytes, std::size_t index) {
    return static_cast<unsigned>(static_cast<unsigned char>(bytes[index]));
  };
  for (auto frame = at;;) {
    const auto head = pieces.read(frame, std::min<std::uint64_t>(end - frame, descriptor + 1));
    if (!head.starts_with(zstd_magic) || head.size() <= descriptor) return at;
    const auto flags = byte(head, descriptor);
    const bool one_segment = (flags & 0x20U) != 0;
    auto next = frame + descriptor + 1 + (one_segment ? 0 : 1) + dictionary_bytes.at(flags & 3U) +
                content_size_bytes.at(flags >> 6U);
    if (one_segment && flags >> 6U == 0) ++next;
    for (bool last = false; !last;) {
      const auto block = next < end ? pieces.read(next, std::min<std::uint64_t>(end - next, 3))
                                    : std::string_view();
      if (block.size() < 3) return at;
      const auto header = byte(block, 0) | byte(block, 1) << 8U | byte(block, 2) << 16U;
      constexpr unsigned repeated = 1;  // one byte, so many times
      last = (header & 1U) != 0;
      next += 3 + ((header >> 1U & 3U) == repeated ? 1 : header >> 3U);
    }
    if ((flags & 4U) != 0) next += 4;  // its checksum
    if (next > end) return at;
    at = frame = next;
    if (frame == end) return at;
  }
}

/// libarchive gives up where the next stream begins, too, and does not say where that is. zstd's
/// frames say how long they are, and an xz stream is known by its end.
std::optional<Walked> walk_up_to_next(Pieces& pieces, std::uint64_t at, const Walked& first,
                                      std::uint64_t end) {
  constexpr unsigned most_tries = 16;
  const auto whole_up_to = [&](std::uint64_t stop) -> std::optional<Walked> {
    if (stop <= at || stop >= end) return std::nullopt;
    auto again = walk_compressed(pieces, at, stop);
    again.end = stop;
    if (!again.walk.is_whole()) return std::nullopt;
    return again;
  };
  if (auto exact = whole_up_to(end_of_zstd(pieces, at, end))) return exact;
  if (!pieces.read(at, xz_magic.size()).starts_with(xz_magic)) return std::nullopt;
  // What was taken for the stream falls short of its end by a piece at most.
  std::vector<std::uint64_t> ends;
  const auto from = std::max(first.end, at);
  const auto piece = pieces.read(from, end - from);
  for (auto found = piece.find(xz_end); found != std::string_view::npos && ends.size() < most_tries;
       found = piece.find(xz_end, found + 1)) {
    auto behind = piece.substr(found + xz_end.size());
    behind.remove_prefix(std::min(behind.find_first_not_of('\0'), behind.size()));
    if (is_compressed(behind)) ends.push_back(from + found + xz_end.size());
  }
  for (const auto stop : ends) {
    if (auto cut = whole_up_to(stop)) return cut;
  }
  return std::nullopt;
}

/// What stands behind a whole stream is none of its kind: something else. libarchive does not say
/// where it begins, and what came before is not known to be whole.
bool meets_something_else(const std::string& problem) {
  return problem.find("Unknown frame descriptor") != std::string::npos ||
         problem.find("format not recognized") != std::string::npos;
}

/// What the archives of a walk have, beside others'.
void take_over(const CpioWalk& walk, InitrdFacts& facts) {
  facts.modules.insert(walk.modules().begin(), walk.modules().end());
  if (!facts.crypttab.empty() && !walk.crypttab().empty()) facts.crypttab += '\n';
  facts.crypttab += walk.crypttab();
  if (walk.has_clevis()) facts.has_clevis = true;
}

/// Compressed archives, one behind the other, up to the end of the initrd.
void look_into_compressed(Pieces& pieces, std::uint64_t at, std::uint64_t end, InitrdFacts& facts) {
  constexpr unsigned most_archives = 16;
  for (unsigned archives = 0; archives < most_archives; ++archives) {
    auto walked = walk_compressed(pieces, at, end);
    if (!walked.problem.empty() && !walked.walk.is_damaged()) {
      auto cut = walk_up_to_next(pieces, at, walked, end);
      if (!cut) cut = walk_up_to(pieces, at, end);
      if (cut) walked = std::move(*cut);
    }
    const auto& [walk, problem, stop] = walked;
    take_over(walk, facts);
    if (walk.is_whole()) {
      at = pieces.skip_nuls(stop, end);
      // What follows and is no archive is nothing that the kernel would miss.
      if (at >= end || !is_compressed(pieces.read(at, 16))) return;
      continue;
    }
    if (walk.is_damaged()) {
      facts.damage = "what is compressed in it is no cpio archive";
    } else if (problem.empty()) {
      facts.damage = "its archive ends early";
    } else if (!meets_something_else(problem)) {
      facts.damage = problem;
    } else {
      // The rest may have modules, too.
      facts.modules.clear();
    }
    return;
  }
}

/// The kernel takes it off first (get_boot_config_from_initrd(), init/main.c): SIZE, a checksum,
/// each of 4 bytes, and a magic word behind the text. The new end.
std::uint64_t without_bootconfig(Pieces& pieces, std::uint64_t end) {
  constexpr std::string_view magic = "#BOOTCONFIG\n";
  constexpr std::size_t numbers = 8;
  constexpr std::size_t most_filling = 3;
  // Who fills up to a multiple of four does so behind the magic word.
  const auto least = std::min<std::uint64_t>(end, most_filling + magic.size() + numbers);
  auto text = pieces.read(end - least, least);
  const auto begin = end - least;
  for (std::size_t i = 0; i < most_filling && !text.empty() && text.back() == '\0'; ++i) {
    text.remove_suffix(1);
  }
  if (!text.ends_with(magic) || text.size() < magic.size() + numbers) return end;
  text.remove_suffix(magic.size() + numbers);
  std::uint32_t size = 0;
  for (int i = 3; i >= 0; --i) {
    size = size << 8U |
           static_cast<unsigned char>(text.data()[text.size() + static_cast<std::size_t>(i)]);
  }
  const auto text_end = begin + text.size();
  return size <= text_end ? text_end - size : end;
}

void look_into(Pieces& pieces, InitrdFacts& facts) {
  CpioWalk walk;
  const auto end = without_bootconfig(pieces, facts.bytes);
  std::uint64_t at = 0;
  while (at < end) {
    const auto piece = pieces.read(at, end - at);
    const auto fed = walk.feed(piece);
    at += fed;
    if (fed < piece.size() || piece.empty()) break;
  }
  const std::string head(pieces.read(at, std::min<std::uint64_t>(end - at, 16)));
  take_over(walk, facts);
  // It counts in what is not compressed only.
  facts.has_microcode = walk.has_microcode();
  facts.only_microcode = head.empty() && walk.is_whole() && walk.is_only_microcode();
  if (walk.is_damaged()) {
    facts.damage = "one of its archives is no cpio archive of the kind that a kernel unpacks";
  } else if (is_compressed(head)) {
    look_into_compressed(pieces, at, end, facts);
  } else if (is_lzo(head)) {
    return;
  } else if (!head.empty()) {
    facts.damage = walk.is_empty() ? "it is no cpio archive, compressed or not"
                                   : "something follows its archive that is none";
  } else if (!walk.is_whole()) {
    facts.damage = "its archive ends early";
  }
}

}  // namespace

std::string find_initrd(const std::string& kernel, const std::string& release,
                        const std::string& root) {
  std::error_code error;
  const auto real = std::filesystem::canonical(kernel, error);
  for (const auto& path :
       initrd_paths(kernel, error ? kernel : real.string(), release, root + "/boot")) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode)) return path;
  }
  return {};
}

Result<InitrdFacts> inspect_initrd(int fd, const std::string& path) {
  InitrdFacts facts;
  facts.path = path;
  struct stat status = {};
  if (::fstat(fd, &status) < 0) return fail_errno("cannot read the initrd " + path);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::invalid_argument, "the initrd " + path + " is not a regular file");
  }
  facts.bytes = static_cast<std::uint64_t>(status.st_size);
  // What is larger than this is not loaded by any kernel in time, and not looked at.
  if (facts.bytes == 0 || facts.bytes > initrd_limit) return facts;
  Pieces pieces(fd);
  look_into(pieces, facts);
  if (pieces.sys_errno() != 0) {
    return fail_errno("cannot read the initrd " + path, pieces.sys_errno());
  }
  return facts;
}

}  // namespace handover::system
