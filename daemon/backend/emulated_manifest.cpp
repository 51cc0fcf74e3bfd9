// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated_manifest.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "backend/slots.h"

namespace handover::backend {
namespace {

constexpr std::string_view mark = "handover-emulated-manifest 1 ";

/// This process: its id, and when it began (field 22 of /proc/self/stat), which an execve() keeps.
Result<std::string> process_identity() {
  const UniqueFd fd(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t length = fd ? ::read(fd.get(), text, sizeof(text)) : -1;
  if (length <= 0) return fail_errno("cannot read /proc/self/stat");
  const std::string_view stat(text, static_cast<std::size_t>(length));
  std::size_t at = stat.rfind(')');  // the name before it may hold spaces
  for (int word = 0; word < 20 && at != std::string_view::npos; ++word) at = stat.find(' ', at + 1);
  if (at == std::string_view::npos) return fail(ErrorCode::io, "/proc/self/stat has no start time");
  const std::size_t end = stat.find(' ', at + 1);
  return std::to_string(::getpid()) + "-" + std::string(stat.substr(at + 1, end - at - 1));
}

}  // namespace

Result<void> EmulatedManifest::replace(std::string_view base) {
  const auto identity = process_identity();
  if (!identity) return fail(identity.error());
  auto done = SlotManifest::replace(std::string(mark) + *identity + "\n" + std::string(base));
  if (done) came_back_.reset();
  return done;
}

Result<std::optional<std::string>> EmulatedManifest::unseal() {
  if (!came_back_ || read_) return std::nullopt;
  const auto identity = process_identity();
  if (!identity) return fail(identity.error());
  const auto whole = read_slots(came_back_.get());
  if (!whole) {
    return fail(damaged({ErrorCode::state_lost,
                         "cannot read the earlier daemon's manifest: " + whole.error().message,
                         whole.error().sys_errno}));
  }
  const std::string own = std::string(mark) + *identity + "\n";
  read_ = true;
  if (!whole->starts_with(own)) return std::nullopt;
  return whole->substr(own.size());
}

Result<void> EmulatedManifest::release() {
  if (read_) came_back_.reset();
  return {};
}

std::vector<Session::StoredFd> EmulatedManifest::stored_fds() const {
  const int fd = came_back_ ? came_back_.get() : memory();
  if (fd < 0) return {};
  return {Session::StoredFd{session_part, fd}};
}

Result<void> EmulatedManifest::adopt(std::vector<Adopted::Part>& parts) {
  for (Adopted::Part& part : parts) {
    if (part.part != session_part || !part.fd) continue;
    const auto text = read_slots(part.fd.get());
    if (!text) return fail(text.error());
    if (!text->starts_with(mark)) {
      return fail(ErrorCode::io, "what came back for the manifest is no manifest");
    }
    came_back_ = std::move(part.fd);
    read_ = false;
    return {};
  }
  return fail(ErrorCode::io, "nothing that came back is the manifest");
}

}  // namespace handover::backend
