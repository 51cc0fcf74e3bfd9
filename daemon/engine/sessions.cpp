// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/sessions.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "backend/descriptor.h"
#include "core/names.h"
#include "system/log.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t barrier_usec = 5'000'000;

std::vector<TokenRecord>::iterator token_at(SessionRecord& record, std::uint64_t token) {
  return std::lower_bound(
      record.tokens.begin(), record.tokens.end(), token,
      [](const TokenRecord& have, std::uint64_t want) { return have.token < want; });
}

bool holds(SessionRecord& record, std::uint64_t token) {
  const auto at = token_at(record, token);
  return at != record.tokens.end() && at->token == token;
}

TokenRecord record_of(const SessionRecord& session, const backend::Descriptor& descriptor) {
  TokenRecord record{descriptor.token, descriptor.kind, descriptor.bytes, descriptor.retrieved};
  // What goes without saying is not said: an older daemon reads such a manifest, too.
  if (descriptor.backend != session.backend) record.backend = descriptor.backend;
  return record;
}

std::uint64_t size_of(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size)
                                                       : 0;
}

/// The store's names come back in one variable, LISTEN_FDNAMES, and execve(2) refuses one of more
/// than 128 KiB (MAX_ARG_STRLEN, Linux): systemd could then never start us again.
constexpr std::size_t most_name_bytes = 120 * std::size_t{1024};

}  // namespace

std::string FdStore::stored_name(const std::string& prefix, const std::string& part) {
  std::string name = prefix;
  name += '-';
  name += part;
  return name;
}

Result<void> FdStore::keep(const std::string& prefix,
                           const std::vector<backend::Session::StoredFd>& fds) {
  std::map<std::string, int> wanted;
  for (const auto& stored : fds) wanted.emplace(stored.part, stored.fd);
  auto& kept = kept_[prefix];
  for (auto it = kept.begin(); it != kept.end();) {
    const auto want = wanted.find(it->first);
    if (want != wanted.end() && want->second == it->second) {
      wanted.erase(want);
      ++it;
      continue;
    }
    if (auto forgotten = system::forget_fd(stored_name(prefix, it->first)); !forgotten)
      return forgotten;
    it = kept.erase(it);
  }
  for (const auto& [part, fd] : wanted) {
    if (auto stored = system::store_fd(stored_name(prefix, part), fd); !stored) return stored;
    kept.emplace(part, fd);
  }
  return {};
}

Result<void> FdStore::keep_more(const std::string& prefix,
                                const std::vector<backend::Session::StoredFd>& fds) {
  const auto room = check_room(prefix, fds);
  return room ? keep(prefix, fds) : room;
}

Result<void> FdStore::check_room(const std::string& prefix,
                                 const std::vector<backend::Session::StoredFd>& wanted) const {
  std::size_t count = wanted.size();
  std::size_t names = 0;
  const auto name_bytes = [](const std::string& of, const std::string& part) {
    return of.size() + 1 + part.size() + 1;
  };
  for (const auto& stored : wanted) names += name_bytes(prefix, stored.part);
  for (const auto& [other, parts] : kept_) {
    if (other == prefix) continue;
    count += parts.size();
    for (const auto& [part, fd] : parts) names += name_bytes(other, part);
  }
  if (names > most_name_bytes) {
    return fail(ErrorCode::limit_exceeded,
                "systemd keeps " + std::to_string(count - 1) +
                    " descriptors for handoverd, and could name no more of them to the next one; "
                    "discard sessions, preserve fewer and larger descriptors, or take smaller "
                    "numbers as tokens.");
  }
  if (!limit_ || count <= *limit_) return {};
  return fail(ErrorCode::limit_exceeded,
              "systemd keeps " + std::to_string(*limit_) +
                  " descriptors for handoverd, and all are in use; discard sessions, or raise "
                  "FileDescriptorStoreMax= ('systemctl edit handoverd').");
}

Result<void> FdStore::forget(const std::string& prefix, const std::string& part) {
  if (auto forgotten = system::forget_fd(stored_name(prefix, part)); !forgotten) return forgotten;
  if (const auto it = kept_.find(prefix); it != kept_.end()) it->second.erase(part);
  return system::notify_barrier(barrier_usec);
}

