// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_manifest.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/memory_file.h"
#include "backend/refusal.h"
#include "core/names.h"

namespace handover::backend {
namespace {

constexpr std::uint64_t smallest_memory = UINT64_C(64) * 1024;
/// Each memfd is twice the size of the last: far fewer than this are ever made.
constexpr std::uint64_t most_tokens = 64;

std::string session_name() { return std::string(manifest_session_name); }

}  // namespace

Result<void> LuoManifest::seal(std::string_view text) {
  if (memory_ && text.size() <= memory_size_) return write_memory_file(memory_.get(), text);
  if (!outgoing_) {
    if (auto made = make_session(); !made) return made;
  }
  return preserve_larger(text);
}

Result<std::optional<std::string>> LuoManifest::unseal() {
  UniqueFd session = std::move(incoming_);
  if (!session) {
    auto retrieved = device_->retrieve_session(session_name());
    if (!retrieved && retrieved.error() == ENOENT) return std::nullopt;
    if (!retrieved && retrieved.error() == EINVAL) {
      return fail(ErrorCode::state_lost,
                  "the earlier daemon's manifest was retrieved by another process before", EINVAL);
    }
    if (!retrieved) return fail(device_error("retrieve", session_name(), retrieved.error()));
    session = std::move(*retrieved);
  }
  UniqueFd newest;
  for (std::uint64_t token = 0; token < most_tokens; ++token) {
    auto memory = device_->retrieve_fd(session.get(), token);
    if (!memory && memory.error() == ENOENT) break;
    if (!memory) {
      return fail_errno("the kernel cannot restore the earlier daemon's manifest", memory.error(),
                        ErrorCode::state_lost);
    }
    newest = std::move(*memory);
  }
  if (!newest) {
    return fail(ErrorCode::state_lost, "the session of the earlier daemon's manifest is empty");
  }
  auto text = read_memory_file(newest.get());
  if (!text) {
    return fail(ErrorCode::state_lost,
                "cannot read the earlier daemon's manifest: " + text.error().message,
                text.error().sys_errno);
  }
  // The text is safe by now, and closing the session tries the same again.
  (void)device_->finish(session.get());
  return std::move(*text);
}

std::vector<Session::StoredFd> LuoManifest::stored_fds() const {
  // Not the memfd: systemd would try to preserve it a second time (luo_preserve_fd_stores()).
  if (!outgoing_) return {};
  return {Session::StoredFd{"s", outgoing_.get()}};
}

Result<void> LuoManifest::adopt(std::vector<Adopted::Part> parts) {
  for (Adopted::Part& part : parts) {
    if (part.part != "s") continue;
    const auto name = device_->session_name(part.fd.get());
    if (!name) return fail_errno("what came back for the manifest is no LUO session", name.error());
    if (*name != manifest_session_name) {
      return fail(ErrorCode::io,
                  "what came back for the manifest is the kernel's session \"" + *name + "\"");
    }
    (is_incoming(*device_, part.fd.get()) ? incoming_ : outgoing_) = std::move(part.fd);
    return {};
  }
  return fail(ErrorCode::io, "nothing that came back is the manifest's session");
}

Result<void> LuoManifest::make_session() {
  auto session = retry_while(EEXIST, patience_.remake,
                             [this]() { return device_->create_session(session_name()); });
  if (!session && session.error() == EEXIST) return fail(session_name_taken(session_name()));
  if (!session) return fail(device_error("create", session_name(), session.error()));
  outgoing_ = std::move(*session);
  next_token_ = 0;
  return {};
}

Result<void> LuoManifest::preserve_larger(std::string_view text) {
  const std::uint64_t size = std::max<std::uint64_t>(smallest_memory, 2 * text.size());
  auto memory = make_memory_file("handoverd-manifest", size);
  if (!memory) return fail(memory.error());
  if (auto written = write_memory_file(memory->get(), text); !written) return written;
  // An adopted session's tokens are not known: the first free one is the next.
  KernelResult<void> preserved = tl::unexpected<int>(EEXIST);
  while (!preserved && preserved.error() == EEXIST && next_token_ < most_tokens) {
    preserved = device_->preserve_fd(outgoing_.get(), next_token_++, memory->get());
  }
  if (!preserved) {
    if (preserved.error() != EEXIST) --next_token_;
    return fail_errno("the kernel cannot preserve the daemon's manifest", preserved.error());
  }
  memory_ = std::move(*memory);
  memory_size_ = size;
  return {};
}

}  // namespace handover::backend
