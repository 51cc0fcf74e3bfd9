// SPDX-License-Identifier: LGPL-2.1-or-later
#include "check.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "calendar.h"
#include "http.h"
#include "text.h"

namespace handover::fleet {
namespace {

client::Error wrong(const std::string& file, const std::string& field, const std::string& why,
                    int code) {
  return {"", file + ": " + field + " " + why, code};
}

/// A file of that path, by what access(2) has just said.
client::Error unusable(const std::string& file, const std::string& field, const std::string& what,
                       const std::string& path) {
  const int code = errno;
  return wrong(
      file, field,
      what + ": " + path + ": " + strerror(code),  // NOLINT(concurrency-mt-unsafe): one thread
      code);
}

client::Result<void> check_windows(const std::string& file, const Windows& windows) {
  const std::atomic<bool> given_up = false;
  for (std::size_t i = 0; i < windows.list.size(); ++i) {
    auto good = check_calendar(windows.list[i], given_up);
    if (good) continue;
    const auto& error = good.error();
    const std::string what =
        error.code == EINVAL
            ? "must be a calendar expression of systemd.time(7), as \"Sat 02:00\": "
            : "cannot be checked now: ";
    return wrong(file, "/windows/" + std::to_string(i) + "/calendar",
                 what + one_line(error.message), error.code);
  }
  return {};
}

client::Result<void> check_access(const std::string& file, const Access& access) {
  const std::array<std::pair<const char*, const std::string*>, 3> files = {
      {{"ca", &access.ca}, {"certificate", &access.certificate}, {"key", &access.key}}};
  for (const auto& [field, path] : files) {
    if (path->empty() || ::access(path->c_str(), R_OK) == 0) continue;
    return unusable(file, std::string("/lock/") + field,
                    "must be a file that handover-fleet can read", *path);
  }
  if (auto token = read_token(access); !token) {
    return wrong(file, access.token_file.empty() ? "/lock/token-credential" : "/lock/token-file",
                 "must hold a token: " + token.error().message, token.error().code);
  }
  return {};
}

client::Result<void> check_programs(const std::string& file, const std::string& stage,
                                    const std::vector<Check>& checks) {
  for (std::size_t i = 0; i < checks.size(); ++i) {
    if (checks[i].command.empty() || ::access(checks[i].command.front().c_str(), X_OK) == 0) {
      continue;
    }
    return unusable(file, "/health/" + stage + "/" + std::to_string(i) + "/command",
                    "must begin with a program that can be run", checks[i].command.front());
  }
  return {};
}

}  // namespace

client::Result<Config> usable_config(const std::string& file) {
  auto config = read_config(file);
  if (!config) return config;
  if (auto good = check_windows(file, config->windows); !good) return good.error();
  if (auto good = check_access(file, config->lock.access); !good) return good.error();
  if (auto good = check_programs(file, "before", config->health.before); !good) return good.error();
  if (auto good = check_programs(file, "after", config->health.after); !good) return good.error();
  return config;
}

}  // namespace handover::fleet