Result<void> FdStore::drop_all(const std::string& prefix) {
  const auto it = kept_.find(prefix);
  if (it == kept_.end()) return {};
  for (const auto& [part, fd] : it->second) {
    if (auto forgotten = system::forget_fd(stored_name(prefix, part)); !forgotten) return forgotten;
  }
  kept_.erase(it);
  return {};
}

Result<void> FdStore::forget_all(const std::string& prefix) {
  if (!kept_.contains(prefix)) return {};
  const auto dropped = drop_all(prefix);
  return dropped ? system::notify_barrier(barrier_usec) : dropped;
}

Sessions::Sessions(Backends backends, std::string default_backend, const Config& config)
    : backends_(std::move(backends)),
      default_backend_(std::move(default_backend)),
      config_(config) {}

std::vector<SessionRecord> Sessions::records() const {
  std::vector<SessionRecord> records;
  records.reserve(sessions_.size());
  for (const auto& [name, held] : sessions_) records.push_back(held.record);
  return records;
}

std::vector<std::string> Sessions::backend_names() const {
  std::vector<std::string> names;
  for (const auto& [name, backend] : backends_) {
    if (backend->available()) names.push_back(name);
  }
  return names;
}

std::optional<backend::Module> Sessions::module() const {
  return backends_.at(default_backend_)->module();
}

std::vector<std::string> Sessions::resting() const {
  return backends_.at(default_backend_)->resting();
}

Result<Sessions::Held*> Sessions::find(const std::string& name, const Owner& caller) {
  const auto it = sessions_.find(name);
  if (it == sessions_.end()) {
    return fail(ErrorCode::no_such_session,
                "There is no session '" + name + "'; list them with 'handoverctl sessions'.");
  }
  if (!may_use(it->second.record.owner, caller)) {
    const auto& owner = it->second.record.owner;
    return fail(ErrorCode::access_denied, "Session '" + name + "' belongs to uid " +
                                              std::to_string(owner.uid) +
                                              (owner.unit.empty() ? "" : ", unit " + owner.unit) +
                                              "; only its owner or root may use it.");
  }
  return &it->second;
}

const Sessions::Held* Sessions::find(const std::string& name) const {
  const auto it = sessions_.find(name);
  return it == sessions_.end() ? nullptr : &it->second;
}

Sessions::Usage Sessions::usage(std::uint32_t uid) const {
  Usage usage;
  for (const auto& [name, held] : sessions_) {
    if (held.record.owner.uid != uid) continue;
    ++usage.sessions;
    usage.descriptors += held.record.tokens.size();
    for (const auto& token : held.record.tokens) usage.bytes += token.bytes;
  }
  return usage;
}

Result<const SessionRecord*> Sessions::create(std::uint64_t id, const std::string& name,
                                              const Owner& owner, const std::string& backend,
                                              const std::string& client) {
  if (auto valid = check_session_name(name); !valid) return fail(valid.error());
  if (sessions_.contains(name)) {
    return fail(ErrorCode::name_taken,
                "A session '" + name + "' exists; finish or discard it, or choose another name.");
  }
  const auto& wanted = backend.empty() ? default_backend_ : backend;
  const auto made_by = backends_.find(wanted);
  if (made_by == backends_.end()) {
    std::string have;
    for (const auto& known : backend_names()) have += (have.empty() ? "" : ", ") + known;
    return fail(ErrorCode::no_such_backend,
                "There is no backend '" + wanted + "' here; available: " + have + ".");
  }
  if (usage(owner.uid).sessions >= config_.max_sessions_per_user) {
    return fail(ErrorCode::limit_exceeded,
                "Uid " + std::to_string(owner.uid) + " has " +
                    std::to_string(config_.max_sessions_per_user) +
                    " sessions, the limit; finish some or raise max_sessions_per_user.");
  }
  auto kernel = made_by->second->create(name, limits_of(owner));
  if (!kernel) return fail(kernel.error());
  Held held;
  held.record.id = id;
  held.record.name = name;
  held.record.backend = wanted;
  held.record.client = client;
  held.record.owner = owner;
  held.kernel = std::move(*kernel);
  // A session that the fd store refuses would be lost with the daemon: not made at all.
  if (auto kept = keep_more(held); !kept) {
    const auto error = kept.error();
    // A session of the tracker stays until it is discarded.
    if (auto undone = held.kernel->discard(); !undone) return fail(undone.error());
    return fail(error);
  }
  return &sessions_.emplace(name, std::move(held)).first->second.record;
}

