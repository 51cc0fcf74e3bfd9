// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_liveupdate.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace handover::backend::test {
namespace {

struct stat status_of(int fd) {
  struct stat status = {};
  ::fstat(fd, &status);
  return status;
}

bool hung_up(int fd) {
  struct pollfd poll = {fd, 0, 0};
  return ::poll(&poll, 1, 0) == 1 && (poll.revents & POLLERR) != 0;
}

/// memfd_luo_can_preserve() in mm/memfd_luo.c.
bool can_preserve(int fd) {
  struct statfs file_system = {};
  return ::fstatfs(fd, &file_system) == 0 && file_system.f_type == TMPFS_MAGIC &&
         S_ISREG(status_of(fd).st_mode) && status_of(fd).st_nlink == 0;
}

}  // namespace

std::shared_ptr<void> FakeLiveupdate::hold() {
  const Lock lock(mutex_);
  ++holders_;
  (void)open_device();
  return {this, [](FakeLiveupdate* fake) {
            const Lock unhold(fake->mutex_);
            --fake->holders_;
            fake->close_unheld();
          }};
}

KernelResult<void> FakeLiveupdate::open() {
  {
    const Lock lock(mutex_);
    if (open_) return {};
  }
  if (const auto error = faults_.next()) return tl::unexpected<int>(*error);
  const Lock lock(mutex_);
  const auto error = open_device();
  close_unheld();
  if (error) return tl::unexpected<int>(*error);
  return {};
}

KernelResult<UniqueFd> FakeLiveupdate::create_session(const std::string& name) {
  if (const auto error = faults_.next()) return tl::unexpected<int>(*error);
  const Lock lock(mutex_);
  drop_closed();
  const auto busy = open_device();
  close_unheld();
  if (busy) return tl::unexpected<int>(*busy);
  if (const auto refused = refused_.find(name); refused != refused_.end()) {
    return tl::unexpected<int>(refused->second);
  }
  if (name.empty()) return tl::unexpected<int>(EINVAL);
  if (by_name(name, false) != nullptr) return tl::unexpected<int>(EEXIST);
  FakeSession& session = sessions_.emplace_back();
  session.name = name;
  return hand_out(session);
}

KernelResult<UniqueFd> FakeLiveupdate::retrieve_session(const std::string& name) {
  if (const auto error = faults_.next()) return tl::unexpected<int>(*error);
  const Lock lock(mutex_);
  drop_closed();
  const auto busy = open_device();
  close_unheld();
  if (busy) return tl::unexpected<int>(*busy);
  FakeSession* session = by_name(name, true);
  if (session == nullptr) return tl::unexpected<int>(ENOENT);
  if (session->retrieved) return tl::unexpected<int>(EINVAL);
  session->retrieved = true;
  return hand_out(*session);
}

int FakeLiveupdate::preserve_fd(int session_fd, std::uint64_t token, int fd) noexcept {
  if (const auto error = faults_.next()) return -*error;
  const Lock lock(mutex_);
  drop_closed();
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return -ENOTTY;
  if (session->incoming) return -EINVAL;
  if (session->files.contains(token)) return -EEXIST;
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return -EBADF;
  const auto refused = refused_tokens_.find({session->name, token});
  if (refused != refused_tokens_.end()) return -refused->second;
  if (!can_preserve(fd)) return -ENOENT;
  if (is_preserved(fd)) return -EBUSY;
  session->files[token].fd = std::move(copy);
  session->order.push_back(token);
  return 0;
}

int FakeLiveupdate::retrieve_fd(int session_fd, std::uint64_t token) noexcept {
  if (const auto error = faults_.next()) return -*error;
  const Lock lock(mutex_);
  drop_closed();
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return -ENOTTY;
  if (!session->incoming) return -EINVAL;
  const auto found = session->files.find(token);
  if (found == session->files.end()) return -ENOENT;
  if (found->second.broken != 0) return -found->second.broken;
  if (!found->second.retrieved) restored_.push_back(token);
  found->second.retrieved = true;
  return ::fcntl(found->second.fd.get(), F_DUPFD_CLOEXEC, 3);
}

KernelResult<void> FakeLiveupdate::finish(int session_fd) {
  if (const auto error = faults_.next()) return tl::unexpected<int>(*error);
  const Lock lock(mutex_);
  drop_closed();
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return tl::unexpected<int>(ENOTTY);
  if (!session->incoming) return tl::unexpected<int>(EINVAL);
  const auto refused = refused_finish_.find(session->name);
  if (refused != refused_finish_.end()) return tl::unexpected<int>(refused->second);
  session->files.clear();
  return {};
}

KernelResult<std::string> FakeLiveupdate::session_name(int session_fd) {
  if (const auto error = faults_.next()) return tl::unexpected<int>(*error);
  const Lock lock(mutex_);
  drop_closed();
  FakeSession* session = by_fd(session_fd);
  if (session == nullptr) return tl::unexpected<int>(ENOTTY);
  return session->name;
}

