// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backend/luo_session.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend/descriptor.h"
#include "backend/refusal.h"

namespace handover::backend {
namespace {

std::string token_part(std::uint64_t token) { return "t" + std::to_string(token); }

UniqueFd take_part(std::vector<Adopted::Part>& parts, const std::string& name) {
  for (Adopted::Part& part : parts) {
    if (part.part == name) return std::move(part.fd);
  }
  return UniqueFd();
}

std::string joined(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) text += (text.empty() ? "" : "; ") + sentence;
  return text;
}

}  // namespace

Result<std::unique_ptr<LuoSession>> LuoSession::create(std::shared_ptr<LuoDevice> device,
                                                       const std::string& name,
                                                       LuoPatience patience) {
  std::unique_ptr<LuoSession> session(new LuoSession(std::move(device), name, false, patience));
  if (auto made = session->make_session(patience.create); !made) return fail(made.error());
  return session;
}

Result<std::unique_ptr<LuoSession>> LuoSession::retrieve(std::shared_ptr<LuoDevice> device,
                                                         const std::string& name,
                                                         LuoPatience patience) {
  auto fd = device->retrieve_session(name);
  if (!fd && fd.error() == ENOENT) {
    return fail(ErrorCode::no_such_session,
                "the earlier kernel left no session \"" + name + "\" here", ENOENT);
  }
  if (!fd && fd.error() == EINVAL) {
    return fail(ErrorCode::state_lost,
                "session \"" + name +
                    "\" of the earlier kernel was retrieved by another process before (systemd "
                    "hands it to the service in whose fd store it was)",
                EINVAL);
  }
  if (!fd) return fail(device_error("retrieve", name, fd.error()));
  std::unique_ptr<LuoSession> session(new LuoSession(std::move(device), name, true, patience));
  session->session_ = std::move(*fd);
  return session;
}

Result<std::unique_ptr<LuoSession>> LuoSession::adopt(std::shared_ptr<LuoDevice> device,
                                                      Adopted adopted, LuoPatience patience) {
  UniqueFd fd = take_part(adopted.parts, "s");
  bool incoming = adopted.incoming;
  if (fd) {
    const auto name = device->session_name(fd.get());
    if (!name) {
      return fail_errno("what came back for session \"" + adopted.name + "\" is no LUO session",
                        name.error());
    }
    if (*name != adopted.name) {
      return fail(ErrorCode::io, "what came back for session \"" + adopted.name +
                                     "\" is the kernel's session \"" + *name + "\"");
    }
    // The kernel knows best: a stale note must not make a session of the old kernel look like ours.
    incoming = is_incoming(*device, fd.get());
  } else if (incoming) {
    return retrieve(std::move(device), adopted.name, patience);
  }

  std::unique_ptr<LuoSession> session(
      new LuoSession(std::move(device), adopted.name, incoming, patience));
  if (!incoming) {
    for (Descriptor& descriptor : adopted.tokens) {
      UniqueFd part = take_part(adopted.parts, token_part(descriptor.token));
      session->held_.push_back(Held{std::move(descriptor), std::move(part)});
    }
  }
  if (fd) {
    session->session_ = std::move(fd);
    return session;
  }
  // The daemon died while the session was being made anew: with every descriptor at hand it can be.
  if (auto complete = session->check_complete(std::nullopt); !complete || session->held_.empty()) {
    return fail(ErrorCode::io, "session \"" + adopted.name +
                                   "\" did not come back, and not all that it preserved did");
  }
  if (const auto lost = session->preserve_held(); !lost.empty()) {
    return fail(ErrorCode::io,
                "session \"" + adopted.name + "\" did not come back; " + joined(lost));
  }
  return session;
}

Result<Descriptor> LuoSession::preserve(std::uint64_t token, int fd) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving"));
  if (find(token) != held_.end()) return fail(token_taken(name_, token));
  auto type = examine(fd);
  if (!type) return fail(type.error());
  auto copy = duplicate_fd(fd);
  if (!copy) return fail(copy.error());
  if (!session_) {
    if (auto made = make_session(patience_.remake); !made) return fail(made.error());
  }
  if (auto done = device_->preserve_fd(session_.get(), token, copy->get()); !done) {
    return fail(preserve_error(name_, token, *type, done.error()));
  }
  Descriptor descriptor{token, type->kind, type->bytes, "luo"};
  held_.push_back(Held{descriptor, std::move(*copy)});
  return descriptor;
}

Result<void> LuoSession::unpreserve(std::uint64_t token) {
  if (incoming_) return fail(is_incoming_error(name_, "unpreserving"));
  const auto found = find(token);
  if (found == held_.end()) return fail(no_such_token(name_, token));
  if (auto complete = check_complete(token); !complete) return complete;
  held_.erase(found);
  return remake(nullptr);
}

Result<void> LuoSession::preserve_again(const std::function<Result<void>()>& between) {
  if (incoming_) return fail(is_incoming_error(name_, "preserving again"));
  if (auto complete = check_complete(std::nullopt); !complete) return complete;
  return remake(between);
}