backend::Limits Sessions::limits_of(const Owner& owner) const {
  backend::Limits limits;
  if (owner.uid != 0) limits.bytes = config_.max_bytes_per_user;
  limits.descriptors = static_cast<std::uint32_t>(config_.max_descriptors_per_user);
  return limits;
}

Result<void> Sessions::preserve(Held& held, std::uint64_t token, int fd, bool blob,
                                const std::string& backend) {
  auto& record = held.record;
  if (record.incoming) {
    return fail(ErrorCode::incoming,
                "Session '" + record.name +
                    "' still holds state from the earlier kernel; retrieve it, finish the "
                    "session and create it anew.");
  }
  if (holds(record, token)) {
    return fail(ErrorCode::token_taken, "Session '" + record.name + "' already holds token " +
                                            std::to_string(token) +
                                            "; choose another, or unpreserve it first.");
  }
  const auto used = usage(record.owner.uid);
  if (used.descriptors >= config_.max_descriptors_per_user) {
    return fail(ErrorCode::limit_exceeded,
                "Uid " + std::to_string(record.owner.uid) + " has " +
                    std::to_string(config_.max_descriptors_per_user) +
                    " descriptors preserved, the limit; raise max_descriptors_per_user.");
  }
  const auto bytes = size_of(fd);
  if (record.owner.uid != 0 &&
      (bytes > config_.max_bytes_per_user || used.bytes > config_.max_bytes_per_user - bytes)) {
    return fail(ErrorCode::limit_exceeded, "Uid " + std::to_string(record.owner.uid) +
                                               " may preserve " +
                                               std::to_string(config_.max_bytes_per_user) +
                                               " bytes; raise max_bytes_per_user.");
  }
  auto descriptor = backend.empty() ? held.kernel->preserve(token, fd)
                                    : held.kernel->preserve_in(backend, token, fd);
  if (!descriptor) return fail(descriptor.error());
  if (blob) descriptor->kind = "blob";
  record.tokens.insert(token_at(record, token), record_of(record, *descriptor));
  if (auto kept = keep_more(held); !kept) {
    const auto error = kept.error();
    if (auto undone = unpreserve(held, token); !undone) reconcile(held);
    return fail(error);
  }
  return {};
}

Result<void> Sessions::unpreserve(Held& held, std::uint64_t token) {
  auto& record = held.record;
  if (record.incoming) {
    return fail(ErrorCode::incoming, "Session '" + record.name +
                                         "' holds state from the earlier kernel; retrieve or "
                                         "finish it.");
  }
  if (!holds(record, token)) {
    return fail(ErrorCode::no_such_token,
                "Session '" + record.name + "' holds no token " + std::to_string(token) + ".");
  }
  // The backend may have to make the kernel session anew under its name.
  const auto prefix = store_prefix(record.id);
  if (auto gone = fd_store_.forget(prefix, "s"); !gone) return gone;
  const auto done = held.kernel->unpreserve(token);
  if (done) {
    record.tokens.erase(token_at(record, token));
  } else {
    reconcile(held);
  }
  const auto kept = keep(held);
  return done ? kept : done;
}

