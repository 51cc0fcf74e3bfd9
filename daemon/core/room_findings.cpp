// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/room_findings.h"

#include <algorithm>
#include <numeric>
#include <string>

namespace handover {

namespace {

constexpr std::uint64_t one_mebibyte = UINT64_C(1) << 20U;
constexpr std::uint64_t small_page = 4096;
constexpr std::uint64_t large_page = UINT64_C(2) << 20U;
/// An initrd unpacks to about three times its size.
constexpr std::uint64_t unpacked_times = 3;
constexpr std::uint64_t long_boot_usec = 2'000'000;
/// History and the pending record, which are written beside the old ones.
constexpr std::uint64_t state_bytes = 4 * one_mebibyte;

std::string mebibytes(std::uint64_t bytes) {
  return std::to_string((bytes + one_mebibyte - 1) / one_mebibyte) + " MiB";
}

std::string seconds(std::uint64_t usec) {
  const auto tenths = (usec + 50'000) / 100'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

/// kexec puts each part into one scratch area (kho_locate_mem_hole()).
void check_scratch(const RoomFacts& room, const TargetSize& target, FindingList& findings) {
  if (room.scratch_bytes.empty()) return;
  const auto& areas = room.scratch_bytes;
  const auto largest = *std::max_element(areas.begin(), areas.end());
  const auto all = std::accumulate(areas.begin(), areas.end(), UINT64_C(0));
  const auto kernel = std::max(target.image_bytes, target.memory_bytes);
  const auto initrd = target.initrd_bytes;
  if (kernel <= largest && initrd <= largest && kernel + initrd <= all) return;
  findings.add(FindingId::scratch_small,
               "the target needs " + mebibytes(kernel) + " and its initrd " + mebibytes(initrd) +
                   ", and KHO's scratch areas have " + mebibytes(all) + ", the largest " +
                   mebibytes(largest),
               "boot with a larger kho_scratch=, or make the initrd smaller");
}

}  // namespace

std::uint64_t boot_usec_of_keys(std::uint64_t keys) {
  constexpr std::uint64_t measured_keys = 160'000;
  constexpr std::uint64_t measured_usec = 20'000'000;
  const auto part = static_cast<double>(keys) / measured_keys;
  return static_cast<std::uint64_t>(part * part * measured_usec);
}

void check_room(const RoomFacts& room, const TargetSize& target, FindingList& findings) {
  check_scratch(room, target, findings);
  // The image is read, and then put where it will run; so is the initrd, which is unpacked there.
  const auto needed = target.image_bytes + std::max(target.image_bytes, target.memory_bytes) +
                      target.initrd_bytes * (2 + unpacked_times);
  if (room.available_memory && *room.available_memory < needed) {
    findings.add(FindingId::memory_low,
                 "the target and its initrd need about " + mebibytes(needed) + " of memory, and " +
                     mebibytes(*room.available_memory) + " are available (MemAvailable)",
                 "free memory, or make the initrd smaller");
  }
}

void check_carried(const CarriedFacts& carried, const RoomFacts& room, FindingList& findings) {
  if (carried.bytes > 0) {
    const auto small = std::min(carried.small_bytes, carried.bytes);
    const auto keys = (carried.bytes - small) / large_page + small / small_page + 1;
    const auto usec = boot_usec_of_keys(keys);
    const auto what = mebibytes(carried.bytes) + " are carried, in up to " + std::to_string(keys) +
                      " pieces, which add about " + seconds(usec) + " to the next boot";
    if (usec < long_boot_usec) {
      findings.add(FindingId::boot_keys, what, "");
    } else {
      findings.add(FindingId::boot_keys_many, what + " if they are as scattered as can be",
                   "preserve memory in huge pages (\"collapse\", hugetlb), or with the companion "
                   "module, which joins neighbours");
    }
  }
  if (carried.store_limit && carried.stored_descriptors > *carried.store_limit) {
    findings.add(FindingId::fd_store_small,
                 "PID 1's fd store has " + std::to_string(carried.stored_descriptors) +
                     " descriptors of handoverd, and takes " +
                     std::to_string(*carried.store_limit) + " when the service starts again",
                 "raise FileDescriptorStoreMax= of handoverd.service");
  }
  // It is written anew beside the old one.
  const auto manifest = 2 * carried.manifest_bytes + one_mebibyte;
  if (room.runtime_directory && *room.runtime_directory < manifest) {
    findings.add(FindingId::runtime_full,
                 "/run/handover has " + mebibytes(*room.runtime_directory) +
                     " of room, and the manifest may need " + mebibytes(manifest),
                 "free some of /run");
  }
  if (room.state_directory && *room.state_directory < state_bytes) {
    findings.add(FindingId::state_full,
                 "/var/lib/handover has " + mebibytes(*room.state_directory) +
                     " of room for history and the record of the update",
                 "free some of that file system");
  }
}

}  // namespace handover
