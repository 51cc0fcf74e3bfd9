// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated_manifest.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "backend/memory_file.h"

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

Result<void> EmulatedManifest::seal(std::string_view text) {
  const auto identity = process_identity();
  if (!identity) return fail(identity.error());
  const std::string whole = std::string(mark) + *identity + "\n" + std::string(text);
  if (!memory_) {
    auto memory = make_memory_file("handoverd-manifest", whole.size());
    if (!memory) return fail(memory.error());
    memory_ = std::move(*memory);
  } else if (::ftruncate(memory_.get(), static_cast<off_t>(whole.size())) < 0) {
    return fail_errno("cannot resize the manifest's memfd");
  }
  adopted_ = false;
  return write_memory_file(memory_.get(), whole);
}

Result<std::optional<std::string>> EmulatedManifest::unseal() {
  if (!memory_ || !adopted_) return std::nullopt;
  const auto identity = process_identity();
  if (!identity) return fail(identity.error());
  const auto whole = read_memory_file(memory_.get());
  if (!whole) {
    return fail(ErrorCode::state_lost,
                "cannot read the earlier daemon's manifest: " + whole.error().message,
                whole.error().sys_errno);
  }
  const std::string own = std::string(mark) + *identity + "\n";
  if (!whole->starts_with(own)) return std::nullopt;
  memory_.reset();
  adopted_ = false;
  return whole->substr(own.size());
}

std::vector<Session::StoredFd> EmulatedManifest::stored_fds() const {
  if (!memory_) return {};
  return {Session::StoredFd{"s", memory_.get()}};
}

Result<void> EmulatedManifest::adopt(std::vector<Adopted::Part> parts) {
  for (Adopted::Part& part : parts) {
    if (part.part != "s") continue;
    const auto text = read_memory_file(part.fd.get());
    if (!text) return fail(text.error());
    if (!text->starts_with(mark)) {
      return fail(ErrorCode::io, "what came back for the manifest is no manifest");
    }
    memory_ = std::move(part.fd);
    adopted_ = true;
    return {};
  }
  return fail(ErrorCode::io, "nothing that came back is the manifest");
}

}  // namespace handover::backend
