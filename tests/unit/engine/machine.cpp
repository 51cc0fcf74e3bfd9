// SPDX-License-Identifier: LGPL-2.1-or-later
#include "machine.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace handover::engine::test {

namespace {

/// Of one file; the pipes and memfds of these tests have one open file description each.
bool same_file(int one, int other) {
  struct stat a {};
  struct stat b {};
  return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

UniqueFd duplicate(int fd) { return UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

}  // namespace

// ---- the fd store

Result<void> FdStoreOfPidOne::store(const std::string& name, int fd) {
  if (refuse_errno != 0 && name.find(refused_part) != std::string::npos) {
    return fail_errno("Storing '" + name + "'", refuse_errno);
  }
  const auto [first, last] = stored_.equal_range(name);
  const bool known = std::any_of(
      first, last, [&](const auto& stored) { return same_file(stored.second.get(), fd); });
  if (known) return {};
  // PID 1 drops what is too much, and does not say so.
  if (limit && stored_.size() >= *limit) return {};
  auto copy = duplicate(fd);
  if (!copy) return fail_errno("Storing '" + name + "'", EBADF);
  stored_.emplace(name, std::move(copy));
  return {};
}

void FdStoreOfPidOne::forget(const std::string& name) {
  const auto [first, last] = stored_.equal_range(name);
  for (auto it = first; it != last; ++it) forgotten_.push_back(std::move(it->second));
  stored_.erase(first, last);
}

void FdStoreOfPidOne::clear() {
  stored_.clear();
  forgotten_.clear();
}

std::vector<NamedDescriptor> FdStoreOfPidOne::duplicates() const {
  std::vector<NamedDescriptor> all;
  for (const auto& [name, fd] : stored_) all.push_back({name, duplicate(fd.get())});
  return all;
}

std::vector<std::string> FdStoreOfPidOne::names() const {
  std::vector<std::string> all;
  for (const auto& [name, fd] : stored_) all.push_back(name);
  return all;
}

// ---- files

Result<std::string> Directory::read(std::string_view name) const {
  const auto it = files_.find(std::string(name));
  if (!mounted || it == files_.end()) return fail_errno("Reading " + std::string(name), ENOENT);
  if (unreadable != 0) return fail_errno("Reading " + std::string(name), unreadable);
  return it->second;
}

Result<void> Directory::may_write(std::string_view name) {
  if (!mounted) return fail_errno("Writing " + std::string(name), EROFS);
  if (full_for == 0) return {};
  --full_for;
  return fail_errno("Writing " + std::string(name), ENOSPC);
}

Result<void> Directory::replace(std::string_view name, std::string_view text) {
  if (auto may = may_write(name); !may) return may;
  files_[std::string(name)] = text;
  return {};
}

Result<void> Directory::append(std::string_view name, std::string_view text) {
  const auto may = may_write(name);
  const auto it = files_.find(std::string(name));
  if (it == files_.end()) return fail_errno("Writing " + std::string(name), ENOENT);
  it->second += may ? text : text.substr(0, text.size() / 2);
  return may;
}

Result<void> Directory::remove(std::string_view name) {
  if (mounted && files_.erase(std::string(name)) == 1) return {};
  return fail_errno("Removing " + std::string(name), ENOENT);
}

// ---- effects

void Machine::effect(const char* what) {
  if (bug_in_ != 0 && bug_at_ == what && --bug_in_ == 0) throw std::logic_error("a bug");
  if (!effect_noexcept(what)) throw ProcessEnded{ProcessEnded::Why::killed};
}

bool Machine::effect_noexcept(const char* what) noexcept {
  if (dead_) return false;
  ++effects_;
  if (die_at_ != 0 && effects_ >= die_at_) {
    dead_ = true;
    die_at_ = 0;
    last_effect_ = what;
    return false;
  }
  return true;
}

void Machine::bug_at(std::string name, std::uint64_t nth) {
  bug_at_ = std::move(name);
  bug_in_ = nth;
}

void Machine::die_at(std::uint64_t nth) { die_at_ = nth == 0 ? 0 : effects_ + nth; }

void Machine::check_alive() const {
  if (dead_) throw ProcessEnded{ProcessEnded::Why::killed};
}

}  // namespace handover::engine::test
