// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/tracker_manifest.h"

#include <algorithm>
#include <cerrno>

#include "backend/tracker_refusal.h"

namespace handover::backend {
namespace {

tl::unexpected<Error> failed(const std::string& what, int sys_errno) {
  return fail(tracker_error(what, SlotManifest::own_session(), sys_errno));
}

Error unreadable(const Error& cause) {
  return damaged({ErrorCode::state_lost,
                  "cannot read the earlier daemon's manifest: " + cause.message, cause.sys_errno});
}

}  // namespace

Result<std::optional<std::string>> TrackerManifest::unseal() {
  if (incoming_) return std::nullopt;
  auto session = device_->retrieve_session(own_session());
  if (!session && (session.error() == ENOENT || session.error() == ENODEV)) return std::nullopt;
  if (!session) return failed("retrieve", session.error());
  const auto incoming = device_->is_incoming(session->get());
  if (!incoming) return failed("look into", incoming.error());
  if (!*incoming) return std::nullopt;  // of this very kernel

  const auto retrieved = retrieve_newest(session->get());
  if (!retrieved && is_passing(retrieved.error())) return fail(retrieved.error());
  auto text = retrieved ? read_slots(given_->fd.get()) : fail(retrieved.error());
  if (!text) {
    // Nobody can ever read it, and the next manifest needs the name.
    given_.reset();
    (void)device_->finish(session->get());
    return fail(unreadable(text.error()));
  }
  incoming_ = std::move(*session);
  return std::move(*text);
}

Result<void> TrackerManifest::retrieve_newest(int session) {
  const auto tokens = device_->list_tokens(session);
  if (!tokens) return failed("look into", tokens.error());
  if (tokens->empty()) {
    return fail(ErrorCode::state_lost, "the session of the earlier daemon's manifest is empty");
  }
  const Part newest = token_part(tokens->back());
  if (given_ && given_->part == newest) return {};
  auto memory = device_->retrieve(session, newest.token);
  if (!memory) return fail(tracker_retrieve_error(own_session(), newest.token, memory.error()));
  given_ = Adopted::Part{newest, std::move(*memory)};
  return {};
}

Result<void> TrackerManifest::release() {
  if (!incoming_) return {};
  const auto finished = device_->finish(incoming_.get());
  if (!finished && finished.error() != ENOENT) return failed("finish", finished.error());
  incoming_.reset();
  given_.reset();
  return {};
}

std::vector<Session::StoredFd> TrackerManifest::stored_fds() const {
  if (!given_) return {};
  return {Session::StoredFd{given_->part, given_->fd.get()}};
}

Result<void> TrackerManifest::adopt(std::vector<Adopted::Part>& parts) {
  // The session itself is the kernel's: only a memfd that it has given can be in the fd store.
  const auto own = std::find_if(parts.begin(), parts.end(), [](const Adopted::Part& part) {
    return part.part.kind == Part::Kind::token && part.fd;
  });
  if (own == parts.end()) {
    return fail(ErrorCode::io, "nothing that came back is the module's manifest");
  }
  given_ = std::move(*own);
  return {};
}

Result<void> TrackerManifest::open_session() {
  // The module cannot have the earlier kernel's session and ours under one name.
  if (auto released = release(); !released) return released;
  auto session = device_->create_session(own_session(), TrackerLimits{});
  if (!session && session.error() == EEXIST) {
    // An earlier process of the daemon made it.
    session = device_->retrieve_session(own_session());
    if (!session) return failed("retrieve", session.error());
    const auto incoming = device_->is_incoming(session->get());
    if (!incoming) return failed("look into", incoming.error());
    if (*incoming) return failed("create", EEXIST);
    const auto tokens = device_->list_tokens(session->get());
    if (!tokens) return failed("look into", tokens.error());
    next_token_ = tokens->empty() ? 0 : tokens->back() + 1;
  } else if (!session) {
    return failed("create", session.error());
  } else {
    next_token_ = 0;
  }
  session_ = std::move(*session);
  return {};
}

Result<void> TrackerManifest::keep(int memory) {
  if (!session_) {
    if (auto opened = open_session(); !opened) return opened;
  }
  if (auto done = device_->preserve_fd(session_.get(), next_token_, memory); !done) {
    return failed("preserve the daemon's manifest in", done.error());
  }
  ++next_token_;
  // An older memfd that stays does no harm: it is not read.
  const auto tokens = device_->list_tokens(session_.get());
  if (!tokens) return {};
  for (const std::uint64_t token : *tokens) {
    if (token + 1 < next_token_) (void)device_->unpreserve(session_.get(), token);
  }
  return {};
}

}  // namespace handover::backend
