// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/collapse.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string>

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

}  // namespace

Result<Collapsed> collapse_memfd(int fd, const std::function<void(std::uint64_t)>& progress,
                                 const std::atomic<bool>& cancel) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0) return fail_errno("cannot tell the size of the memfd");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (!kernel_can_collapse()) {
    return fail(ErrorCode::not_supported,
                "this kernel cannot collapse memory into huge pages: it needs Linux 6.1 with "
                "CONFIG_TRANSPARENT_HUGEPAGE",
                EINVAL);
  }
  Collapsed result;
  const std::size_t piece = huge_page_size();
  const std::size_t whole = size / piece * piece;
  result.bytes_small = size - whole;  // the odd tail
  if (whole > 0) {
    const AlignedMapping mapping(fd, whole, piece);
    if (mapping.data() == nullptr) return fail_errno("cannot map the memfd to collapse it");

    using Clock = std::chrono::steady_clock;
    constexpr auto report_every = std::chrono::milliseconds(50);
    Clock::time_point reported = Clock::now();
    for (std::size_t done = 0; done < whole; done += piece) {
      if (cancel.load(std::memory_order_relaxed)) {
        return fail(ErrorCode::cancelled, "collapsing memory into huge pages was cancelled");
      }
      if (::madvise(mapping.data() + done, piece, MADV_COLLAPSE) == 0) {
        result.bytes_huge += piece;
      } else if (counts_as_small(errno)) {
        result.bytes_small += piece;
      } else {
        return fail_errno("cannot collapse memory into huge pages");
      }
      if (progress && Clock::now() - reported >= report_every) {
        progress(done + piece);
        reported = Clock::now();
      }
    }
  }
  if (progress) progress(size);
  return result;
}

}  // namespace handover::system
