// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/hook_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "core/text.h"

namespace handover::system {

namespace {

constexpr auto anybodys_x = S_IXUSR | S_IXGRP | S_IXOTH;

std::string describe_errno(int sys_errno) {
  return "cannot be looked at (" + std::string(std::strerror(sys_errno)) + ")";
}

/// Of this one alone. `way`: it is a directory that leads on to a file that is there.
std::string why_changeable(const struct stat& status, bool way) {
  if (status.st_uid != 0 && status.st_uid != geteuid()) {
    return "belongs to user " + std::to_string(status.st_uid);
  }
  // Who may write into such a directory may not take another's files away, but add some.
  const bool sticky = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
  if ((sticky && way) || S_ISLNK(status.st_mode)) return "";
  if ((status.st_mode & S_IWOTH) != 0) return "is writable for everybody";
  if ((status.st_mode & S_IWGRP) != 0) {
    return "is writable for group " + std::to_string(status.st_gid);
  }
  return "";
}

HookEntry::Kind kind_of(const struct stat& status) {
  if (S_ISCHR(status.st_mode)) return HookEntry::Kind::mask;
  if (!S_ISREG(status.st_mode)) return HookEntry::Kind::other;
  if (status.st_size == 0) return HookEntry::Kind::mask;
  return (status.st_mode & anybodys_x) != 0 ? HookEntry::Kind::program : HookEntry::Kind::other;
}

/// nullopt: it is gone.
std::optional<HookEntry> look_at_entry(const std::string& path, std::string name) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  HookEntry entry{std::move(name), kind_of(status)};
  if (entry.kind == HookEntry::Kind::program) entry.unsafe = why_unsafe(path);
  return entry;
}

}  // namespace

SafePath safe_path(const std::string& path) {
  namespace fs = std::filesystem;
  constexpr unsigned most_links = 40;  // as the kernel: path_resolution(7)
  std::deque<fs::path> todo;
  const auto walk_next = [&todo](const fs::path& parts) {
    todo.insert(todo.begin(), parts.begin(), parts.end());
  };
  walk_next(fs::path(path));
  fs::path done = "/";
  unsigned links = 0;
  while (!todo.empty()) {
    const fs::path part = todo.front();
    todo.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      done = done.parent_path();
      continue;
    }
    const fs::path next = part.is_absolute() ? part : done / part;
    struct stat status {};
    if (lstat(next.c_str(), &status) != 0) return {"", describe_errno(errno)};
    if (auto why = why_changeable(status, !todo.empty()); !why.empty()) {
      const bool itself = next == fs::path(path);
      return {"", itself ? why : "leads to " + printable(next.native()) + ", which " + why};
    }
    if (!S_ISLNK(status.st_mode)) {
      done = next;
      continue;
    }
    std::error_code error;
    const auto target = fs::read_symlink(next, error);
    if (error) return {"", describe_errno(error.value())};
    if (++links > most_links) return {"", describe_errno(ELOOP)};
    if (target.is_absolute()) done = "/";
    walk_next(target);
  }
  return {done.native(), ""};
}

std::string why_unsafe(const std::string& path) { return safe_path(path).why; }

std::vector<HookDirectory> list_hooks(const std::vector<std::string>& roots, HookStage stage) {
  namespace fs = std::filesystem;
  std::vector<HookDirectory> found;
  for (const std::string& root : roots) {
    HookDirectory directory;
    directory.path = root + "/" + std::string(to_string(stage));
    std::error_code error;
    auto entry = fs::directory_iterator(directory.path, error);
    if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) {
      continue;
    }
    directory.unsafe = error ? describe_errno(error.value()) : why_unsafe(directory.path);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      auto looked = look_at_entry(entry->path().native(), entry->path().filename().native());
      if (looked) directory.entries.push_back(std::move(*looked));
    }
    // What could not be read might be a mask.
    if (error && directory.unsafe.empty()) directory.unsafe = describe_errno(error.value());
    found.push_back(std::move(directory));
  }
  return found;
}

}  // namespace handover::system