Result<UniqueFd> LuoSession::retrieve(std::uint64_t token) {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  if (retrieved_.contains(token)) return fail(already_retrieved(name_, token));
  auto fd = device_->retrieve_fd(session_.get(), token);
  if (!fd && fd.error() == ENOENT) return fail(no_such_token(name_, token));
  if (!fd) {
    return fail_errno(
        "token " + std::to_string(token) + " of session \"" + name_ +
            "\" was preserved and the kernel cannot restore it; its contents are lost",
        fd.error(), ErrorCode::state_lost);
  }
  retrieved_.insert(token);
  return std::move(*fd);
}

Result<void> LuoSession::finish() {
  if (!incoming_ || !session_) return fail(not_incoming_error(name_));
  if (auto done = device_->finish(session_.get()); !done) {
    return fail_errno("the kernel cannot finish session \"" + name_ +
                          "\" yet: what it holds stays preserved, finish it again later",
                      done.error());
  }
  session_.reset();
  return {};
}

Result<void> LuoSession::discard() {
  if (incoming_) return fail(is_incoming_error(name_, "discarding"));
  held_.clear();
  session_.reset();  // the kernel drops it with the last descriptor
  return {};
}

std::vector<Descriptor> LuoSession::describe() const {
  std::vector<Descriptor> descriptors;
  descriptors.reserve(held_.size());
  for (const Held& held : held_) descriptors.push_back(held.descriptor);
  std::sort(descriptors.begin(), descriptors.end(),
            [](const Descriptor& a, const Descriptor& b) { return a.token < b.token; });
  return descriptors;
}

std::optional<UniqueFd> LuoSession::duplicate(std::uint64_t token) const {
  const auto found = find(token);
  if (found == held_.end() || !found->fd) return std::nullopt;
  auto copy = duplicate_fd(found->fd.get());
  if (!copy) return std::nullopt;
  return std::move(*copy);
}

std::vector<Session::StoredFd> LuoSession::stored_fds() const {
  std::vector<StoredFd> stored;
  if (session_) stored.push_back(StoredFd{"s", session_.get()});
  for (const Held& held : held_) {
    if (held.fd) stored.push_back(StoredFd{token_part(held.descriptor.token), held.fd.get()});
  }
  return stored;
}

Result<void> LuoSession::make_session(std::chrono::milliseconds patience) {
  auto fd = retry_while(EEXIST, patience, [this]() { return device_->create_session(name_); });
  if (!fd && fd.error() == EEXIST) return fail(session_name_taken(name_));
  if (!fd) return fail(device_error("create", name_, fd.error()));
  session_ = std::move(*fd);
  return {};
}

Result<void> LuoSession::remake(const std::function<Result<void>()>& between) {
  session_.reset();
  Result<void> outcome = between ? between() : Result<void>{};
  const std::vector<std::string> lost = preserve_held();
  if (lost.empty()) return outcome;
  std::string message = joined(lost);
  if (!outcome) message += "; before that: " + outcome.error().message;
  return fail(ErrorCode::io, std::move(message));
}

std::vector<std::string> LuoSession::preserve_held() {
  std::vector<std::string> lost;
  if (auto made = make_session(patience_.remake); !made) {
    for (const Held& held : held_) {
      lost.push_back("token " + std::to_string(held.descriptor.token) + " of session \"" + name_ +
                     "\" is no longer preserved");
    }
    lost.push_back(made.error().message);
    held_.clear();
    return lost;
  }
  const auto preserve_one = [this](const Held& held) {
    return device_->preserve_fd(session_.get(), held.descriptor.token, held.fd.get());
  };
  // Twice before giving one up: what fails for want of memory may fit once the rest is settled.
  std::vector<Held> settled;
  std::vector<Held> refused;
  for (Held& held : held_) {
    auto& where = preserve_one(held) ? settled : refused;
    where.push_back(std::move(held));
  }
  for (Held& held : refused) {
    const auto done = preserve_one(held);
    if (done) {
      settled.push_back(std::move(held));
      continue;
    }
    lost.push_back(fail_errno("token " + std::to_string(held.descriptor.token) + " of session \"" +
                                  name_ + "\" is no longer preserved",
                              done.error())
                       .value()
                       .message);
  }
  held_ = std::move(settled);
  return lost;
}

std::vector<LuoSession::Held>::const_iterator LuoSession::find(std::uint64_t token) const {
  return std::find_if(held_.begin(), held_.end(),
                      [token](const Held& held) { return held.descriptor.token == token; });
}

Result<void> LuoSession::check_complete(std::optional<std::uint64_t> except) const {
  for (const Held& held : held_) {
    if (held.fd || held.descriptor.token == except) continue;
    return fail(ErrorCode::not_supported,
                "token " + std::to_string(held.descriptor.token) + " of session \"" + name_ +
                    "\" is in the kernel only, since the daemon was restarted: the session cannot "
                    "be made anew without losing it");
  }
  return {};
}

}  // namespace handover::backend
