// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/initrd.h"

#include <sys/stat.h>

#include <filesystem>
#include <string_view>

#include "core/cpio_walk.h"
#include "core/initrd_names.h"
#include "system/files.h"
#include "system/unpack.h"

namespace handover::system {
namespace {

constexpr std::uint64_t initrd_limit = UINT64_C(1) << 30;
constexpr std::uint64_t unpacked_initrd_limit = UINT64_C(8) << 30;

bool is_lzo(std::string_view bytes) { return bytes.starts_with("\x89LZO"); }

struct Walked {
  CpioWalk walk;
  std::string problem;  ///< of the compressed stream; "": none
};

Walked walk_compressed(std::string_view bytes) {
  Walked done;
  const auto unpacked = unpack(bytes, unpacked_initrd_limit,
                               [&done](std::string_view piece) { done.walk.feed(piece); });
  if (!unpacked) done.problem = unpacked.error().message;
  return done;
}

/// Tools fill up with NULs, on which libarchive gives up, with the last block of what it had. A
/// stream may itself end in a few of them.
Walked walk_without_padding(std::string_view bytes) {
  auto first = walk_compressed(bytes);
  const auto end = bytes.find_last_not_of('\0');
  if (first.problem.empty() || end == std::string_view::npos) return first;
  constexpr std::size_t most_of_its_own = 8;
  for (std::size_t nuls = 0; nuls <= most_of_its_own; ++nuls) {
    const auto size = end + 1 + nuls;
    if (size >= bytes.size()) break;
    auto again = walk_compressed(bytes.substr(0, size));
    if (again.walk.is_whole()) return again;
  }
  return first;
}

/// What stands behind a whole stream is none of its kind: a second archive. libarchive does not say
/// where it begins, and what came before is not known to be whole.
bool meets_something_else(const std::string& problem) {
  return problem.find("Unknown frame descriptor") != std::string::npos ||
         problem.find("format not recognized") != std::string::npos;
}

/// A compressed archive, which goes on to the end of the initrd.
void look_into_compressed(std::string_view bytes, InitrdFacts& facts) {
  const auto [walk, problem] = walk_without_padding(bytes);
  facts.modules.insert(walk.modules().begin(), walk.modules().end());
  // What follows the archive is nothing that the kernel would miss.
  if (walk.is_whole()) return;
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
}

/// The kernel takes it off first (get_boot_config_from_initrd(), init/main.c): SIZE, a checksum,
/// each of 4 bytes, and a magic word behind the text.
std::string_view without_bootconfig(std::string_view bytes) {
  constexpr std::string_view magic = "#BOOTCONFIG\n";
  constexpr std::size_t numbers = 8;
  // Who fills up to a multiple of four does so behind the magic word.
  auto text = bytes;
  for (int i = 0; i < 3 && !text.empty() && text.back() == '\0'; ++i) text.remove_suffix(1);
  if (!text.ends_with(magic) || text.size() < magic.size() + numbers) return bytes;
  text.remove_suffix(magic.size() + numbers);
  std::uint32_t size = 0;
  for (int i = 3; i >= 0; --i) {
    size = size << 8U |
           static_cast<unsigned char>(text.data()[text.size() + static_cast<std::size_t>(i)]);
  }
  return size <= text.size() ? text.substr(0, text.size() - size) : bytes;
}

void look_into(std::string_view bytes, InitrdFacts& facts) {
  CpioWalk walk;
  bytes = without_bootconfig(bytes);
  bytes.remove_prefix(walk.feed(bytes));
  facts.modules = walk.modules();
  // It counts in what is not compressed only.
  facts.has_microcode = walk.has_microcode();
  facts.only_microcode = bytes.empty() && walk.is_whole() && walk.is_only_microcode();
  if (walk.is_damaged()) {
    facts.damage = "one of its archives is no cpio archive of the kind that a kernel unpacks";
  } else if (is_compressed(bytes)) {
    look_into_compressed(bytes, facts);
  } else if (is_lzo(bytes)) {
    return;
  } else if (!bytes.empty()) {
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
  const auto bytes = read_fd(fd, initrd_limit);
  if (!bytes) return fail(bytes.error());
  look_into(*bytes, facts);
  return facts;
}

}  // namespace handover::system
