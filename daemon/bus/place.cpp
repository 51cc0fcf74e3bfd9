// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus/place.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "system/files.h"

namespace handover::bus {

namespace {

/// The line of the unified hierarchy, and that of systemd's own where the controllers still have
/// theirs (cgroups(7)).
constexpr std::string_view unified = "0::";
constexpr std::string_view systemds_own = ":name=systemd:";
constexpr std::string_view deleted = " (deleted)";

std::string_view first_line(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

/// As systemd does (cg_path_get_unit(), basic/cgroup-util.c): behind all slices stands the unit;
/// what is below it the unit may have named itself. A leading '_' is an escape.
std::string service_in(std::string_view path) {
  while (!path.empty()) {
    while (path.starts_with('/')) path.remove_prefix(1);
    auto name = path.substr(0, path.find('/'));
    path.remove_prefix(name.size());
    if (name.ends_with(".slice")) continue;
    if (name.starts_with('_')) name.remove_prefix(1);
    constexpr std::string_view ending = ".service";
    if (name.size() > ending.size() && name.ends_with(ending)) return std::string(name);
    break;
  }
  return {};
}

bool has_ended(const UniqueFd& pidfd) {
  pollfd look{pidfd.get(), POLLIN, 0};
  return poll(&look, 1, 0) != 0;  // readable once the process has ended
}

}  // namespace

Result<Place> place_from(std::string_view text) {
  std::optional<std::string_view> whole;
  std::optional<std::string_view> own;
  while (!text.empty()) {
    const auto line = first_line(text);
    const auto at = line.find(systemds_own);
    if (line.starts_with(unified)) {
      whole = line.substr(unified.size());
    } else if (at != std::string_view::npos) {
      own = line.substr(at + systemds_own.size());
    }
  }
  if (!whole && !own) return fail(ErrorCode::io, "it is in no control group");
  Place place;
  const bool is_gone = whole && whole->ends_with(deleted);
  if (is_gone) whole->remove_suffix(deleted.size());
  if (whole && !is_gone) place.cgroup = *whole;
  place.unit = service_in(whole && (*whole != "/" || !own) ? *whole : *own);
  return place;
}

Result<Place> place_of(pid_t pid, const UniqueFd& pidfd) {
  const auto text = system::read_file("/proc/" + std::to_string(pid) + "/cgroup");
  if (!text) return fail(text.error());
  // Only now: until it has ended, its number is no other's.
  if (has_ended(pidfd)) return fail(ErrorCode::io, "it has ended");
  return place_from(*text);
}

Error unknown_service(pid_t pid, const Error& why) {
  return {ErrorCode::access_denied,
          "The service that process " + std::to_string(pid) + " belongs to cannot be found out: " +
              why.message + ". Call from a process that waits for the answer.",
          why.sys_errno};
}

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return fail_errno("pidfd_open");
  return fd;
}

Result<pid_t> pid_of(const UniqueFd& pidfd) {
  const auto text = system::read_file("/proc/self/fdinfo/" + std::to_string(pidfd.get()));
  if (!text) return fail(text.error());
  constexpr std::string_view label = "\nPid:";
  const auto at = text->find(label);
  pid_t pid = -1;
  if (at != std::string::npos) {
    const auto from = text->find_first_not_of(" \t", at + label.size());
    if (from != std::string::npos) {
      std::from_chars(text->data() + from, text->data() + text->size(), pid);
    }
  }
  if (pid <= 0) return fail(ErrorCode::io, "it has ended");
  return pid;
}

}  // namespace handover::bus
