// SPDX-License-Identifier: LGPL-2.1-or-later
#include "state_memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/file.h"
#include "common/memory_file.h"
#include "wait.h"

namespace handover::vmm {
namespace {

client::Error too_small(std::uint64_t bytes) {
  return {"",
          "The device state does not fit into " + std::to_string(bytes >> 20) +
              " MiB: raise \"state\" in the guest's configuration and restart the guest.",
          ENOSPC};
}

client::Error late() {
  return {"", "QEMU did not get through the device state within the time limit.", ETIMEDOUT};
}

}  // namespace

client::Result<StateMemory> StateMemory::make(const std::string& name, std::uint64_t bytes) {
  auto fd = common::make_memory(name, bytes);
  if (!fd) return fd.error();
  StateMemory memory(std::move(*fd));
  if (auto mapped = memory.map(); !mapped) return mapped.error();
  return memory;
}

client::Result<StateMemory> StateMemory::open(client::Fd fd) {
  StateMemory memory(std::move(fd));
  if (auto mapped = memory.map(); !mapped) return mapped.error();
  return memory;
}

StateMemory::StateMemory(StateMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      all_(std::exchange(other.all_, {})),
      description_bytes_(other.description_bytes_),
      state_bytes_(other.state_bytes_) {}

StateMemory& StateMemory::operator=(StateMemory&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(all_, other.all_);
  description_bytes_ = other.description_bytes_;
  state_bytes_ = other.state_bytes_;
  return *this;
}

StateMemory::~StateMemory() {
  if (!all_.empty()) munmap(all_.data(), all_.size());
}

client::Result<void> StateMemory::map() {
  struct stat status = {};
  if (fstat(fd_.get(), &status) < 0) return common::errno_error("Cannot look at the state");
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < header_bytes) return client::Error{"", "The state's memfd is too small.", EBADMSG};
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (address == MAP_FAILED) return common::errno_error("Cannot map the state");
  all_ = std::span(static_cast<unsigned char*>(address), bytes);
  return {};
}

client::Result<void> StateMemory::begin(const std::string& description) {
  std::fill_n(all_.begin(), header_bytes, static_cast<unsigned char>(0));
  state_bytes_ = 0;
  if (description.size() > all_.size() - header_bytes) return too_small(all_.size());
  description_bytes_ = static_cast<std::uint32_t>(description.size());
  std::copy(description.begin(), description.end(), all_.begin() + header_bytes);
  return {};
}

client::Result<void> StateMemory::fill_from(int pipe, std::uint64_t deadline) {
  const auto room = all_.subspan(header_bytes + description_bytes_);
  for (;;) {
    // One byte beyond the room tells "full" from "just enough".
    unsigned char beyond = 0;
    const bool full = state_bytes_ == room.size();
    const auto free = full ? std::span(&beyond, 1) : room.subspan(state_bytes_);
    const ssize_t n = read(pipe, free.data(), free.size());
    if (n == 0) return {};
    if (n > 0 && full) return too_small(all_.size());
    if (n > 0) {
      state_bytes_ += static_cast<std::uint64_t>(n);
    } else if (errno == EAGAIN) {
      auto ready = wait_for(pipe, POLLIN, deadline);
      if (!ready) return ready.error();
      if (!*ready) return late();
    } else if (errno != EINTR) {
      return common::errno_error("Cannot read QEMU's device state");
    }
  }
}

void StateMemory::complete(std::uint64_t stopped_at, bool ran) {
  const auto body = all_.subspan(header_bytes);
  StateHeader header;
  header.description_bytes = description_bytes_;
  header.state_bytes = state_bytes_;
  header.stopped_at = stopped_at;
  header.description_crc = crc_of(body.first(description_bytes_));
  header.state_crc = crc_of(body.subspan(description_bytes_, state_bytes_));
  header.ran = ran;
  const auto bytes = encode(header);
  std::copy(bytes.begin(), bytes.end(), all_.begin());
}

std::string StateMemory::description(const StateHeader& header) const {
  const auto bytes = all_.subspan(header_bytes, header.description_bytes);
  return {bytes.begin(), bytes.end()};
}

client::Result<void> StateMemory::pour_into(int pipe, const StateHeader& header,
                                            std::uint64_t deadline) const {
  std::span<const unsigned char> left =
      all_.subspan(header_bytes + header.description_bytes, header.state_bytes);
  while (!left.empty()) {
    const ssize_t n = write(pipe, left.data(), left.size());
    if (n >= 0) {
      left = left.subspan(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      auto ready = wait_for(pipe, POLLOUT, deadline);
      if (!ready) return ready.error();
      if (!*ready) return late();
    } else if (errno != EINTR) {
      return common::errno_error("QEMU does not read the device state");
    }
  }
  return {};
}

}  // namespace handover::vmm
