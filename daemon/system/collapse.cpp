// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/collapse.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <new>
#include <string>
#include <utility>

#include "system/child.h"
#include "system/files.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1, include/uapi/asm-generic/mman-common.h
#endif

namespace handover::system {
namespace {

/// A read-only shared mapping whose first byte lies on a huge page boundary.
class AlignedMapping {
 public:
  AlignedMapping(int fd, std::size_t length, std::size_t alignment) {
    // shmem only makes a huge page where address and file offset agree modulo its size
    // (mm/huge_memory.c, thp_vma_suitable_order()): reserve more than needed, map at the boundary.
    reserved_length_ = length + alignment;
    reserved_ = ::mmap(nullptr, reserved_length_, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved_ == MAP_FAILED) return;
    const auto start = reinterpret_cast<std::uintptr_t>(reserved_);
    const std::size_t skip = (alignment - start % alignment) % alignment;
    // Not writable: a memfd sealed against writing can be collapsed too.
    void* mapped = ::mmap(static_cast<char*>(reserved_) + skip, length, PROT_READ,
                          MAP_SHARED | MAP_FIXED, fd, 0);
    if (mapped != MAP_FAILED) data_ = static_cast<char*>(mapped);
  }
  ~AlignedMapping() {
    if (reserved_ != MAP_FAILED) ::munmap(reserved_, reserved_length_);
  }
  AlignedMapping(const AlignedMapping&) = delete;
  AlignedMapping& operator=(const AlignedMapping&) = delete;

  /// nullptr if it could not be mapped; errno says why.
  [[nodiscard]] char* data() const { return data_; }

 private:
  void* reserved_ = MAP_FAILED;
  std::size_t reserved_length_ = 0;
  char* data_ = nullptr;
};

/// In another cgroup, a huge page that takes longer is the last.
constexpr std::uint64_t stall_usec = 10'000'000;

/// madvise() checks the advice before the length, so that no byte is a question.
bool kernel_can_collapse() { return ::madvise(nullptr, 0, MADV_COLLAPSE) == 0; }

std::size_t huge_page_size() {
  constexpr std::size_t usual = std::size_t{2} << 20;
  const auto text = read_file("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
  std::size_t size = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), size).ec != std::errc{} ||
      size == 0) {
    return usual;  // no sysfs here; a wrong guess makes small pieces, no wrong result
  }
  return size;
}

bool counts_as_small(int sys_errno) {
  return sys_errno == EAGAIN || sys_errno == EBUSY || sys_errno == ENOMEM || sys_errno == EINVAL;
}

/// What the process that collapses and the thread that waits for it tell each other.
struct Shared {
  std::atomic<std::uint64_t> done = 0;
  std::atomic<std::uint64_t> huge = 0;
  std::atomic<bool> cancel = false;
};

/// A Shared that a process made of this one sees, too.
class SharedPage {
 public:
  SharedPage()
      : memory_(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) {
    if (memory_ != MAP_FAILED) shared_ = new (memory_) Shared;
  }
  ~SharedPage() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, sizeof(Shared));
  }
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;

  /// nullptr if there is no memory; errno says why.
  [[nodiscard]] Shared* get() const { return shared_; }

 private:
  void* memory_;
  Shared* shared_ = nullptr;
};

/// Collapses the first `length` bytes; 0 or -errno. Plain system calls only, and `after_piece()`.
template <typename AfterPiece>
int collapse(int fd, std::size_t length, std::size_t piece, Shared& shared,
             const AfterPiece& after_piece) {
  const AlignedMapping mapping(fd, length, piece);
  if (mapping.data() == nullptr) return -errno;
  for (std::size_t at = 0; at < length; at += piece) {
    if (shared.cancel.load(std::memory_order_relaxed)) return -ECANCELED;
    if (::madvise(mapping.data() + at, piece, MADV_COLLAPSE) == 0) {
      shared.huge += piece;
    } else if (!counts_as_small(errno)) {
      return -errno;
    }
    shared.done = at + piece;
    after_piece();
  }
  return 0;
}

}  // namespace

Result<Collapsed> collapse_memfd(int fd, const std::function<void(std::uint64_t)>& progress,
                                 const std::atomic<bool>& cancel, const std::string& cgroup) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0) return fail_errno("cannot tell the size of the memfd");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (!kernel_can_collapse()) {
    return fail(ErrorCode::not_supported,
                "this kernel cannot collapse memory into huge pages: it needs Linux 6.1 with "
                "CONFIG_TRANSPARENT_HUGEPAGE",
                EINVAL);
  }
  const SharedPage page;
  if (page.get() == nullptr) return fail_errno("cannot map memory to collapse a memfd");
  Shared& shared = *page.get();
  const std::size_t piece = huge_page_size();
  const std::size_t whole = size / piece * piece;  // the odd tail stays small
  std::uint64_t told = 0;
  const auto look = [&] {
    shared.cancel = cancel.load();
    const std::uint64_t done = shared.done;
    if (progress) progress(done);
    return std::exchange(told, done) != done;
  };
  look();

  int result = 0;
  if (whole > 0 && cgroup.empty()) {
    using Steady = std::chrono::steady_clock;
    constexpr auto look_every = std::chrono::milliseconds(50);
    Steady::time_point looked = Steady::now();
    result = collapse(fd, whole, piece, shared, [&] {
      shared.cancel = cancel.load(std::memory_order_relaxed);
      if (Steady::now() - looked < look_every) return;
      look();
      looked = Steady::now();
    });
  } else if (whole > 0) {
    result = run_in_cgroup(cgroup, [&] { return collapse(fd, whole, piece, shared, [] {}); },
                           {stall_usec, /*ends_here=*/false, look});
    // The out-of-memory killer ended it: what is collapsed is collapsed.
    if (result == -ENOMEM) result = 0;
    if (result == -ETIMEDOUT || result == -EINPROGRESS) {
      return fail(
          ErrorCode::busy,
          "cgroup " + cgroup +
              " is frozen or too slow (cgroup.freeze, cpu.max, memory.high): no more of its "
              "memory is collapsed into huge pages",
          ETIMEDOUT);
    }
  }
  if (result == -ECANCELED) {
    return fail(ErrorCode::cancelled, "collapsing memory into huge pages was cancelled");
  }
  if (result < 0) return fail_errno("cannot collapse memory into huge pages", -result);
  if (progress) progress(size);
  return Collapsed{shared.huge, size - shared.huge};
}

}  // namespace handover::system
