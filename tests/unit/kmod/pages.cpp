// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pages.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace handover {
namespace {

/// A page with one before and one after it that nobody may touch.
u8* map_page() {
  void* const all = ::mmap(nullptr, std::size_t{3} * HO_TABLE_SIZE, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (all == MAP_FAILED) throw std::bad_alloc();
  u8* const page = static_cast<u8*>(all) + HO_TABLE_SIZE;
  if (::mprotect(page, HO_TABLE_SIZE, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
  return page;
}

}  // namespace

Page::Page(ho_table_type type) : bytes_(map_page()) { ho_table_start(bytes_, type); }

Page::Page(const Page& other) : bytes_(map_page()) {
  std::memcpy(bytes_, other.bytes_, HO_TABLE_SIZE);
}

Page::Page(Page&& other) noexcept : bytes_(std::exchange(other.bytes_, nullptr)) {}

Page::~Page() {
  if (bytes_ != nullptr) ::munmap(bytes_ - HO_TABLE_SIZE, std::size_t{3} * HO_TABLE_SIZE);
}

}  // namespace handover
