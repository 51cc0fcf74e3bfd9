// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <random>

#include "event_loop.h"

namespace handover::test {

UniqueFd memory_with(std::uint64_t seed, std::size_t bytes) {
  std::string contents(bytes, '\0');
  std::mt19937_64 random(seed);
  for (auto& c : contents) c = static_cast<char>(random());
  UniqueFd fd(memfd_create("handover-test", MFD_CLOEXEC));
  must(fd ? 0 : -errno, "memfd_create");
  const auto written = pwrite(fd.get(), contents.data(), contents.size(), 0);
  must(written == static_cast<ssize_t>(bytes) ? 0 : -EIO, "writing a memfd");
  return fd;
}

std::string contents_of(int fd) {
  std::string contents;
  char chunk[16384];
  for (;;) {
    const auto got = pread(fd, chunk, sizeof chunk, static_cast<off_t>(contents.size()));
    must(got < 0 ? -errno : 0, "reading a memfd");
    if (got == 0) return contents;
    contents.append(chunk, static_cast<std::size_t>(got));
  }
}

std::uint32_t checksum_of(int fd) {
  const auto contents = contents_of(fd);
  return static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(contents.data()),
                                          static_cast<uInt>(contents.size())));
}

}  // namespace handover::test
