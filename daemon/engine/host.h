// SPDX-License-Identifier: LGPL-2.1-or-later
// The machine that the engine runs on: its clock, its loop and threads, its files, its kernel, and
// PID 1's fd store. engine/this_host.h is the real one; tests have one of their own.
//
// Threads: functions marked (waits) may wait for a disk, the kernel or PID 1. They are called from
// jobs on the pool, from any thread. All others are called from the loop and return at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/hook.h"
#include "core/kernel_ledger.h"
#include "core/preflight.h"
#include "core/timeline.h"
#include "core/unique_fd.h"
#include "core/update_options.h"

namespace handover::engine {

/// Jobs of one queue run one after the other, in their order.
using Queue = std::uint64_t;
inline constexpr Queue manifest_queue = 0;
inline constexpr Queue disk_queue = 1;    ///< history and pending record
inline constexpr Queue target_queue = 2;  ///< the target kernel, the module's tables
inline constexpr Queue health_queue = 3;  ///< the health command, which may take minutes
inline constexpr Queue hook_queue = 4;    ///< hooks that are only told
inline constexpr Queue kernel_queue = 5;  ///< the images of this host, which may be many
inline constexpr Queue module_queue = 6;  ///< a look at the companion module
inline constexpr Queue session_queues = 16;

/// A file under the state directory, which early in a boot may not be mounted yet.
struct StateFile {
  static constexpr std::string_view history = "history.json";
  static constexpr std::string_view pending = "pending.json";
  static constexpr std::string_view kernels = "kernels.json";
};

/// The target of an update, looked at and ready to be loaded. Image and initrd stay open, so that
/// what was inspected is what is loaded.
class Target {
 public:
  Target() = default;
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  virtual ~Target() = default;
};

struct LookedAt {
  std::shared_ptr<Target> target;
  UpdateOptions options;  ///< with everything that was left out filled in
  PreflightInput input;   ///< target, running kernel, command line, the target's module
};

struct Collapse {
  std::uint64_t bytes_huge = 0;
  std::uint64_t bytes_small = 0;
};

/// A program that is run to its end.
struct RunProgram {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  ///< "NAME=value", beside the daemon's own
  std::uint64_t timeout_usec = 0;
};

struct NamedDescriptor {
  std::string name;
  UniqueFd fd;
};

class Host {
 public:
  virtual ~Host() = default;

  // ---- clock
  [[nodiscard]] virtual Ticks now() = 0;
  [[nodiscard]] virtual std::uint64_t ticks_per_second() = 0;
  /// Now as RFC 3339.
  [[nodiscard]] virtual std::string wall_clock() = 0;

  // ---- this boot
  [[nodiscard]] virtual Result<std::string> boot_id() = 0;
  [[nodiscard]] virtual std::string kernel_release() = 0;
  /// Marks of the boot that the kernel and PID 1 made: kernel_started, init_started.
  virtual void mark_boot(Timeline& timeline) = 0;
  /// Whether a kexec led to this boot. Absent: the kernel does not say (arm64).
  [[nodiscard]] virtual std::optional<bool> booted_by_kexec() = 0;
  /// Bytes of memory of this host, for limits that follow it.
  [[nodiscard]] virtual std::uint64_t memory_bytes() = 0;

  // ---- loop and pool
  /// Runs `callback` once, `usec` from now, unless the alarm is destroyed before.
  using Alarm = std::shared_ptr<void>;
  [[nodiscard]] virtual Alarm after(std::uint64_t usec, std::function<void()> callback) = 0;
  /// From any thread: `callback` runs in the loop.
  virtual void post(std::function<void()> callback) = 0;
  /// Runs `callback` once, when everything that woke the loop up is dealt with.
  virtual void at_turn_end(std::function<void()> callback) = 0;
  /// `job` runs on the pool; what it returns runs in the loop.
  using Job = std::function<std::function<void()>()>;
  virtual void run(Queue queue, Job job) = 0;
  /// The same for an owner's queue (account_of()): he never has all threads.
  void run(const std::string& owner, Queue queue, Job job) {
    run_for(owner, queue, std::move(job));
  }
  virtual void run_for(const std::string& /*owner*/, Queue queue, Job job) {
    run(queue, std::move(job));
  }
  /// The jobs of this queue go before those of others.
  virtual void hurry(Queue queue) = 0;
  /// Waits for the jobs that run, and drops the others: whom they know may go afterwards.
  virtual void stop_jobs() = 0;
  /// Jobs that have not begun.
  [[nodiscard]] virtual std::size_t jobs_waiting() = 0;

  // ---- files
  /// The manifest of this boot, in the runtime directory (a tmpfs: no disk).
  virtual Result<std::string> read_manifest() = 0;
  virtual Result<void> replace_manifest(std::string_view text) = 0;
  virtual Result<void> append_manifest(std::string_view lines) = 0;
  /// (waits) io; ENOENT in sys_errno.
  virtual Result<std::string> read_state(std::string_view file) = 0;
  virtual Result<void> replace_state(std::string_view file, std::string_view text) = 0;
  virtual Result<void> remove_state(std::string_view file) = 0;
  /// (waits) Moves a file that cannot be read aside, to FILE.bad. Its new path.
  virtual Result<std::string> move_aside(std::string_view file) = 0;
  /// (waits)
  [[nodiscard]] virtual bool state_is_mounted() = 0;

