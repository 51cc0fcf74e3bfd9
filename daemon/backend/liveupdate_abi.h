// SPDX-License-Identifier: LGPL-2.1-or-later
// The ABI of /dev/liveupdate: the structs and numbers of <linux/liveupdate.h>, which build machines
// do not have yet. It is a contract with the kernel: never change a field, only add what a newer
// kernel documents (include/uapi/linux/liveupdate.h, the same in Linux 7.2 and 7.3).
#pragma once

#include <linux/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace handover::backend::abi {

inline constexpr std::size_t session_name_length = 64;  ///< with the terminating NUL

struct CreateSession {
  std::uint32_t size;
  std::int32_t fd;
  std::uint8_t name[session_name_length];
};

struct RetrieveSession {
  std::uint32_t size;
  std::int32_t fd;
  std::uint8_t name[session_name_length];
};

struct PreserveFd {
  std::uint32_t size;
  std::int32_t fd;
  alignas(8) std::uint64_t token;
};

struct RetrieveFd {
  std::uint32_t size;
  std::int32_t fd;
  alignas(8) std::uint64_t token;
};

struct Finish {
  std::uint32_t size;
  std::uint32_t reserved;
};

struct GetName {
  std::uint32_t size;
  std::uint32_t reserved;
  std::uint8_t name[session_name_length];
};

static_assert(sizeof(CreateSession) == 72);
static_assert(sizeof(RetrieveSession) == 72);
static_assert(sizeof(PreserveFd) == 16 && offsetof(PreserveFd, token) == 8);
static_assert(sizeof(RetrieveFd) == 16 && offsetof(RetrieveFd, token) == 8);
static_assert(sizeof(Finish) == 8);
static_assert(sizeof(GetName) == 72);

// The kernel defines them with _IO(), without a size: each struct carries its own.
inline constexpr unsigned int ioctl_type = 0xBA;
inline constexpr unsigned long create_session = _IO(ioctl_type, 0x00);
inline constexpr unsigned long retrieve_session = _IO(ioctl_type, 0x01);
inline constexpr unsigned long preserve_fd = _IO(ioctl_type, 0x40);
inline constexpr unsigned long retrieve_fd = _IO(ioctl_type, 0x41);
inline constexpr unsigned long finish = _IO(ioctl_type, 0x42);
inline constexpr unsigned long get_name = _IO(ioctl_type, 0x43);

}  // namespace handover::backend::abi
