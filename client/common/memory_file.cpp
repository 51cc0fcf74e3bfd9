// SPDX-License-Identifier: LGPL-2.1-or-later
#include "memory_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "file.h"

namespace handover::common {

namespace {

/// Growing a file over the limit of `ulimit -f` is an error, and not the end of this process.
class WithoutSizeSignal {
 public:
  WithoutSizeSignal() : before_(signal(SIGXFSZ, SIG_IGN)) {}
  ~WithoutSizeSignal() { signal(SIGXFSZ, before_); }
  WithoutSizeSignal(const WithoutSizeSignal&) = delete;
  WithoutSizeSignal& operator=(const WithoutSizeSignal&) = delete;

 private:
  sighandler_t before_;
};

}  // namespace

client::Result<client::Fd> make_memory(const std::string& name, std::uint64_t size,
                                       unsigned flags) {
  const WithoutSizeSignal quiet;
  client::Fd memory(memfd_create(name.c_str(), MFD_CLOEXEC | flags));
  if (!memory) return errno_error("Cannot make a memfd");
  if (ftruncate(memory.get(), static_cast<off_t>(size)) < 0) {
    if (errno == EFBIG) {
      return client::Error{"",
                           "Cannot give the memfd " + std::to_string(size) +
                               " bytes: that is more than a file may have here ('ulimit -f', "
                               "LimitFSIZE=).",
                           EFBIG};
    }
    return errno_error("Cannot give the memfd " + std::to_string(size) + " bytes");
  }
  return memory;
}

client::Result<void> check_same_file(int one, int other) {
  struct stat a = {};
  struct stat b = {};
  if (fstat(one, &a) < 0 || fstat(other, &b) < 0) return errno_error("Cannot look at the memory");
  if (a.st_dev != b.st_dev || a.st_ino != b.st_ino) {
    return client::Error{"", "What came back is not the memory that the command has.", ESTALE};
  }
  return {};
}

client::Result<std::uint64_t> size_of(int fd) {
  struct stat status = {};
  if (fstat(fd, &status) < 0) return errno_error("Cannot look at the memory");
  return static_cast<std::uint64_t>(status.st_size);
}

}  // namespace handover::common
