// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "system/process.h"

namespace handover::system {
namespace {

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Processes that did not come to their end in time, by directory.
class Unfinished {
 public:
  bool has(const std::string& directory) {
    const std::lock_guard lock(mutex_);
    const auto found = processes_.find(directory);
    if (found == processes_.end()) return false;
    if (!found->second.wait(0)) return true;
    processes_.erase(found);
    return false;
  }
  void add(const std::string& directory, Process process) {
    process.kill();  // as soon as the disk lets it
    const std::lock_guard lock(mutex_);
    processes_.emplace(directory, std::move(process));
  }

 private:
  std::mutex mutex_;
  std::map<std::string, Process> processes_;
};

Unfinished& unfinished() {
  static Unfinished& all = *new Unfinished;  // never destroyed: threads may use it at the end
  return all;
}

tl::unexpected<Error> no_answer(const std::string& path) {
  return fail(ErrorCode::io, "the file system of " + path + " does not answer", ETIMEDOUT);
}

/// What `call` returns; it makes plain system calls only.
Result<int> run_on_disk(const std::string& path, std::uint64_t limit_usec,
                        const std::function<int()>& call) {
  const std::string directory = directory_of(path);
  if (unfinished().has(directory)) return no_answer(path);
  auto process = Process::start({}, call);
  if (!process) return fail(process.error());
  const auto result = process->wait(limit_usec);
  if (result) return *result;
  unfinished().add(directory, std::move(*process));
  return no_answer(path);
}

/// Of a call that returns 0 or -errno.
Result<void> run_simple(const std::string& path, std::uint64_t limit_usec, const std::string& what,
                        const std::function<int()>& call) {
  const auto result = run_on_disk(path, limit_usec, call);
  if (!result) return fail(result.error());
  if (*result < 0) return fail_errno(what, -*result);
  return {};
}

/// A descriptor of a process that has no objects which could close it at its end.
struct File {
  int fd;
  explicit File(const char* path, int flags) : fd(::open(path, flags | O_CLOEXEC, 0600)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd >= 0) ::close(fd);
  }
};

int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return -errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

int write_and_sync(const char* path, std::string_view text) {
  const File file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
  if (file.fd < 0) return -errno;
  if (const int written = write_all(file.fd, text); written < 0) return written;
  return ::fsync(file.fd) < 0 ? -errno : 0;
}

/// A rename is durable once its directory is (fsync(2)).
int sync_directory(const char* path) {
  const File directory(path, O_RDONLY | O_DIRECTORY);
  return directory.fd < 0 || ::fsync(directory.fd) < 0 ? -errno : 0;
}

int replace(const char* path, const char* beside, const char* directory, std::string_view text) {
  int result = write_and_sync(beside, text);
  if (result == 0 && ::rename(beside, path) < 0) result = -errno;
  if (result < 0) {
    ::unlink(beside);
    return result;
  }
  return sync_directory(directory);
}

/// Memory that this process and a copy of it both see.
class SharedArea {
 public:
  explicit SharedArea(std::size_t size)
      : size_(size),
        memory_(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  ~SharedArea() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, size_);
  }
  SharedArea(const SharedArea&) = delete;
  SharedArea& operator=(const SharedArea&) = delete;

  /// nullptr: errno says why.
  [[nodiscard]] char* data() const {
    return memory_ == MAP_FAILED ? nullptr : static_cast<char*>(memory_);
  }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  void* memory_;
};

/// In whole KiB, or -errno.
int size_in_kib(const char* path) {
  constexpr off_t kib = 1024;
  constexpr off_t most = off_t{1} << 20;  // a GiB
  const File file(path, O_RDONLY);
  struct stat status = {};
  if (file.fd < 0 || ::fstat(file.fd, &status) < 0) return -errno;
  if (status.st_size / kib >= most) return -EFBIG;
  return static_cast<int>(status.st_size / kib + 1);
}

int read_into(const char* path, char* into, std::size_t room) {
  const File file(path, O_RDONLY);
  if (file.fd < 0) return -errno;
  std::size_t done = 0;
  while (done < room) {
    const ssize_t got = ::read(file.fd, into + done, room - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) return static_cast<int>(done);
    done += static_cast<std::size_t>(got);
  }
  return -EAGAIN;  // it has grown meanwhile
}

}  // namespace

Result<std::string> read_from_disk(const std::string& path, std::uint64_t limit_usec) {
  const auto kib = run_on_disk(path, limit_usec, [&] { return size_in_kib(path.c_str()); });
  if (!kib) return fail(kib.error());
  if (*kib < 0) return fail_errno("cannot open " + path, -*kib);
  const SharedArea area(static_cast<std::size_t>(*kib) * 1024);
  if (area.data() == nullptr) return fail_errno("cannot map memory for " + path);
  const auto got = run_on_disk(path, limit_usec,
                               [&] { return read_into(path.c_str(), area.data(), area.size()); });
  if (!got) return fail(got.error());
  if (*got < 0) return fail_errno("cannot read " + path, -*got);
  return std::string(area.data(), static_cast<std::size_t>(*got));
}

Result<void> replace_on_disk(const std::string& path, std::string_view text,
                             std::uint64_t limit_usec) {
  const std::string beside = path + ".new";
  const std::string directory = directory_of(path);
  return run_simple(path, limit_usec, "cannot replace " + path,
                    [&] { return replace(path.c_str(), beside.c_str(), directory.c_str(), text); });
}

Result<void> remove_from_disk(const std::string& path, std::uint64_t limit_usec) {
  return run_simple(path, limit_usec, "cannot remove " + path,
                    [&] { return ::unlink(path.c_str()) < 0 ? -errno : 0; });
}

Result<void> rename_on_disk(const std::string& from, const std::string& to,
                            std::uint64_t limit_usec) {
  return run_simple(from, limit_usec, "cannot rename " + from,
                    [&] { return ::rename(from.c_str(), to.c_str()) < 0 ? -errno : 0; });
}

Result<void> make_directory_on_disk(const std::string& path, std::uint64_t limit_usec) {
  return run_simple(path, limit_usec, "cannot make " + path, [&] {
    return ::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST ? -errno : 0;
  });
}

Result<void> disk_answers(const std::string& directory, std::uint64_t limit_usec) {
  return run_simple(directory + "/", limit_usec, "cannot read " + directory, [&] {
    const File file(directory.c_str(), O_RDONLY | O_DIRECTORY);
    if (file.fd < 0) return errno == ENOENT ? 0 : -errno;
    char entries[4096];
    return ::syscall(SYS_getdents64, file.fd, entries, sizeof(entries)) < 0 ? -errno : 0;
  });
}

bool is_directory_on_disk(const std::string& path, std::uint64_t limit_usec) {
  const auto is = run_on_disk(path, limit_usec, [&] {
    struct stat status = {};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) ? 1 : 0;
  });
  return is && *is == 1;
}

}  // namespace handover::system
