// SPDX-License-Identifier: LGPL-2.1-or-later
// The cgroup below ours in which COMMAND runs, so that the kernel can freeze all of it at once.
#pragma once

#include <handover/handover.hpp>
#include <string>
#include <string_view>

namespace handover::common {

/// This process's own cgroup (version 2) as a directory; an error if there is none.
client::Result<std::string> own_cgroup();
/// Did systemd hand this cgroup to us (Delegate=yes)? It says so by an attribute.
bool is_delegated(const std::string& cgroup);

/// The paths of `text`, the contents of /proc/self/cgroup and /proc/self/mountinfo, as plain parts
/// of own_cgroup(). "" if there is no version 2 hierarchy.
std::string cgroup_path(std::string_view text);
std::string cgroup_mount(std::string_view text);

/// A cgroup of ours. Removed when destroyed, if it is empty.
class Cgroup {
 public:
  /// Makes `directory`, or takes it over if it is there, thawed.
  static client::Result<Cgroup> make(std::string directory);
  Cgroup(Cgroup&& other) noexcept;
  Cgroup& operator=(Cgroup&& other) = delete;
  ~Cgroup();

  /// For a child to write "0" to: it is then inside.
  [[nodiscard]] int procs_fd() const { return procs_.get(); }
  client::Result<void> set_frozen(bool frozen);
  client::Result<bool> is_frozen() const;
  /// SIGKILL to all inside, frozen or not.
  client::Result<void> kill();

 private:
  explicit Cgroup(std::string directory) : directory_(std::move(directory)) {}
  client::Result<void> write(const char* file, const char* value) const;

  std::string directory_;  ///< "" once moved from
  client::Fd procs_;
};

}  // namespace handover::common