  // ---- the next kernel
  /// (waits) Finds and inspects the target. `module`: the companion module is loaded here, so the
  /// target's is looked at, too. A target that is not there or not usable is a
  /// `input.target_problem`. invalid_argument, and what goes wrong with the running kernel.
  virtual Result<LookedAt> look_at(UpdateOptions options, bool module) = 0;
  /// (waits) The same where no kernel is booted: only a kernel that is named is inspected.
  virtual Result<LookedAt> look_at_emulated(UpdateOptions options) = 0;
  /// (waits) Whether `wanted` ("newest", a release, a path, an entry) means the kernel that is
  /// prepared. False also if there is no such kernel.
  virtual bool means_prepared(const std::string& wanted, const UpdateOptions& prepared) = 0;
  /// (waits) The kernel images of this host; which build they are is found out for those releases.
  virtual std::vector<KernelFile> kernel_files(const std::set<std::string>& identify) = 0;
  /// (waits) kexec_load_failed.
  virtual Result<void> load(const LookedAt& target) = 0;
  /// (waits)
  virtual Result<void> unload() = 0;
  /// (waits) The package managers at work.
  [[nodiscard]] virtual std::vector<PackageLock> package_locks() = 0;
  /// Whether somebody else has loaded a kernel for kexec. (waits)
  virtual Result<bool> kernel_loaded() = 0;
  /// (waits) Writes the local file systems' dirty pages out, for at most so long. The mount points
  /// of those that did not come to an end.
  virtual std::vector<std::string> sync(std::uint64_t timeout_usec) = 0;
  /// (waits) Turns small pages into huge ones, charged to that cgroup.
  virtual Result<Collapse> collapse(int fd, const std::string& cgroup,
                                    const std::function<void(std::uint64_t)>& progress,
                                    const std::atomic<bool>& cancel) = 0;
  /// Leaves this kernel. Returns only on failure: kexec_failed.
  virtual Error kexec() = 0;
  /// Executes the daemon again with these descriptors (emulated). Returns only on failure.
  virtual Error execute_again(std::vector<NamedDescriptor> fds) = 0;

  // ---- hooks
  /// (waits) Runs the stage's hooks, each for at most so long; `stop` ends them.
  virtual HookReport run_hooks(HookStage stage, const HookContext& context,
                               std::uint64_t limit_usec, const std::atomic<bool>& stop) = 0;
  /// (waits) Of all stages: those that are not run, since others than root could change them.
  [[nodiscard]] virtual std::vector<UnsafeHook> unsafe_hooks() = 0;

  // ---- the watchdog over the kexec
  /// (waits) Without opening it, which would start it.
  virtual WatchdogFacts watchdog_facts(const std::string& device) = 0;
  /// (waits) Starts it. The time in seconds, as its driver made it. busy, not_supported, io: unless
  /// it is stopped then, it may count.
  virtual Result<unsigned> arm_watchdog(const std::string& device, std::uint64_t timeout_usec) = 0;
  /// (waits)
  virtual Result<void> feed_watchdog() = 0;
  /// (waits) Stops what was armed, here or by an earlier kernel or process: it is opened for that,
  /// which starts it. busy: it cannot be stopped, and must be fed. io, as long as its driver is not
  /// there.
  virtual Result<void> stop_watchdog(const std::string& device) = 0;

  /// (waits) What makes that kernel the boot loader's default. not_supported, kernel_not_found.
  virtual Result<std::vector<std::string>> default_boot_command(const std::string& entry,
                                                                const std::string& release) = 0;
  /// (waits) Whether that command, which has passed, has done it. io.
  virtual Result<void> check_default_boot(const std::vector<std::string>& command) = 0;

  // ---- programs
  /// (waits) Runs it to its end, in a process group of its own, which is killed when the limit is
  /// over or `stop` is set. An error that says why, unless it ended with status 0.
  virtual Result<void> run_program(const RunProgram& program, const std::atomic<bool>& stop) = 0;

  // ---- PID 1
  /// How many descriptors the fd store takes; nullopt: there is none, or it does not say.
  [[nodiscard]] virtual std::optional<std::size_t> fd_store_limit() = 0;
  /// (waits)
  virtual Result<void> store_fd(const std::string& name, int fd) = 0;
  /// (waits) ETIMEDOUT in sys_errno: PID 1 does not read.
  virtual Result<void> forget_fd(const std::string& name) = 0;
  /// (waits) Until PID 1 has handled what was sent.
  virtual Result<void> barrier(std::uint64_t timeout_usec) = 0;
  /// The line that `systemctl status` shows.
  virtual void status(const std::string& line) = 0;

  /// What the loop, the pool and the log count, by the names of `Statistics`.
  [[nodiscard]] virtual std::map<std::string, std::uint64_t> statistics() = 0;
};

}  // namespace handover::engine
