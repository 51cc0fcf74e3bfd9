// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wait_for.h"

#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "file.h"

namespace handover::common {
namespace {

using Kind = WaitFor::Kind;

constexpr std::array<std::pair<std::string_view, Kind>, 5> kinds = {{{"path", Kind::path},
                                                                     {"writable", Kind::writable},
                                                                     {"device", Kind::device},
                                                                     {"link", Kind::link},
                                                                     {"mount", Kind::mount}}};

client::Error refuse(std::string_view text, const std::string& why) {
  return {"", "Cannot wait for '" + std::string(text) + "': " + why, EINVAL};
}

/// proc_pid_mountinfo(5) writes a space, a tab, a newline and a backslash as "\040" and so on.
std::string unescape(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// The text between the `n`th space of `line` and the next; the first field is 0.
std::string_view field(std::string_view line, int n) {
  for (; n > 0; --n) {
    const auto space = line.find(' ');
    if (space == std::string_view::npos) return "";
    line.remove_prefix(space + 1);
  }
  return line.substr(0, line.find(' '));
}

std::string_view without_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}

}  // namespace

client::Result<WaitFor> parse_wait_for(std::string_view text) {
  WaitFor wanted;
  std::string_view name = text;
  if (text.substr(0, 1) != "/") {
    const auto colon = text.find(':');
    const auto* const known = std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) {
      return kind.first == text.substr(0, colon);
    });
    if (colon == std::string_view::npos || known == kinds.end()) {
      return refuse(text,
                    "it must be a path that begins with '/', or path:PATH, writable:PATH, "
                    "device:PATH, link:NAME or mount:PATH.");
    }
    wanted.kind = known->second;
    name = text.substr(colon + 1);
  }
  if (name.find('\0') != std::string_view::npos) return refuse(text, "it has a zero byte.");
  if (wanted.kind == Kind::link) {
    if (name.empty() || name.size() >= IF_NAMESIZE || name.find('/') != std::string_view::npos) {
      return refuse(text, "a network link has a name of 1 to 15 bytes without '/'.");
    }
  } else if (name.substr(0, 1) != "/") {
    return refuse(text, "the path must begin with '/'.");
  }
  wanted.name = std::string(wanted.kind == Kind::mount ? without_slashes(name) : name);
  return wanted;
}

client::Result<std::vector<WaitFor>> parse_wait_for(const std::vector<std::string>& texts) {
  std::vector<WaitFor> wanted;
  for (const auto& text : texts) {
    auto one = parse_wait_for(text);
    if (!one) return one.error();
    wanted.push_back(std::move(*one));
  }
  return wanted;
}

bool is_mount_point(std::string_view mountinfo, std::string_view path) {
  constexpr int mount_point = 4;
  while (!mountinfo.empty()) {
    const auto end = mountinfo.find('\n');
    const auto line = mountinfo.substr(0, end);
    mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos || field(line.substr(dash + 3), 0) == "autofs") continue;
    if (unescape(field(line, mount_point)) == path) return true;
  }
  return false;
}

Seen look_at(const WaitFor& wanted) {
  struct stat status = {};
  switch (wanted.kind) {
    case Kind::path:
    case Kind::device:
      if (stat(wanted.name.c_str(), &status) < 0) return {errno, false};
      return {0, S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode)};
    case Kind::writable:
      return {access(wanted.name.c_str(), W_OK) < 0 ? errno : 0, false};
    case Kind::link:
      return {if_nametoindex(wanted.name.c_str()) == 0 ? errno : 0, false};
    case Kind::mount: {
      auto mounts = read_file("/proc/self/mountinfo");
      if (!mounts) return {mounts.error().code, false};
      return {is_mount_point(*mounts, wanted.name) ? 0 : ENOENT, false};
    }
  }
  return {EINVAL, false};
}

std::string missing(const WaitFor& wanted, const Seen& seen) {
  const bool absent = seen.error == ENOENT || seen.error == ENOTDIR || seen.error == ENODEV;
  const std::string why = strerror(seen.error);  // NOLINT(concurrency-mt-unsafe): one thread
  switch (wanted.kind) {
    case Kind::path:
      if (seen.error == 0) return "";
      return absent ? wanted.name + " is not there" : wanted.name + " cannot be reached: " + why;
    case Kind::writable:
      if (seen.error == 0) return "";
      return absent ? wanted.name + " is not there" : wanted.name + " cannot be written: " + why;
    case Kind::device:
      if (seen.error == 0) return seen.is_device ? "" : wanted.name + " is no device";
      return absent ? "the device " + wanted.name + " is not there"
                    : "the device " + wanted.name + " cannot be reached: " + why;
    case Kind::link:
      if (seen.error == 0) return "";
      return absent ? "the network link " + wanted.name + " is not there"
                    : "the network link " + wanted.name + " cannot be looked for: " + why;
    case Kind::mount:
      if (seen.error == 0) return "";
      return absent ? "nothing is mounted on " + wanted.name
                    : "the mounts cannot be looked at: " + why;
  }
  return "";
}

std::string what_is_missing(const std::vector<WaitFor>& wanted) {
  std::string all;
  for (const auto& one : wanted) {
    const auto part = missing(one, look_at(one));
    if (!part.empty()) all += (all.empty() ? "" : "; ") + part;
  }
  return all.empty() ? "" : "What is waited for is missing: " + all + ".";
}

}  // namespace handover::common