void FakeLiveupdate::set_busy(bool busy) {
  const Lock lock(mutex_);
  busy_ = busy;
}

int FakeLiveupdate::opened() const {
  const Lock lock(mutex_);
  return opened_;
}

void FakeLiveupdate::refuse_finish(const std::string& name, int sys_errno) {
  const Lock lock(mutex_);
  if (sys_errno == 0) {
    refused_finish_.erase(name);
  } else {
    refused_finish_[name] = sys_errno;
  }
}

void FakeLiveupdate::refuse_create(const std::string& name, int sys_errno) {
  const Lock lock(mutex_);
  if (sys_errno == 0) {
    refused_.erase(name);
  } else {
    refused_[name] = sys_errno;
  }
}

void FakeLiveupdate::refuse_preserve(const std::string& name, std::uint64_t token, int sys_errno) {
  const Lock lock(mutex_);
  if (sys_errno == 0) {
    refused_tokens_.erase({name, token});
  } else {
    refused_tokens_[{name, token}] = sys_errno;
  }
}

void FakeLiveupdate::break_token(const std::string& name, std::uint64_t token, int sys_errno) {
  const Lock lock(mutex_);
  by_name(name, true)->files.at(token).broken = sys_errno;
}

std::vector<std::uint64_t> FakeLiveupdate::restored() const {
  const Lock lock(mutex_);
  return restored_;
}

void FakeLiveupdate::reboot() {
  const Lock lock(mutex_);
  drop_closed();
  restored_.clear();
  sessions_.remove_if([](const FakeSession& session) { return session.incoming; });
  for (FakeSession& session : sessions_) {
    session.incoming = true;
    session.pipe = 0;
    session.watched.reset();
  }
}

std::optional<std::set<std::uint64_t>> FakeLiveupdate::outgoing(const std::string& name) {
  const Lock lock(mutex_);
  drop_closed();
  const FakeSession* session = by_name(name, false);
  if (session == nullptr) return std::nullopt;
  std::set<std::uint64_t> tokens;
  for (const auto& [token, file] : session->files) tokens.insert(token);
  return tokens;
}

std::vector<std::uint64_t> FakeLiveupdate::order(const std::string& name) {
  const Lock lock(mutex_);
  drop_closed();
  const FakeSession* session = by_name(name, false);
  return session == nullptr ? std::vector<std::uint64_t>{} : session->order;
}

std::optional<std::set<std::uint64_t>> FakeLiveupdate::incoming(const std::string& name) {
  const Lock lock(mutex_);
  drop_closed();
  const FakeSession* session = by_name(name, true);
  if (session == nullptr) return std::nullopt;
  std::set<std::uint64_t> tokens;
  for (const auto& [token, file] : session->files) tokens.insert(token);
  return tokens;
}

void FakeLiveupdate::drop_closed() {
  sessions_.remove_if(
      [](const FakeSession& session) { return session.watched && hung_up(session.watched.get()); });
}

FakeLiveupdate::FakeSession* FakeLiveupdate::by_name(const std::string& name, bool incoming) {
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const FakeSession& one) {
    return one.name == name && one.incoming == incoming;
  });
  return found == sessions_.end() ? nullptr : &*found;
}

FakeLiveupdate::FakeSession* FakeLiveupdate::by_fd(int fd) {
  struct stat status = {};
  if (::fstat(fd, &status) < 0 || !S_ISFIFO(status.st_mode)) return nullptr;
  const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const FakeSession& one) {
    return one.pipe == status.st_ino;
  });
  return found == sessions_.end() ? nullptr : &*found;
}

KernelResult<UniqueFd> FakeLiveupdate::hand_out(FakeSession& session) {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) < 0) return tl::unexpected<int>(errno);
  UniqueFd handed_out(ends[0]);
  session.watched.reset(ends[1]);  // a write end hears POLLERR once no read end is left (poll(2))
  session.pipe = status_of(ends[1]).st_ino;
  return handed_out;
}

std::optional<int> FakeLiveupdate::open_device() {
  if (open_) return std::nullopt;
  if (busy_) return EBUSY;
  open_ = true;
  ++opened_;
  return std::nullopt;
}

void FakeLiveupdate::close_unheld() {
  if (holders_ == 0) open_ = false;
}

bool FakeLiveupdate::is_preserved(int fd) {
  const struct stat wanted = status_of(fd);
  for (const FakeSession& session : sessions_) {
    for (const auto& [token, file] : session.files) {
      if (session.incoming && !file.retrieved) continue;
      const struct stat present = status_of(file.fd.get());
      if (present.st_dev == wanted.st_dev && present.st_ino == wanted.st_ino) return true;
    }
  }
  return false;
}

}  // namespace handover::backend::test