Result<UniqueFd> Sessions::retrieve(Held& held, std::uint64_t token) {
  auto& record = held.record;
  if (!record.incoming) {
    return fail(ErrorCode::not_incoming, "Session '" + record.name +
                                             "' holds nothing from an earlier kernel; there is "
                                             "something to retrieve only after a live update.");
  }
  if (!holds(record, token)) {
    return fail(ErrorCode::no_such_token,
                "Session '" + record.name + "' holds no token " + std::to_string(token) + ".");
  }
  if (const auto given = held.given.find(token); given != held.given.end()) {
    return backend::duplicate_fd(given->second.get());
  }
  // Also what the record calls retrieved: whoever got it from the daemon before us may be dead, and
  // LUO gives a file again until the session is finished (luo_retrieve_file(), Linux 7.2).
  auto fd = held.kernel->retrieve(token);
  if (!fd) return fd;
  token_at(record, token)->retrieved = true;
  if (auto copy = backend::duplicate_fd(fd->get()); copy) {
    held.given.insert_or_assign(token, std::move(*copy));
  } else {
    log::warning(copy.error().message);
  }
  // The tracker gives a file once: from here on our death does not take it along.
  if (auto kept = keep(held); !kept) log::warning(kept.error().message);
  return fd;
}

Result<UniqueFd> Sessions::open_tracker(Held& held) {
  auto fd = held.kernel->open_tracker();
  if (fd) held.record.opened = true;
  return fd;
}

void Sessions::refresh() {
  for (auto& [name, held] : sessions_) {
    if (held.record.opened) take_in(held);
  }
}

void Sessions::take_in(Held& held) {
  auto& record = held.record;
  const auto there = held.kernel->describe();
  const auto is_there = [&](const TokenRecord& token) {
    return std::any_of(there.begin(), there.end(),
                       [&](const auto& have) { return have.token == token.token; });
  };
  std::erase_if(record.tokens, [&](const TokenRecord& token) {
    // Lost with its half or given up by its owner; the first was reported by adopt().
    return backend_of(record, token) == "tracker" && !is_there(token);
  });
  for (const auto& descriptor : there) {
    if (descriptor.backend != "tracker") continue;
    const auto at = token_at(record, descriptor.token);
    if (at == record.tokens.end() || at->token != descriptor.token) {
      record.tokens.insert(at, record_of(record, descriptor));
    } else if (backend_of(record, *at) == "tracker") {
      at->retrieved = at->retrieved || descriptor.retrieved;
    }
  }
}

Result<void> Sessions::begin_finish(Held& held) {
  if (!held.record.incoming) {
    return fail(ErrorCode::not_incoming,
                "Session '" + held.record.name +
                    "' holds nothing from an earlier kernel, so there is nothing to finish; "
                    "'discard' ends it.");
  }
  held.record.ending = true;
  return {};
}

Result<void> Sessions::begin_discard(Held& held) {
  if (held.record.incoming) {
    return fail(ErrorCode::incoming, "Session '" + held.record.name +
                                         "' holds state from the earlier kernel; 'finish' ends "
                                         "it.");
  }
  held.record.ending = true;
  return {};
}

std::vector<std::string> Sessions::incoming() const {
  std::vector<std::string> names;
  for (const auto& [name, held] : sessions_) {
    if (held.record.incoming) names.push_back(name);
  }
  return names;
}

Result<std::vector<std::uint64_t>> Sessions::finish(const std::string& name) {
  auto& held = sessions_.at(name);
  if (auto begun = begin_finish(held); !begun) return fail(begun.error());
  if (held.record.opened) take_in(held);
  if (auto done = held.kernel->finish(); !done) {
    held.record.ending = false;
    return fail(done.error());
  }
  std::vector<std::uint64_t> unclaimed;
  for (const auto& token : held.record.tokens) {
    if (!token.retrieved) unclaimed.push_back(token.token);
  }
  const auto prefix = store_prefix(held.record.id);
  sessions_.erase(name);
  // It is finished, whatever the service manager says, and nobody waits for it in the blackout: an
  // incoming session's name is not in a new one's way.
  if (auto gone = fd_store_.drop_all(prefix); !gone) log::error(gone.error().message);
  return unclaimed;
}

