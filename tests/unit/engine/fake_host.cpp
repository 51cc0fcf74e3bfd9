// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fake_host.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

namespace handover::engine::test {

namespace {

constexpr const char* manifest = "manifest.json";

const std::set<std::string> abi = {"kho-v4", "luo-v5", "memfd-v2"};

class LookedAtTarget final : public Target {};

Result<LookedAt> with_problem(LookedAt looked, const Error& problem) {
  if (!is_about_target(problem)) return fail(problem);
  looked.input.target_problem = problem;
  return looked;
}

}  // namespace

// ---- the loop

void FakeHost::turn(const std::function<void()>& what) {
  in_turn_ = true;
  try {
    what();
    end_turn();
  } catch (...) {
    in_turn_ = false;
    throw;
  }
  in_turn_ = false;
}

void FakeHost::end_turn() {
  while (!turn_end_.empty()) {
    const auto callback = std::move(turn_end_.front());
    turn_end_.pop_front();
    callback();
    machine_.check_alive();
  }
}

std::size_t FakeHost::choose(std::size_t count) {
  return seeded_ ? std::uniform_int_distribution<std::size_t>(0, count - 1)(random_) : 0;
}

/// What came first, and, with a seed, now and then only some of it.
bool FakeHost::run_posted() {
  if (posted_.empty() && turn_end_.empty()) return false;
  turn([this] {
    for (auto count = posted_.size() - (posted_.empty() ? 0 : choose(posted_.size())); count > 0;
         --count) {
      const auto callback = std::move(posted_.front());
      posted_.pop_front();
      callback();
      machine_.check_alive();
    }
  });
  return true;
}

std::vector<FakeHost::Jobs::iterator> FakeHost::runnable() {
  std::vector<Jobs::iterator> all;
  std::vector<Jobs::iterator> hurried;
  std::set<Queue> seen;
  for (auto it = jobs_.begin(); it != jobs_.end(); ++it) {
    if (held_.contains(it->queue) || !seen.insert(it->queue).second) continue;
    all.push_back(it);
    if (hurried_.contains(it->queue)) hurried.push_back(it);
  }
  return hurried.empty() ? all : hurried;
}

bool FakeHost::run_job() {
  const auto ready = runnable();
  if (ready.empty()) return false;
  const auto chosen = ready.at(choose(ready.size()));
  const auto job = std::move(chosen->job);
  jobs_.erase(chosen);
  try {
    if (auto then = job()) posted_.push_back(std::move(then));
  } catch (const std::exception&) {
    // As the pool: logged, and nothing follows.
  }
  machine_.check_alive();
  return true;
}

bool FakeHost::step() {
  // A loop that is busy does not hold up the pool, nor the other way round.
  if (choose(2) == 0) return run_posted() || run_job();
  return run_job() || run_posted();
}

Host::Alarm FakeHost::after(std::uint64_t usec, std::function<void()> callback) {
  return machine_.clock.after(usec, [this, callback = std::move(callback)] { turn(callback); });
}

void FakeHost::run(Queue queue, Job job) { jobs_.push_back({queue, std::move(job)}); }

// ---- this boot

void FakeHost::mark_boot(Timeline& timeline) {
  timeline.marks[Mark::kernel_started] = now();
  timeline.marks[Mark::init_started] = now();
}

// ---- files

Result<void> FakeHost::replace_manifest(std::string_view text) {
  machine_.effect("replace_manifest");
  return machine_.runtime.replace(manifest, text);
}

Result<void> FakeHost::append_manifest(std::string_view lines) {
  machine_.effect("append_manifest");
  return machine_.runtime.append(manifest, lines);
}

Result<void> FakeHost::replace_state(std::string_view file, std::string_view text) {
  waits("replace_state");
  machine_.effect("replace_state");
  return machine_.state.replace(file, text);
}

Result<void> FakeHost::remove_state(std::string_view file) {
  waits("remove_state");
  machine_.effect("remove_state");
  return machine_.state.remove(file);
}

Result<std::string> FakeHost::move_aside(std::string_view file) {
  waits("move_aside");
  machine_.effect("move_aside");
  auto text = machine_.state.read(file);
  if (!text) return text;
  const auto path = std::string(file) + ".bad";
  if (auto written = machine_.state.replace(path, *text); !written) return fail(written.error());
  if (auto removed = machine_.state.remove(file); !removed) return fail(removed.error());
  return path;
}

// ---- the next kernel

Result<LookedAt> FakeHost::look_at(UpdateOptions options, bool module) {
  waits("look_at");
  LookedAt looked;
  looked.input.running.release = machine_.release;
  looked.input.running.kho_enabled = !machine_.kho_off;
  looked.input.running.luo_available = true;
  if (machine_.look_error) return with_problem(std::move(looked), *machine_.look_error);
  if (options.kernel.empty() || machine_.names_of_target.contains(options.kernel)) {
    options.kernel = "/boot/vmlinuz-7.3.1-new";
  }
  options.cmdline = ensure_cmdline(options.cmdline);
  looked.target = std::make_shared<LookedAtTarget>();
  looked.input.target = KernelImage{options.kernel, "7.3.1-new", abi};
  looked.input.target->identity = machine_.target_identity;
  looked.input.target_entry = "new-entry";
  looked.input.running.release = machine_.release;
  looked.input.running.abi = abi;
  looked.input.target_cmdline = options.cmdline;
  // As the loaded one writes it (FakeTracker::info()).
  looked.input.initrd_missing = machine_.initrd_missing;
  looked.input.modules_missing = machine_.modules_missing;
  looked.input.host.emplace().package_locks = machine_.package_locks;
  if (module && !machine_.modules_missing)
    looked.input.module.target = KernelModule{"handover.ko", "1"};
  looked.options = std::move(options);
  return looked;
}

Result<LookedAt> FakeHost::look_at_emulated(UpdateOptions options) {
  waits("look_at_emulated");
  LookedAt looked;
  if (machine_.look_error) return with_problem(std::move(looked), *machine_.look_error);
  looked.options = std::move(options);
  return looked;
}

bool FakeHost::means_prepared(const std::string& wanted, const UpdateOptions& prepared) {
  waits("means_prepared");
  return prepared.kernel == "/boot/vmlinuz-7.3.1-new" && machine_.names_of_target.contains(wanted);
}

std::vector<KernelFile> FakeHost::kernel_files(const std::set<std::string>& identify) {
  waits("kernel_files");
  auto files = machine_.kernel_files;
  for (auto& file : files) {
    if (!identify.contains(file.kernel.release)) file.kernel.image.clear();
  }
  return files;
}

Result<void> FakeHost::load(const LookedAt& target) {
  if (dynamic_cast<const LookedAtTarget*>(target.target.get()) == nullptr) {
    return fail(ErrorCode::internal, "No target was looked at.");
  }
  waits("load");
  machine_.effect("load");
  if (machine_.load_error) return fail(*machine_.load_error);
  machine_.target_loaded = true;
  ++machine_.loads;
  return {};
}

Result<void> FakeHost::unload() {
  waits("unload");
  machine_.effect("unload");
  machine_.target_loaded = false;
  return {};
}

std::vector<std::string> FakeHost::sync(std::uint64_t timeout_usec) {
  waits("sync");
  machine_.effect("sync");
  ++machine_.syncs;
  machine_.clock.pass(std::min(timeout_usec, machine_.sync_takes_usec));
  if (machine_.sync_takes_usec > timeout_usec) return {"/mnt/slow"};
  return {};
}

Result<Collapse> FakeHost::collapse(int fd, const std::string& /*cgroup*/,
                                    const std::function<void(std::uint64_t)>& progress,
                                    const std::atomic<bool>& cancel) {
  waits("collapse");
  machine_.effect("collapse");
  if (cancel) return fail(ErrorCode::cancelled, "The collapse was cancelled.");
  struct stat status {};
  if (fstat(fd, &status) != 0) return fail_errno("fstat");
  ++machine_.collapses;
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  progress(bytes);
  return Collapse{bytes, 0};
}

Error FakeHost::kexec() {
  machine_.effect("kexec");
  if (machine_.kexec_error) return *machine_.kexec_error;
  if (!machine_.target_loaded) {
    return Error{ErrorCode::kexec_failed, "reboot: Invalid argument: no kernel is loaded."};
  }
  if (machine_.on_kexec) machine_.on_kexec();
  throw ProcessEnded{ProcessEnded::Why::kexec};
}

Error FakeHost::execute_again(std::vector<NamedDescriptor> fds) {
  machine_.effect("execute_again");
  if (machine_.kexec_error) return *machine_.kexec_error;
  machine_.executed_with = std::move(fds);
  throw ProcessEnded{ProcessEnded::Why::executed_again};
}

// ---- hooks

HookReport FakeHost::run_hooks(HookStage stage, const HookContext& context,
                               std::uint64_t limit_usec, const std::atomic<bool>& stop) {
  HookReport report;
  const auto found = machine_.hooks.find(stage);
  if (found == machine_.hooks.end() || stop) return report;
  waits("run_hooks");
  machine_.effect("run_hooks");
  std::string told(to_string(stage));
  for (const auto& word :
       {context.job, context.mode, context.to, context.outcome, context.reason}) {
    if (!word.empty()) told += " " + word;
  }
  machine_.hooks_told.push_back(told);
  for (auto result : found->second) {
    const auto takes = machine_.hooks_take_usec[stage];
    machine_.clock.pass(std::min(takes, limit_usec));
    result.usec = std::min(takes, limit_usec);
    if (takes > limit_usec) result.end = HookEnd::timed_out;
    report.results.push_back(std::move(result));
  }
  return report;
}

// ---- the watchdog

WatchdogFacts FakeHost::watchdog_facts(const std::string& device) {
  waits("watchdog_facts");
  auto facts = machine_.watchdog.facts;
  facts.device = device;
  return facts;
}

Result<unsigned> FakeHost::arm_watchdog(const std::string& /*device*/, std::uint64_t timeout_usec) {
  waits("arm_watchdog");
  machine_.effect("arm_watchdog");
  auto& watchdog = machine_.watchdog;
  if (watchdog.arm_error) return fail(*watchdog.arm_error);
  watchdog_open_ = true;
  watchdog.counts = true;
  ++watchdog.arms;
  return static_cast<unsigned>(timeout_usec / 1'000'000);
}

Result<void> FakeHost::feed_watchdog() {
  waits("feed_watchdog");
  machine_.effect("feed_watchdog");
  if (watchdog_open_) ++machine_.watchdog.feeds;
  return {};
}

Result<void> FakeHost::stop_watchdog(const std::string& /*device*/) {
  waits("stop_watchdog");
  machine_.effect("stop_watchdog");
  auto& watchdog = machine_.watchdog;
  if (!watchdog_open_) {
    ++watchdog.opens;
    if (watchdog.absent_for > 0) {
      --watchdog.absent_for;
      return fail(ErrorCode::io, "cannot open the watchdog: it is not there", ENOENT);
    }
    watchdog_open_ = true;
    watchdog.counts = true;
  }
  if (watchdog.disarm_error) return fail(*watchdog.disarm_error);
  watchdog_open_ = false;
  watchdog.counts = false;
  return {};
}

Result<std::vector<std::string>> FakeHost::default_boot_command(const std::string& entry,
                                                                const std::string& release) {
  waits("default_boot_command");
  if (machine_.no_boot_default) return fail(*machine_.no_boot_default);
  return std::vector<std::string>{"/usr/bin/bootctl", "set-default", entry, release};
}

// ---- programs

Result<void> FakeHost::run_program(const RunProgram& program, const std::atomic<bool>& stop) {
  waits("run_program");
  machine_.effect("run_program");
  machine_.programs.push_back(program);
  if (machine_.on_program) machine_.on_program(program);
  if (stop) return fail(ErrorCode::io, "it was stopped with handoverd");
  if (machine_.program_error) return fail(*machine_.program_error);
  return {};
}

// ---- PID 1

Result<void> FakeHost::store_fd(const std::string& name, int fd) {
  waits("store_fd");
  machine_.effect("store_fd");
  if (const auto usec = machine_.fd_store.full_usec; usec != 0) {
    machine_.clock.pass(usec);
    return fail_errno("Storing '" + name + "'", ETIMEDOUT);
  }
  return machine_.fd_store.store(name, fd);
}

Result<void> FakeHost::forget_fd(const std::string& name) {
  waits("forget_fd");
  machine_.effect("forget_fd");
  if (const auto usec = machine_.fd_store.full_usec; usec != 0) {
    machine_.clock.pass(usec);
    return fail_errno("Forgetting '" + name + "'", ETIMEDOUT);
  }
  machine_.fd_store.forget(name);
  machine_.clock.later(1'000, [&store = machine_.fd_store] { store.close_forgotten(); });
  return {};
}

Result<void> FakeHost::barrier(std::uint64_t /*timeout_usec*/) {
  waits("barrier");
  machine_.effect("barrier");
  machine_.fd_store.close_forgotten();
  return {};
}

}  // namespace handover::engine::test
