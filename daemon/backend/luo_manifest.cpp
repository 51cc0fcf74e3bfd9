// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_manifest.h"

#include <algorithm>
#include <cerrno>

#include "backend/luo_calls.h"
#include "backend/refusal.h"

namespace handover::backend {
namespace {

/// Each memfd is at least twice as large as the one before it: far fewer than this are ever made.
constexpr std::uint64_t most_tokens = 64;

}  // namespace

Result<void> LuoManifest::reach() {
  if (read_ || incoming_) return {};
  auto retrieved = device_->retrieve_session(own_session());
  if (retrieved) {
    incoming_ = std::move(*retrieved);
    return {};
  }
  if (retrieved.error() == ENOENT) return {};
  if (retrieved.error() == EINVAL) {
    return fail(ErrorCode::state_lost,
                "the earlier daemon's manifest was retrieved by another process before", EINVAL);
  }
  return fail(device_error("retrieve", own_session(), retrieved.error()));
}

Result<std::optional<std::string>> LuoManifest::unseal() {
  if (read_) return std::nullopt;
  if (auto reached = reach(); !reached) return fail(reached.error());
  if (!incoming_) return std::nullopt;
  auto text = read_newest();
  read_ = text.has_value();
  // Nobody can ever read what is damaged: let the kernel free it.
  if (!text && text.error().nature != Nature::passing) incoming_.reset();
  if (!text) return fail(text.error());
  return std::move(*text);
}

Result<std::string> LuoManifest::read_newest() {
  const auto newest = retrieve_newest();
  if (!newest) return fail(newest.error());
  auto text = read_slots(newest->get());
  if (text) return text;
  return fail(damaged({ErrorCode::state_lost,
                       "cannot read the earlier daemon's manifest: " + text.error().message,
                       text.error().sys_errno}));
}

Result<UniqueFd> LuoManifest::retrieve_newest() {
  // LUO cannot list tokens. From above, because a token that is not there costs one call, and one
  // that is there must be restored page by page, during the blackout, to be looked at.
  for (std::uint64_t token = most_tokens; token-- > 0;) {
    auto given = retrieve_token(incoming_.get(),
                                [&] { return device_->retrieve_fd(incoming_.get(), token); });
    if (given.fd) return std::move(given.fd);
    if (given.sys_errno == ENOENT) continue;
    // Everything is lost without the manifest. So while there is any doubt, try again.
    if (!given.for_ever || is_passing(given.sys_errno)) {
      return fail(device_error("retrieve from", own_session(), given.sys_errno));
    }
    return fail(cannot_restore("the earlier daemon's manifest", given.sys_errno));
  }
  return fail(ErrorCode::state_lost, "the session of the earlier daemon's manifest is empty");
}

Result<void> LuoManifest::release() {
  if (!incoming_ || !read_) return {};
  // If this fails, closing the session does the same.
  const auto finished = device_->finish(incoming_.get());
  incoming_.reset();
  read_ = false;
  if (!finished) return fail(device_error("finish", own_session(), finished.error()));
  return {};
}

std::vector<Session::StoredFd> LuoManifest::stored_fds() const {
  // Not the memfd: systemd would try to preserve it a second time (luo_preserve_fd_stores()).
  const UniqueFd& session = incoming_ ? incoming_ : outgoing_;
  if (!session) return {};
  return {Session::StoredFd{session_part, session.get()}};
}

Result<void> LuoManifest::adopt(std::vector<Adopted::Part>& parts) {
  const auto own = std::find_if(parts.begin(), parts.end(), [](const Adopted::Part& part) {
    return part.part == session_part && part.fd;
  });
  if (own == parts.end()) {
    return fail(ErrorCode::io, "nothing that came back is the manifest's session");
  }
  const auto incoming = examine_session(*device_, own->fd.get(), own_session());
  if (!incoming) return fail(incoming.error());
  (*incoming ? incoming_ : outgoing_) = std::move(own->fd);
  return {};
}

Result<void> LuoManifest::make_session() {
  Retry retry({{EEXIST, patience_.remake}, {EBUSY, patience_.open}});
  auto session = device_->create_session(own_session());
  while (!session && retry.again(session.error())) {
    session = device_->create_session(own_session());
  }
  if (!session && session.error() == EEXIST)
    return fail(passing(session_name_taken(own_session())));
  if (!session) return fail(device_error("create", own_session(), session.error()));
  outgoing_ = std::move(*session);
  next_token_ = 0;
  return {};
}

Result<void> LuoManifest::keep(int memory) {
  if (!outgoing_) {
    if (auto made = make_session(); !made) return made;
  }
  // The tokens of an adopted session are not known: try until one is free.
  int preserved = -EEXIST;
  while (preserved == -EEXIST && next_token_ < most_tokens) {
    preserved = device_->preserve_fd(outgoing_.get(), next_token_, memory);
    if (preserved == 0 || preserved == -EEXIST) ++next_token_;
  }
  if (preserved < 0) {
    return fail_errno("the kernel cannot preserve the daemon's manifest", -preserved);
  }
  return {};
}

}  // namespace handover::backend