Result<void> Sessions::discard(const std::string& name) {
  auto& held = sessions_.at(name);
  if (auto begun = begin_discard(held); !begun) return begun;
  if (auto done = held.kernel->discard(); !done) {
    held.record.ending = false;
    return done;
  }
  const auto prefix = store_prefix(held.record.id);
  if (auto gone = fd_store_.forget_all(prefix); !gone) return gone;
  sessions_.erase(name);
  return {};
}

Result<void> Sessions::preserve_again(Held& held, const std::function<Result<void>()>& between) {
  const auto prefix = store_prefix(held.record.id);
  if (auto gone = fd_store_.forget(prefix, "s"); !gone) return gone;
  const auto done = held.kernel->preserve_again(between);
  if (!done) reconcile(held);
  const auto kept = keep(held);
  return done ? kept : done;
}

Result<std::vector<std::string>> Sessions::adopt(const SessionRecord& record,
                                                 std::vector<backend::Adopted::Part> parts) {
  const auto made_by = backends_.find(record.backend);
  if (made_by == backends_.end()) {
    return fail(ErrorCode::state_lost, "Session '" + record.name + "' was kept by backend '" +
                                           record.backend + "', which is not here any more.");
  }
  std::vector<std::string> came_back;
  came_back.reserve(parts.size());
  for (const auto& part : parts) came_back.push_back(part.part);
  Held held;
  held.record = record;
  backend::Adopted adopted;
  adopted.name = record.name;
  adopted.incoming = record.incoming;
  adopted.parts = std::move(parts);
  adopted.limits = limits_of(record.owner);
  for (const auto& token : record.tokens) {
    adopted.tokens.push_back({token.token, token.kind, token.bytes, backend_of(record, token)});
  }
  auto kernel = made_by->second->adopt(std::move(adopted));
  if (!kernel) return fail(kernel.error());
  held.kernel = std::move(*kernel);
  // The kernel knows best: a crash may have come between its change and our record of it.
  held.record.incoming = held.kernel->incoming();
  std::vector<std::string> losses;
  for (auto& loss : held.kernel->losses()) {
    losses.push_back(std::move(loss.sentence));
    std::erase_if(held.record.tokens,
                  [&](const TokenRecord& token) { return token.token == loss.token; });
  }
  take_in(held);
  if (auto kept = keep(held); !kept) return fail(kept.error());
  // Stored just before the daemon died, and never promised: under the same name another descriptor
  // may be stored later, and nobody could tell which of the two comes back.
  const auto stored = held.kernel->stored_fds();
  for (const auto& part : came_back) {
    const bool used = std::any_of(stored.begin(), stored.end(),
                                  [&](const auto& have) { return have.part == part; });
    if (used) continue;
    if (auto gone = system::forget_fd(store_prefix(record.id) + "-" + part); !gone) {
      return fail(gone.error());
    }
  }
  sessions_.insert_or_assign(record.name, std::move(held));
  return losses;
}

Result<void> Sessions::store_sessions_only() {
  for (const auto& [name, held] : sessions_) {
    auto fds = held.kernel->stored_fds();
    std::erase_if(fds, [](const auto& stored) { return stored.part != "s"; });
    if (auto kept = fd_store_.keep(store_prefix(held.record.id), fds); !kept) return kept;
  }
  return {};
}

Result<void> Sessions::store_everything() {
  for (const auto& [name, held] : sessions_) {
    if (auto kept = keep(held); !kept) return kept;
  }
  return {};
}

Result<void> Sessions::keep_more(const Held& held) {
  return fd_store_.keep_more(store_prefix(held.record.id), held.kernel->stored_fds());
}

Result<void> Sessions::keep(const Held& held) {
  return fd_store_.keep(store_prefix(held.record.id), held.kernel->stored_fds());
}

void Sessions::reconcile(Held& held) {
  const auto left = held.kernel->describe();
  auto& tokens = held.record.tokens;
  tokens.erase(std::remove_if(tokens.begin(), tokens.end(),
                              [&](const TokenRecord& token) {
                                return std::none_of(
                                    left.begin(), left.end(),
                                    [&](const auto& have) { return have.token == token.token; });
                              }),
               tokens.end());
}

}  // namespace handover::engine
