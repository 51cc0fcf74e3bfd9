// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/emulated_session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/memory_file.h"
#include "backend/refusal.h"

namespace handover::backend {
namespace {

std::string marker_text(const std::string& name) {
  return "handover-emulated-session 1\n" + name + "\n";
}

Result<UniqueFd> make_marker(const std::string& name) {
  const std::string text = marker_text(name);
  auto marker = make_memory_file("handoverd-session", text.size());
  if (!marker) return marker;
  if (auto written = write_memory_file(marker->get(), text); !written) {
    return fail(written.error());
  }
  return marker;
}

}  // namespace

Result<std::unique_ptr<EmulatedSession>> EmulatedSession::create(
    std::shared_ptr<EmulatedKernel> kernel, const std::string& name) {
  auto marker = make_marker(name);
  if (!marker) return fail(marker.error());
  if (!kernel->claim_name(name)) return fail(session_name_taken(name));
  std::unique_ptr<EmulatedSession> session(new EmulatedSession(std::move(kernel), name, false));
  session->marker_ = std::move(*marker);
  return session;
}

Result<std::unique_ptr<EmulatedSession>> EmulatedSession::adopt(
    std::shared_ptr<EmulatedKernel> kernel, Adopted adopted) {
  std::map<std::string, UniqueFd> parts;
  for (Adopted::Part& part : adopted.parts) parts[part.part] = std::move(part.fd);
  UniqueFd marker = std::move(parts["s"]);
  const bool complete =
      !adopted.tokens.empty() &&
      std::all_of(adopted.tokens.begin(), adopted.tokens.end(), [&](const Descriptor& descriptor) {
        return static_cast<bool>(parts["t" + std::to_string(descriptor.token)]);
      });
  if (!marker && !adopted.incoming && complete) {
    // The daemon died while it was being made anew (unpreserve(), preserve_again()).
    auto made = make_marker(adopted.name);
    if (!made) return fail(made.error());
    marker = std::move(*made);
  }
  if (!marker) {
    return fail(ErrorCode::io, "nothing came back for session \"" + adopted.name + "\"");
  }
  const auto text = read_memory_file(marker.get());
  if (!text || *text != marker_text(adopted.name)) {
    return fail(ErrorCode::io,
                "what came back for session \"" + adopted.name + "\" is no mark of that session");
  }
  if (!adopted.incoming && !kernel->claim_name(adopted.name)) {
    return fail(session_name_taken(adopted.name));
  }
  std::unique_ptr<EmulatedSession> session(
      new EmulatedSession(std::move(kernel), adopted.name, adopted.incoming));
  session->marker_ = std::move(marker);
  for (Descriptor& descriptor : adopted.tokens) {
    Held held;
    held.descriptor = std::move(descriptor);
    held.fd = std::move(parts["t" + std::to_string(held.descriptor.token)]);
    if (held.fd) {
      auto type = examine(held.fd.get());
      if (!type) return fail(type.error());
      if (!session->kernel_->claim_file(*type)) return fail(already_preserved(*type));
      held.type = std::move(*type);
    } else if (!adopted.incoming) {
      continue;  // no longer preserved: describe() says so
    }
    session->held_.emplace(held.descriptor.token, std::move(held));
  }
  return session;
}

EmulatedSession::~EmulatedSession() { release(); }

void EmulatedSession::release() {
  for (const auto& [token, held] : held_) {
    if (held.fd) kernel_->release_file(held.type);
  }
  held_.clear();
  if (!incoming_ && !discarded_) kernel_->release_name(name_);
}

Result<Descriptor> EmulatedSession::preserve(std::uint64_t token, int fd) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  if (held_.contains(token)) return fail(token_taken(name_, token));
  auto type = examine(fd);
  if (!type) return fail(type.error());
  if (!type->preservable) return fail(unsupported(*type, ENOENT));
  auto copy = duplicate_fd(fd);
  if (!copy) return fail(copy.error());
  if (!kernel_->claim_file(*type)) return fail(already_preserved(*type));
  Held held;
  held.descriptor = Descriptor{token, type->kind, type->bytes, "emulated"};
  held.type = std::move(*type);
  held.fd = std::move(*copy);
  return held_.emplace(token, std::move(held)).first->second.descriptor;
}

Result<void> EmulatedSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  const auto found = held_.find(token);
  if (found == held_.end()) return fail(no_such_token(name_, token));
  kernel_->release_file(found->second.type);
  held_.erase(found);
  return {};
}

Result<UniqueFd> EmulatedSession::retrieve(std::uint64_t token) {
  if (!incoming_ || finished_) return fail(not_incoming_error(name_));
  const auto found = held_.find(token);
  if (found == held_.end()) return fail(no_such_token(name_, token));
  Held& held = found->second;
  if (held.retrieved) return fail(already_retrieved(name_, token));
  if (!held.fd) {
    return fail(ErrorCode::state_lost, "token " + std::to_string(token) + " of session \"" + name_ +
                                           "\" was preserved and did not come back; its contents "
                                           "are lost");
  }
  auto copy = duplicate_fd(held.fd.get());
  if (copy) held.retrieved = true;
  return copy;
}

Result<void> EmulatedSession::finish() {
  if (!incoming_ || finished_) return fail(not_incoming_error(name_));
  release();
  marker_.reset();
  finished_ = true;
  return {};
}

Result<void> EmulatedSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  release();
  marker_.reset();
  discarded_ = true;
  return {};
}

std::vector<Descriptor> EmulatedSession::describe() const {
  std::vector<Descriptor> descriptors;
  if (incoming_) return descriptors;  // as LUO, which cannot list them
  for (const auto& [token, held] : held_) descriptors.push_back(held.descriptor);
  return descriptors;
}

std::optional<UniqueFd> EmulatedSession::duplicate(std::uint64_t token) const {
  const auto found = held_.find(token);
  if (found == held_.end() || !found->second.fd) return std::nullopt;
  auto copy = duplicate_fd(found->second.fd.get());
  if (!copy) return std::nullopt;
  return std::move(*copy);
}

Result<void> EmulatedSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  return between ? between() : Result<void>{};  // nothing is pinned here
}

std::vector<Session::StoredFd> EmulatedSession::stored_fds() const {
  std::vector<StoredFd> stored;
  if (marker_) stored.push_back(StoredFd{"s", marker_.get()});
  for (const auto& [token, held] : held_) {
    if (held.fd) stored.push_back(StoredFd{"t" + std::to_string(token), held.fd.get()});
  }
  return stored;
}

}  // namespace handover::backend
