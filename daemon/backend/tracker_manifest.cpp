// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_manifest.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/memory_file.h"
#include "backend/tracker_refusal.h"
#include "core/names.h"

namespace handover::backend {
namespace {

constexpr std::uint64_t smallest_memory = UINT64_C(64) * 1024;
/// What a manifest may grow by after the tables are sealed: a state, a few instants.
constexpr std::uint64_t headroom = UINT64_C(16) * 1024;

std::string session_name() { return std::string(manifest_session_name); }

tl::unexpected<Error> refused(const std::string& what, int sys_errno) {
  return fail(tracker_error(what, session_name(), sys_errno));
}

}  // namespace

Result<void> TrackerManifest::seal(std::string_view text) {
  if (memory_ && text.size() <= memory_size_) {
    if (auto written = write_memory_file(memory_.get(), text); !written) return written;
  } else {
    if (!session_) {
      if (auto opened = open_session(); !opened) return opened;
    }
    if (auto preserved = preserve_larger(text); !preserved) return preserved;
  }
  text_ = text;
  return {};
}

Result<std::optional<std::string>> TrackerManifest::unseal() {
  auto session = device_->retrieve_session(session_name());
  if (!session && (session.error() == ENOENT || session.error() == ENODEV)) return std::nullopt;
  if (!session) return refused("retrieve", session.error());
  const auto incoming = device_->is_incoming(session->get());
  if (!incoming) return refused("look into", incoming.error());
  if (!*incoming) return std::nullopt;  // of this very kernel

  const auto read = [&]() -> Result<std::string> {
    const auto tokens = device_->list_tokens(session->get());
    if (!tokens) return refused("look into", tokens.error());
    if (tokens->empty()) {
      return fail(ErrorCode::state_lost, "the session of the earlier daemon's manifest is empty");
    }
    const auto memory = device_->retrieve(session->get(), tokens->back());
    if (!memory) {
      return fail(tracker_retrieve_error(session_name(), tokens->back(), memory.error()));
    }
    return read_memory_file(memory->get());
  };
  auto text = read();
  // In any case: the next manifest needs the name, and nobody reads this one any more.
  const auto finished = device_->finish(session->get());
  if (!text) {
    return fail(ErrorCode::state_lost,
                "cannot read the earlier daemon's manifest: " + text.error().message,
                text.error().sys_errno);
  }
  if (!finished) return refused("finish", finished.error());
  return std::move(*text);
}

Result<void> TrackerManifest::make_room() {
  if (!session_ || !memory_ || text_.size() + headroom <= memory_size_) return {};
  return preserve_larger(text_);
}

Result<void> TrackerManifest::open_session() {
  auto session = device_->create_session(session_name(), TrackerLimits{});
  if (!session && session.error() == EEXIST) {
    // Of an earlier process of ours: a crash took nothing away.
    session = device_->retrieve_session(session_name());
    if (!session) return refused("retrieve", session.error());
    const auto incoming = device_->is_incoming(session->get());
    if (!incoming) return refused("look into", incoming.error());
    if (*incoming) return refused("create", EEXIST);
    const auto tokens = device_->list_tokens(session->get());
    if (!tokens) return refused("look into", tokens.error());
    next_token_ = tokens->empty() ? 0 : tokens->back() + 1;
  } else if (!session) {
    return refused("create", session.error());
  } else {
    next_token_ = 0;
  }
  session_ = std::move(*session);
  return {};
}

Result<void> TrackerManifest::preserve_larger(std::string_view text) {
  const std::uint64_t size = std::max<std::uint64_t>(smallest_memory, 2 * text.size() + headroom);
  auto memory = make_memory_file("handoverd-manifest", size);
  if (!memory) return fail(memory.error());
  if (auto written = write_memory_file(memory->get(), text); !written) return written;
  if (auto done = device_->preserve_fd(session_.get(), next_token_, memory->get()); !done) {
    return refused("preserve the daemon's manifest in", done.error());
  }
  memory_ = std::move(*memory);
  memory_size_ = size;
  ++next_token_;
  // Older ones say less than this one; that they stay is no harm.
  const auto tokens = device_->list_tokens(session_.get());
  if (!tokens) return {};
  for (const std::uint64_t token : *tokens) {
    if (token + 1 < next_token_) (void)device_->unpreserve(session_.get(), token);
  }
  return {};
}

}  // namespace handover::backend
