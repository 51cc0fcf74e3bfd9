// SPDX-License-Identifier: LGPL-2.1-or-later
// What outlives a process of the daemon: clock, files, PID 1's fd store, the loaded kernel. Counts
// every effect that a process has on it, and ends the process at a chosen one, as kill -9 would.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "clock.h"
#include "core/error.h"
#include "core/hook.h"
#include "core/unique_fd.h"
#include "engine/host.h"

namespace handover::engine::test {

/// The process of the daemon is no more. Thrown through the engine; the test's loop catches it and
/// destroys the engine.
struct ProcessEnded {
  enum class Why { killed, kexec, executed_again };
  Why why = Why::killed;
};

/// PID 1's fd store: real duplicates.
class FdStoreOfPidOne {
 public:
  /// A second descriptor under a name is kept beside the first; the same one twice is kept once.
  Result<void> store(const std::string& name, int fd);
  /// PID 1 closes them a moment later (asynchronous_close() in systemd's service.c).
  void forget(const std::string& name);
  /// Closes what was forgotten.
  void close_forgotten() { forgotten_.clear(); }
  void clear();
  /// What the next process finds.
  [[nodiscard]] std::vector<NamedDescriptor> duplicates() const;
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] std::size_t size() const { return stored_.size(); }

  std::optional<std::size_t> limit;
  /// 0, or the errno with which storing under a name that contains `refused_part` fails.
  int refuse_errno = 0;
  /// 0, or how long a sender waits in vain for room in PID 1's socket.
  std::uint64_t full_usec = 0;
  std::string refused_part;

 private:
  std::multimap<std::string, UniqueFd> stored_;
  std::vector<UniqueFd> forgotten_;
};

/// A directory, whose file system may be full or not mounted.
class Directory {
 public:
  Result<std::string> read(std::string_view name) const;
  Result<void> replace(std::string_view name, std::string_view text);
  /// A full file system takes the first half.
  Result<void> append(std::string_view name, std::string_view text);
  Result<void> remove(std::string_view name);
  [[nodiscard]] bool has(std::string_view name) const { return files_.contains(std::string(name)); }

  bool mounted = true;
  /// So many of the next writes fail with ENOSPC.
  unsigned full_for = 0;
  /// 0, or the errno with which files that are there cannot be read.
  int unreadable = 0;

 private:
  Result<void> may_write(std::string_view name);

  std::map<std::string, std::string> files_;
};

class Machine {
 public:
  Clock clock;
  std::string boot_id = "boot-1";
  std::optional<Error> boot_id_error;
  std::string release = "7.3.0-old";
  Directory runtime;  ///< /run: gone with the kernel
  Directory state;    ///< /var/lib/handover
  FdStoreOfPidOne fd_store;
  bool emulated = false;

  // ---- the next kernel
  std::optional<Error> look_error;
  std::set<std::string> names_of_target = {"7.3.1-new", "newest"};  ///< beside its path
  bool kho_off = false;
  bool initrd_missing = false;
  bool modules_missing = false;  ///< /lib/modules/RELEASE of the target
  std::vector<PackageLock> package_locks;
  std::optional<Error> load_error;
  std::optional<Error> kexec_error;
  bool target_loaded = false;
  unsigned loads = 0;
  unsigned collapses = 0;
  unsigned syncs = 0;
  std::uint64_t sync_takes_usec = 0;
  /// What the kernel does in reboot(), while the process still has all its descriptors.
  std::function<void()> on_kexec;
  struct FakeWatchdog {
    WatchdogFacts facts;
    std::optional<Error> arm_error;
    std::optional<Error> disarm_error;
    bool counts = false;
    unsigned arms = 0;
    unsigned opens = 0;       ///< by who had not armed it
    unsigned absent_for = 0;  ///< its driver comes after so many of them
    unsigned feeds = 0;
  };
  FakeWatchdog watchdog;  ///< goes on counting over a kexec
  std::optional<Error> no_boot_default;
  std::optional<Error> default_not_set;  ///< though its program has passed
  bool booted_by_kexec = false;
  /// Of the target's image.
  std::string target_identity = "1000-0000beef";
  std::vector<KernelFile> kernel_files;
  /// What was run, and what comes of it.
  std::vector<RunProgram> programs;
  std::optional<Error> program_error;
  std::function<void(const RunProgram&)> on_program;
  /// What goes on by execve().
  std::vector<NamedDescriptor> executed_with;

  // ---- hooks
  /// What a stage's hooks end with; a stage that is not here has none.
  std::map<HookStage, std::vector<HookResult>> hooks;
  std::vector<UnsafeHook> unsafe_hooks;
  /// What was told: "freeze update immediate 7.3.1-new", and outcome and reason, if any.
  std::vector<std::string> hooks_told;
  std::map<HookStage, std::uint64_t> hooks_take_usec;

  // ---- effects
  /// Something outside the process is about to change. Throws ProcessEnded at the chosen one.
  void effect(const char* what);
  /// The `nth` effect of this name from now (1: the next) throws what no job expects.
  void bug_at(std::string name, std::uint64_t nth);
  [[nodiscard]] bool bug_is_ahead() const { return bug_in_ != 0; }
  /// The same where nothing may be thrown: false if the process is dead, and must do nothing more.
  [[nodiscard]] bool effect_noexcept(const char* what) noexcept;
  /// `nth` from now (1: the next); 0: never.
  void die_at(std::uint64_t nth);
  [[nodiscard]] bool die_at_is_set() const { return die_at_ != 0; }
  /// Throws if the process died where nothing may be thrown.
  void check_alive() const;
  [[nodiscard]] bool dead() const { return dead_; }
  void new_process() { dead_ = false; }
  void end_process() { dead_ = true; }
  [[nodiscard]] std::uint64_t effects() const { return effects_; }
  [[nodiscard]] const std::string& last_effect() const { return last_effect_; }
  /// What waits, and was called from the loop.
  std::set<std::string> waited_in_loop;

 private:
  std::uint64_t effects_ = 0;
  std::uint64_t die_at_ = 0;
  bool dead_ = false;
  std::string last_effect_;
  std::string bug_at_;
  std::uint64_t bug_in_ = 0;
};

}  // namespace handover::engine::test
