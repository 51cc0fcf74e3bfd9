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

/// A compressed archive, which goes on to the end of the initrd.
void look_into_compressed(std::string_view bytes, InitrdFacts& facts) {
  CpioWalk walk;
  const auto unpacked =
      unpack(bytes, unpacked_initrd_limit, [&walk](std::string_view piece) { walk.feed(piece); });
  facts.modules.insert(walk.modules().begin(), walk.modules().end());
  // What follows the archive is nothing that the kernel would miss.
  if (walk.is_whole()) return;
  if (walk.is_damaged()) {
    facts.damage = "what is compressed in it is no cpio archive";
  } else if (!unpacked) {
    facts.damage = unpacked.error().message;
  } else {
    facts.damage = "its archive ends early";
  }
}

void look_into(std::string_view bytes, InitrdFacts& facts) {
  CpioWalk walk;
  bytes.remove_prefix(walk.feed(bytes));
  facts.modules = walk.modules();
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
