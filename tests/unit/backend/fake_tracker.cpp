// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_tracker.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>

namespace handover::backend::test {
namespace {

tl::unexpected<int> error(int sys_errno) { return tl::unexpected<int>(sys_errno); }

struct stat status_of(int fd) {
  struct stat status = {};
  ::fstat(fd, &status);
  return status;
}

UniqueFd duplicate(const UniqueFd& fd) { return UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3)); }

/// What ho_pin_file() in kmod/pin.c takes.
std::optional<Kind> kind_of(int fd) {
  struct statfs file_system = {};
  if (::fstatfs(fd, &file_system) < 0 || !S_ISREG(status_of(fd).st_mode)) return std::nullopt;
  if (file_system.f_type == HUGETLBFS_MAGIC) return Kind::hugetlb;
  if (file_system.f_type == TMPFS_MAGIC) return Kind::memfd;
  return std::nullopt;
}

}  // namespace

KernelResult<TrackerInfo> FakeTracker::info() {
  if (!loaded_) return error(ENODEV);
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  TrackerInfo info;
  info.abi = 1;
  info.format = 1;
  info.kho = kho_;
  info.sealed = sealed_;
  return info;
}

KernelResult<UniqueFd> FakeTracker::create_session(const std::string& name,
                                                   const TrackerLimits& limits) {
  if (!loaded_) return error(ENODEV);
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  if (name.empty()) return error(EINVAL);
  if (!kho_) return error(EOPNOTSUPP);
  if (sealed_) return error(EBUSY);
  if (find(name) != nullptr) return error(EEXIST);
  FakeSession& session = sessions_.emplace_back();
  session.name = name;
  session.limits = limits;
  session.identity.reset(::memfd_create("session", MFD_CLOEXEC));
  return duplicate(session.identity);
}

KernelResult<UniqueFd> FakeTracker::retrieve_session(const std::string& name) {
  if (!loaded_) return error(ENODEV);
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  FakeSession* session = find(name);
  if (session == nullptr) return error(ENOENT);
  return duplicate(session->identity);
}

KernelResult<void> FakeTracker::seal() {
  if (!loaded_) return error(ENODEV);
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  if (!kho_) return error(EOPNOTSUPP);
  sealed_ = true;
  return {};
}

KernelResult<void> FakeTracker::unseal() {
  if (!loaded_) return error(ENODEV);
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  sealed_ = false;
  return {};
}

KernelResult<bool> FakeTracker::is_incoming(int session_fd) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  const FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  return session->incoming;
}

KernelResult<void> FakeTracker::preserve_fd(int session_fd, std::uint64_t token, int fd) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  Entry entry;
  entry.fd.reset(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!entry.fd) return error(EBADF);
  if (session->incoming) return error(EINVAL);
  if (sealed_) return error(EBUSY);
  if (session->entries.contains(token)) return error(EEXIST);
  const auto& limits = session->limits;
  if (limits.entries != 0 && session->entries.size() >= limits.entries) return error(EDQUOT);
  const auto kind = kind_of(fd);
  if (!kind) return error(EOPNOTSUPP);
  if (is_preserved(fd)) return error(EBUSY);
  entry.kind = *kind;
  entry.length = static_cast<std::uint64_t>(status_of(fd).st_size);
  if (limits.bytes != 0 && entry.length > limits.bytes) return error(EDQUOT);
  session->entries.emplace(token, std::move(entry));
  return {};
}

KernelResult<void> FakeTracker::unpreserve(int session_fd, std::uint64_t token) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  if (session->incoming) return error(EINVAL);
  if (sealed_) return error(EBUSY);
  if (session->entries.erase(token) == 0) return error(ENOENT);
  return {};
}

KernelResult<UniqueFd> FakeTracker::retrieve(int session_fd, std::uint64_t token) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  if (!session->incoming) return error(EINVAL);
  const auto found = session->entries.find(token);
  if (found == session->entries.end()) return error(ENOENT);
  Entry& entry = found->second;
  if (entry.retrieved) return error(EALREADY);
  if (entry.kind == Kind::kernel) return error(EOPNOTSUPP);
  if (entry.damaged) return error(ENODATA);
  entry.retrieved = true;
  return std::move(entry.fd);  // the memory is the holder's from here on
}

