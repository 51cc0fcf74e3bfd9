// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/this_host.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/preflight.h"
#include "core/text.h"
#include "system/boot.h"
#include "system/boot_listing.h"
#include "system/child.h"
#include "system/collapse.h"
#include "system/command_run.h"
#include "system/default_boot.h"
#include "system/disk.h"
#include "system/files.h"
#include "system/hook_run.h"
#include "system/host_facts.h"
#include "system/initrd.h"
#include "system/kernel_config.h"
#include "system/kernel_files.h"
#include "system/kernel_image.h"
#include "system/kernel_module.h"
#include "system/kexec.h"
#include "system/log.h"
#include "system/notify.h"
#include "system/package_locks.h"
#include "system/room_facts.h"
#include "system/sync.h"
#include "system/target.h"

namespace handover::engine {

namespace {

/// Most jobs wait for the kernel or PID 1, not for a processor. Half of them are one owner's at
/// most.
constexpr unsigned pool_threads = 16;
constexpr std::uint64_t log_flush_usec = 100'000;

/// The target's files, open from the look until the kexec.
class OpenTarget final : public Target {
 public:
  explicit OpenTarget(system::KexecImage opened) : image(std::move(opened)) {}
  system::KexecImage image;
};

/// What cannot be a directory's name is not known to be missing.
bool has_modules(const std::string& release) {
  if (release.empty() || release.find('/') != std::string::npos || release.starts_with('.')) {
    return true;
  }
  std::error_code error;
  return std::filesystem::is_directory("/lib/modules/" + release, error) || error.value() == EACCES;
}

}  // namespace

ThisHost::ThisHost(system::Loop& loop, Places places)
    : loop_(loop),
      places_(std::move(places)),
      pool_(std::make_unique<system::Pool>(loop, pool_threads)) {}

ThisHost::~ThisHost() = default;

// ---- clock and boot

Ticks ThisHost::now() { return system::counter_now(); }
/// Each call of the daemon's asks for it. The longer ago the start, the longer the answer is good.
std::uint64_t ThisHost::ticks_per_second() {
  const auto now = system::counter_now();
  if (now < frequency_until_) return frequency_;
  constexpr Ticks share = 8;
  if (first_asked_ == 0) first_asked_ = now;
  const auto measured = system::counter_frequency(0);
  frequency_ = measured;
  frequency_until_ = now + (now - first_asked_) / share;
  return measured;
}
std::string ThisHost::wall_clock() { return system::now_rfc3339(); }

Result<std::string> ThisHost::boot_id() { return system::boot_id(); }

std::string ThisHost::kernel_release() { return system::kernel_release(); }

void ThisHost::mark_boot(Timeline& timeline) {
  const auto begin = system::counter_at_kernel_start(timeline.ticks_per_second);
  timeline.marks[Mark::kernel_started] = begin;
  if (const auto init = system::init_start_usec()) {
    timeline.marks[Mark::init_started] =
        begin + *init * timeline.ticks_per_second / UINT64_C(1'000'000);
  }
}

std::optional<bool> ThisHost::booted_by_kexec() { return system::booted_by_kexec(); }

std::uint64_t ThisHost::memory_bytes() {
  const auto pages = sysconf(_SC_PHYS_PAGES);
  const auto size = sysconf(_SC_PAGESIZE);
  if (pages <= 0 || size <= 0) return 0;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(size);
}

// ---- loop and pool

Host::Alarm ThisHost::after(std::uint64_t usec, std::function<void()> callback) {
  return std::make_shared<system::Timer>(loop_.after(usec, std::move(callback)));
}

void ThisHost::post(std::function<void()> callback) { loop_.post(std::move(callback)); }
void ThisHost::at_turn_end(std::function<void()> callback) {
  loop_.at_turn_end(std::move(callback));
}

void ThisHost::run(Queue queue, Job job) {
  if (pool_) pool_->run(queue, std::move(job));
}

void ThisHost::run_for(const std::string& owner, Queue queue, Job job) {
  if (pool_) pool_->run(queue, std::move(job), owner);
}

void ThisHost::hurry(Queue queue) {
  if (pool_) pool_->hurry(queue);
}

void ThisHost::stop_jobs() { pool_.reset(); }
std::size_t ThisHost::jobs_waiting() { return pool_ ? pool_->waiting() : 0; }

// ---- files

std::string ThisHost::manifest_path() const { return places_.runtime_directory + "/manifest.json"; }

std::string ThisHost::state_path(std::string_view file) const {
  return places_.state_directory + "/" + std::string(file);
}

Result<std::string> ThisHost::read_manifest() { return system::read_file(manifest_path()); }

Result<void> ThisHost::replace_manifest(std::string_view text) {
  auto written = system::replace_file(manifest_path(), text, /*durable=*/false);
  if (!written) return written;
  manifest_.reset(open(manifest_path().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!manifest_) return fail_errno("open " + manifest_path());
  return {};
}

Result<void> ThisHost::append_manifest(std::string_view lines) {
  if (!manifest_) return fail(ErrorCode::io, manifest_path() + " is not open.");
  const auto written = write(manifest_.get(), lines.data(), lines.size());
  if (written < 0) return fail_errno("write " + manifest_path());
  if (static_cast<std::size_t>(written) != lines.size()) {
    return fail(ErrorCode::io, "There is no room for " + manifest_path() + ".", ENOSPC);
  }
  return {};
}

Result<std::string> ThisHost::read_state(std::string_view file) {
  return system::read_from_disk(state_path(file));
}

Result<void> ThisHost::replace_state(std::string_view file, std::string_view text) {
  return system::replace_file(state_path(file), text, /*durable=*/true);
}

Result<void> ThisHost::remove_state(std::string_view file) {
  return system::remove_file(state_path(file));
}

Result<std::string> ThisHost::move_aside(std::string_view file) {
  const auto path = state_path(file);
  auto aside = path + ".bad";
  if (auto renamed = system::rename_on_disk(path, aside); !renamed) return fail(renamed.error());
  return aside;
}

bool ThisHost::state_is_mounted() { return system::is_directory_on_disk(places_.state_directory); }

// ---- the next kernel

namespace {

/// What is wrong with the target becomes part of what was seen.
Result<LookedAt> with_problem(LookedAt looked, const Result<void>& seen) {
  if (seen) return looked;
  if (!is_about_target(seen.error())) return fail(seen.error());
  looked.input.target.reset();
  looked.input.target_problem = seen.error();
  return looked;
}

/// Fills in `looked`, of which the running kernel is known.
Result<void> look_at_target(LookedAt& looked, UpdateOptions options, bool module) {
  const RunningKernel& running = looked.input.running;
  auto found = system::find_target(options, running.release);
  if (!found) return fail(found.error());
  looked.input.target_why = found->why;
  looked.input.target_entry = found->entry;
  looked.input.uki_addons = std::move(found->addons);
  auto inspected = system::inspect_kernel(found->image.kernel.get(), options.kernel);
  if (!inspected) return fail(inspected.error());
  if (!inspected->not_loadable.empty()) {
    return fail(ErrorCode::not_a_kernel, options.kernel + " " + inspected->not_loadable);
  }
  auto& target = inspected->image;
  if (auto opened = system::open_its_initrd(*found, options, target.release); !opened) {
    return fail(opened.error());
  }
  if (found->image.initrd) {
    auto initrd = system::inspect_initrd(found->image.initrd->get(), found->image.initrd_path);
    if (!initrd) return fail(initrd.error());
    looked.input.initrd = std::move(*initrd);
  }
  looked.input.initrd_missing = found->no_initrd_found && running.has_initrd;
  looked.input.modules_missing = has_modules(running.release) && !has_modules(target.release);
  const auto config = system::kernel_config(options.kernel, target.release);
  target.no_config = config.empty();
  target.built_in = built_in_cmdline(config);
  if (options.cmdline.empty()) options.cmdline = found->cmdline;
  if (options.cmdline.empty()) {
    options.cmdline = given_cmdline(running.cmdline, running.built_in, target.built_in);
  }
  if (auto checked = check_cmdline_text(options.cmdline); !checked) return fail(checked.error());
  options.cmdline = ensure_cmdline(options.cmdline);
  looked.input.target = std::move(target);
  looked.input.target_cmdline = options.cmdline;
  // Also if nothing needs it yet: clients are about to preserve more.
  if (module) {
    auto companion = system::find_companion_module(looked.input.target->release);
    if (companion) {
      looked.input.module.target = *companion;
      auto& target_module = looked.input.module.target;
      if (target_module) {
        target_module->blocked_by = system::blocker_of_module("handover", options.cmdline);
      }
    } else {
      looked.input.module.problem = companion.error().message;
    }
  }
  looked.options = std::move(options);
  looked.target = std::make_shared<OpenTarget>(std::move(found->image));
  return {};
}

}  // namespace

Result<LookedAt> ThisHost::look_at(UpdateOptions options, bool module) {
  LookedAt looked;
  // Before anything there is opened.
  if (auto answers = system::boot_answers(); !answers) return fail(answers.error());
  auto running = system::running_kernel();
  if (!running) return fail(running.error());
  looked.input.running = std::move(*running);
  // What the target would have, as long as nothing more is known of it.
  const auto& cmdline = options.cmdline.empty() ? looked.input.running.cmdline : options.cmdline;
  looked.input.target_cmdline = cmdline;
  const auto seen = look_at_target(looked, std::move(options), module);
  looked.input.host = system::host_facts(looked.input.target_cmdline, looked.input.initrd);
  looked.input.room = system::room_facts(places_.runtime_directory, places_.state_directory);
  return with_problem(std::move(looked), seen);
}

/// Nothing is booted; but a target that was named on purpose must be one.
Result<LookedAt> ThisHost::look_at_emulated(UpdateOptions options) {
  LookedAt looked;
  Result<void> seen;
  if (!options.kernel.empty()) {
    auto found = system::find_target(options, system::kernel_release());
    if (!found) {
      seen = fail(found.error());
    } else if (auto target = system::inspect_kernel(found->image.kernel.get(), options.kernel);
               !target) {
      seen = fail(target.error());
    }
  }
  looked.options = std::move(options);
  return with_problem(std::move(looked), seen);
}

bool ThisHost::means_prepared(const std::string& wanted, const UpdateOptions& prepared) {
  return system::means_target(wanted, prepared, system::kernel_release());
}

std::vector<KernelFile> ThisHost::kernel_files(const std::set<std::string>& identify) {
  return system::kernel_files(identify);
}

std::vector<PackageLock> ThisHost::package_locks() { return system::package_locks(); }

Result<void> ThisHost::load(const LookedAt& target) {
  const auto* open = dynamic_cast<const OpenTarget*>(target.target.get());
  if (open == nullptr) return fail(ErrorCode::internal, "No target was looked at.");
  return system::load_kernel(open->image, target.options.cmdline);
}

Result<void> ThisHost::unload() { return system::unload_kernel(); }
Result<bool> ThisHost::kernel_loaded() { return system::kernel_loaded(); }

std::vector<std::string> ThisHost::sync(std::uint64_t timeout_usec) {
  std::vector<std::string> unfinished;
  for (const auto& one : system::sync_file_systems(timeout_usec).unsynced) {
    unfinished.push_back(system::to_text(one));
  }
  return unfinished;
}

Result<Collapse> ThisHost::collapse(int fd, const std::string& cgroup,
                                    const std::function<void(std::uint64_t)>& progress,
                                    const std::atomic<bool>& cancel) {
  auto collapsed = system::collapse_memfd(fd, progress, cancel, cgroup);
  if (!collapsed) return fail(collapsed.error());
  return Collapse{collapsed->bytes_huge, collapsed->bytes_small};
}

Error ThisHost::kexec() { return system::kexec_now(); }

Error ThisHost::execute_again(std::vector<NamedDescriptor> fds) {
  std::vector<system::NamedFd> passed;
  passed.reserve(fds.size());
  for (auto& fd : fds) passed.push_back({std::move(fd.name), std::move(fd.fd)});
  log::flush(log_flush_usec);
  return system::reexec(places_.argv, passed, {"HANDOVER_EMULATED_KEXEC=1"});
}

// ---- hooks

HookReport ThisHost::run_hooks(HookStage stage, const HookContext& context,
                               std::uint64_t limit_usec, const std::atomic<bool>& stop) {
  return system::run_hooks(places_.hooks, stage, context, limit_usec, stop);
}

std::vector<UnsafeHook> ThisHost::unsafe_hooks() { return system::unsafe_hooks(places_.hooks); }

// ---- the watchdog

WatchdogFacts ThisHost::watchdog_facts(const std::string& device) {
  return system::watchdog_facts(device);
}

Result<unsigned> ThisHost::arm_watchdog(const std::string& device, std::uint64_t timeout_usec) {
  auto opened = system::Watchdog::open(device);
  if (!opened) return fail(opened.error());
  watchdog_ = std::move(*opened);
  const auto armed = watchdog_->arm(timeout_usec);
  if (armed) return watchdog_->timeout_seconds();
  if (!watchdog_->is_open()) watchdog_.reset();
  return fail(armed.error());
}

Result<void> ThisHost::feed_watchdog() { return watchdog_ ? watchdog_->feed() : Result<void>{}; }

Result<void> ThisHost::stop_watchdog(const std::string& device) {
  if (!watchdog_) {
    auto opened = system::Watchdog::open(device);
    // Somebody else has it, and feeds it.
    if (!opened && opened.error().sys_errno == EBUSY) return {};
    if (!opened) return fail(opened.error());
    watchdog_ = std::move(*opened);
  }
  auto stopped = watchdog_->disarm();
  if (stopped) watchdog_.reset();
  return stopped;
}

Result<std::vector<std::string>> ThisHost::default_boot_command(const std::string& entry,
                                                                const std::string& release) {
  return system::default_boot_command(entry, release);
}

Result<void> ThisHost::check_default_boot(const std::vector<std::string>& command) {
  return system::check_default_boot(command);
}

// ---- programs

Result<void> ThisHost::run_program(const RunProgram& program, const std::atomic<bool>& stop) {
  return system::run_command(program.argv, program.environment, program.timeout_usec, stop);
}

// ---- PID 1

std::optional<std::size_t> ThisHost::fd_store_limit() { return system::fd_store_limit(); }
Result<void> ThisHost::store_fd(const std::string& name, int fd) {
  return system::store_fd(name, fd);
}
Result<void> ThisHost::forget_fd(const std::string& name) { return system::forget_fd(name); }
Result<void> ThisHost::barrier(std::uint64_t timeout_usec) {
  return system::notify_barrier(timeout_usec);
}
void ThisHost::status(const std::string& line) { system::notify_status(line); }

std::map<std::string, std::uint64_t> ThisHost::statistics() {
  return {{"loop-turns", loop_.turns()},
          {"loop-late-turns", loop_.late_turns()},
          {"loop-longest-turn-usec", loop_.longest_turn_usec()},
          {"log-dropped", log::dropped()},
          {"log-waiting", log::waiting()},
          {"owners-not-charged", system::calls_moved_here()},
          {"pool-busy", pool_ ? pool_->busy() : 0}};
}

}  // namespace handover::engine
