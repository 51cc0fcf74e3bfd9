// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/fd_store.h"

#include <charconv>
#include <string_view>

#include "engine/run_or_fail.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t barrier_usec = 5'000'000;

/// The names come back in one variable, LISTEN_FDNAMES, and execve(2) refuses one of more than 128
/// KiB (MAX_ARG_STRLEN, Linux): systemd could then never start us again.
constexpr std::size_t most_name_bytes = 120 * std::size_t{1024};

std::size_t bytes_of(const std::string& prefix, Part part) {
  return FdStore::stored_name(prefix, part).size() + 1;
}

/// What the kernel has done by then must not be taken for undone: no exception leaves these.
Result<void> store_fd(Host& host, const std::string& name, int fd) {
  return run_or_fail("storing a descriptor", [&] { return host.store_fd(name, fd); });
}

Result<void> forget_fd(Host& host, const std::string& name) {
  return run_or_fail("forgetting a descriptor", [&] { return host.forget_fd(name); });
}

}  // namespace

std::string FdStore::stored_name(const std::string& prefix, Part part) {
  return prefix + "-" + to_string(part);
}

std::optional<FdStore::StoredName> FdStore::parse(std::string_view name) {
  const auto dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto part = part_from_string(name.substr(dash + 1));
  if (!part) return std::nullopt;
  StoredName parsed{std::string(name.substr(0, dash)), std::nullopt, *part};
  if (parsed.prefix == manifest_prefix) return parsed;
  constexpr std::string_view sessions = "session-";
  const std::string_view prefix = name.substr(0, dash);
  if (!prefix.starts_with(sessions)) return std::nullopt;
  const auto digits = prefix.substr(sessions.size());
  std::uint64_t id = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  parsed.session = id;
  return parsed;
}

void FdStore::came_back(const std::string& prefix, Part part, int fd) {
  const std::lock_guard lock(mutex_);
  if (!kept_[prefix].insert_or_assign(part, fd).second) return;
  ++count_;
  name_bytes_ += bytes_of(prefix, part);
}

Result<void> FdStore::check_room(std::size_t name_bytes) const {
  if (name_bytes_ + name_bytes > most_name_bytes) {
    return fail(ErrorCode::limit_exceeded,
                "systemd keeps " + std::to_string(count_) +
                    " descriptors for handoverd, and could name no more of them to the next one; "
                    "discard sessions, preserve fewer and larger descriptors, or take smaller "
                    "numbers as tokens.");
  }
  if (!limit_ || count_ < *limit_) return {};
  return fail(ErrorCode::limit_exceeded,
              "systemd keeps " + std::to_string(*limit_) +
                  " descriptors for handoverd, and all are in use; discard sessions, or raise "
                  "FileDescriptorStoreMax= ('systemctl edit handoverd').");
}

Result<void> FdStore::keep(const std::string& prefix, Part part, int fd) {
  bool replaces = false;
  {
    const std::lock_guard lock(mutex_);
    const auto prefixed = kept_.find(prefix);
    if (prefixed != kept_.end()) {
      const auto known = prefixed->second.find(part);
      if (known != prefixed->second.end()) {
        if (known->second == fd) return {};
        replaces = true;
      }
    }
    if (!replaces) {
      // Counted before it is sent: two sessions must not both take the last place.
      if (auto room = check_room(bytes_of(prefix, part)); !room) return room;
      ++count_;
      name_bytes_ += bytes_of(prefix, part);
    }
    kept_[prefix][part] = fd;
  }
  const auto name = stored_name(prefix, part);
  Result<void> done = replaces ? forget_fd(host_, name) : Result<void>{};
  if (done) done = store_fd(host_, name, fd);
  if (!done) take_off(prefix, part);
  return done;
}

Result<void> FdStore::keep_exactly(const std::string& prefix,
                                   const std::vector<backend::Session::StoredFd>& fds) {
  std::map<Part, int> wanted;
  for (const auto& stored : fds) wanted.emplace(stored.part, stored.fd);
  std::map<Part, int> kept;
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = kept_.find(prefix); it != kept_.end()) kept = it->second;
  }
  // What is refused of one must not cost the others.
  Result<void> done;
  const auto note = [&done](const Result<void>& result) {
    if (done && !result) done = result;
    return result.has_value();
  };
  for (const auto& [part, fd] : kept) {
    const auto want = wanted.find(part);
    if (want != wanted.end() && want->second == fd) {
      wanted.erase(want);
      continue;
    }
    // Under a name that is not free nothing is stored: nobody could tell the two apart.
    if (!note(forget(prefix, part)) && want != wanted.end()) wanted.erase(want);
  }
  for (const auto& [part, fd] : wanted) {
    if (note(store_fd(host_, stored_name(prefix, part), fd))) came_back(prefix, part, fd);
  }
  return done;
}

bool FdStore::take_off(const std::string& prefix, Part part) {
  const std::lock_guard lock(mutex_);
  const auto prefixed = kept_.find(prefix);
  if (prefixed == kept_.end() || prefixed->second.erase(part) == 0) return false;
  if (prefixed->second.empty()) kept_.erase(prefixed);
  --count_;
  name_bytes_ -= bytes_of(prefix, part);
  return true;
}

Result<void> FdStore::forget(const std::string& prefix, Part part) {
  if (!take_off(prefix, part)) return {};
  return forget_fd(host_, stored_name(prefix, part));
}

Result<void> FdStore::forget_all(const std::string& prefix) {
  std::vector<Part> parts;
  {
    const std::lock_guard lock(mutex_);
    const auto prefixed = kept_.find(prefix);
    if (prefixed == kept_.end()) return {};
    for (const auto& [part, fd] : prefixed->second) parts.push_back(part);
  }
  for (const auto part : parts) {
    if (auto forgotten = forget(prefix, part); !forgotten) return forgotten;
  }
  return {};
}

Result<void> FdStore::let_go(const std::string& prefix, Part part) {
  auto forgotten = forget(prefix, part);
  return forgotten ? barrier() : forgotten;
}

Result<void> FdStore::let_go_all(const std::string& prefix) {
  auto forgotten = forget_all(prefix);
  return forgotten ? barrier() : forgotten;
}

/// PID 1 has closed all that was forgotten.
Result<void> FdStore::barrier() {
  return run_or_fail("a barrier", [this] { return host_.barrier(barrier_usec); });
}

std::size_t FdStore::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace handover::engine