KernelResult<TrackerEntry> FakeTracker::describe(int session_fd, std::uint64_t token) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  const FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  const auto found = session->entries.find(token);
  if (found == session->entries.end()) return error(ENOENT);
  return TrackerEntry{found->second.kind, found->second.length, found->second.retrieved};
}

KernelResult<std::vector<std::uint64_t>> FakeTracker::list_tokens(int session_fd) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  const FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  std::vector<std::uint64_t> tokens;
  for (const auto& [token, entry] : session->entries) tokens.push_back(token);
  return tokens;
}

KernelResult<void> FakeTracker::restore(int session_fd, std::uint32_t threads) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  const FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  if (!session->incoming || threads == 0 || threads > 64) return error(EINVAL);
  restored_[session->name] = threads;
  return {};
}

KernelResult<void> FakeTracker::finish(int session_fd) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  const FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  if (!session->incoming) return error(EINVAL);
  if (sealed_) return error(EBUSY);
  sessions_.remove_if([&](const FakeSession& one) { return &one == session; });
  return {};
}

KernelResult<void> FakeTracker::discard(int session_fd) {
  if (const auto failed = faults_.next()) return error(*failed);
  const std::lock_guard lock(mutex_);
  const FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return error(ENOENT);
  if (sealed_) return error(EBUSY);
  sessions_.remove_if([&](const FakeSession& one) { return &one == session; });
  return {};
}

void FakeTracker::reboot() {
  // A kexec that nobody sealed for is sealed by the reboot notifier.
  sealed_ = false;
  sessions_.remove_if([](const FakeSession& session) { return session.incoming; });
  for (FakeSession& session : sessions_) {
    session.incoming = true;
    session.limits = {};
    session.identity.reset(::memfd_create("session", MFD_CLOEXEC));
  }
}

void FakeTracker::damage(const std::string& name, std::uint64_t token) {
  find(name)->entries.at(token).damaged = true;
}

void FakeTracker::add_entry(const std::string& name, std::uint64_t token, Kind kind,
                            std::uint64_t length) {
  Entry entry;
  entry.fd.reset(::memfd_create("entry", MFD_CLOEXEC));
  entry.kind = kind;
  entry.length = length;
  find(name)->entries.emplace(token, std::move(entry));
}

std::optional<std::set<std::uint64_t>> FakeTracker::outgoing(const std::string& name) {
  return tokens(name, false);
}

std::optional<std::set<std::uint64_t>> FakeTracker::incoming(const std::string& name) {
  return tokens(name, true);
}

std::optional<std::set<std::uint64_t>> FakeTracker::tokens(const std::string& name, bool incoming) {
  const FakeSession* session = find(name);
  if (session == nullptr || session->incoming != incoming) return std::nullopt;
  std::set<std::uint64_t> tokens;
  for (const auto& [token, entry] : session->entries) tokens.insert(token);
  return tokens;
}

FakeTracker::FakeSession* FakeTracker::find(const std::string& name) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(),
                                  [&](const FakeSession& session) { return session.name == name; });
  return found == sessions_.end() ? nullptr : &*found;
}

FakeTracker::FakeSession* FakeTracker::by_fd(int fd) {
  struct stat wanted = {};
  if (::fstat(fd, &wanted) < 0) return nullptr;
  const auto found =
      std::find_if(sessions_.begin(), sessions_.end(), [&](const FakeSession& session) {
        const auto have = status_of(session.identity.get());
        return have.st_dev == wanted.st_dev && have.st_ino == wanted.st_ino;
      });
  return found == sessions_.end() ? nullptr : &*found;
}

bool FakeTracker::is_preserved(int fd) {
  const struct stat wanted = status_of(fd);
  for (const FakeSession& session : sessions_) {
    for (const auto& [token, entry] : session.entries) {
      if (!entry.fd) continue;
      const struct stat have = status_of(entry.fd.get());
      if (have.st_dev == wanted.st_dev && have.st_ino == wanted.st_ino) return true;
    }
  }
  return false;
}

}  // namespace handover::backend::test
