// SPDX-License-Identifier: LGPL-2.1-or-later
// Descriptors in PID 1's fd store, under names of ours, so that the daemon's death loses none.
//
// Threads: any. What is kept for one session is changed by one thread at a time, that of its queue.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "backend/session.h"
#include "core/error.h"
#include "core/part.h"
#include "engine/host.h"

namespace handover::engine {

class FdStore {
 public:
  explicit FdStore(Host& host) : host_(host), limit_(host.fd_store_limit()) {}

  /// "session-12": the prefix of everything that is stored for that session.
  static std::string prefix_of(std::uint64_t session) {
    return "session-" + std::to_string(session);
  }
  /// The manifest's own.
  static constexpr const char* manifest_prefix = "manifest";
  /// "session-12-t3".
  static std::string stored_name(const std::string& prefix, Part part);
  struct StoredName {
    std::string prefix;
    std::optional<std::uint64_t> session;  ///< none: the manifest
    Part part;
  };
  static std::optional<StoredName> parse(std::string_view name);

  /// It came back from the store as descriptor `fd`, and is still there.
  void came_back(const std::string& prefix, Part part, int fd);

  /// (waits) Stores it, in place of another of that name. limit_exceeded: there is no room.
  Result<void> keep(const std::string& prefix, Part part, int fd);
  /// (waits) Makes the store hold exactly these under `prefix`, whatever room there is: what came
  /// back is kept, even if the limit has become lower.
  Result<void> keep_exactly(const std::string& prefix,
                            const std::vector<backend::Session::StoredFd>& fds);
  /// (waits) Forgets it. PID 1 closes it a moment later.
  Result<void> forget(const std::string& prefix, Part part);
  Result<void> forget_all(const std::string& prefix);
  /// (waits) The same, and until PID 1 has closed it: the kernel's session goes with its last
  /// descriptor.
  Result<void> let_go(const std::string& prefix, Part part);
  Result<void> let_go_all(const std::string& prefix);

  [[nodiscard]] std::size_t count() const;
  [[nodiscard]] std::optional<std::size_t> limit() const { return limit_; }

 private:
  [[nodiscard]] Result<void> check_room(std::size_t name_bytes) const;
  Result<void> barrier();
  /// Takes it off the list; false if it was not there.
  bool take_off(const std::string& prefix, Part part);

  Host& host_;
  std::optional<std::size_t> limit_;
  mutable std::mutex mutex_;
  std::map<std::string, std::map<Part, int>> kept_;
  std::size_t count_ = 0;
  std::size_t name_bytes_ = 0;
};

}  // namespace handover::engine
