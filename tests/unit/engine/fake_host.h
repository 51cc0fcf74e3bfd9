// SPDX-License-Identifier: LGPL-2.1-or-later
// One process of the daemon on a Machine: its loop and its pool, run step by step in one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "engine/host.h"
#include "machine.h"

namespace handover::engine::test {

class FakeHost final : public Host {
 public:
  /// `seed` 0: jobs run in the order in which they came; else in an order of that seed. The order
  /// within a queue is kept.
  explicit FakeHost(Machine& machine, std::uint64_t seed = 0) : machine_(machine), random_(seed) {
    seeded_ = seed != 0;
  }

  // ---- what a test does with it
  /// Runs `what` as a turn of the loop, with everything that ends a turn.
  void turn(const std::function<void()>& what);
  /// One turn or one job; false if there is nothing to do now.
  bool step();
  /// While a queue is held, no job of it begins: its thread waits for the disk, or for the kernel.
  void hold(Queue queue) { held_.insert(queue); }
  void release(Queue queue) { held_.erase(queue); }
  [[nodiscard]] bool is_hurried(Queue queue) const { return hurried_.contains(queue); }
  [[nodiscard]] const std::string& status_line() const { return status_; }

  // ---- Host
  Ticks now() override { return machine_.clock.now_usec(); }
  std::uint64_t ticks_per_second() override { return 1'000'000; }
  std::string wall_clock() override { return "2026-11-29T12:00:00Z"; }
  Result<std::string> boot_id() override {
    if (machine_.boot_id_error) return fail(*machine_.boot_id_error);
    return machine_.boot_id;
  }
  std::string kernel_release() override { return machine_.release; }
  void mark_boot(Timeline& timeline) override;
  std::optional<bool> booted_by_kexec() override { return machine_.booted_by_kexec; }
  std::uint64_t memory_bytes() override { return std::uint64_t{16} << 30U; }

  Alarm after(std::uint64_t usec, std::function<void()> callback) override;
  void post(std::function<void()> callback) override { posted_.push_back(std::move(callback)); }
  void at_turn_end(std::function<void()> callback) override {
    turn_end_.push_back(std::move(callback));
  }
  void run(Queue queue, Job job) override;
  void hurry(Queue queue) override { hurried_.insert(queue); }
  void stop_jobs() override { jobs_.clear(); }
  std::size_t jobs_waiting() override { return jobs_.size(); }

  Result<std::string> read_manifest() override { return machine_.runtime.read("manifest.json"); }
  Result<void> replace_manifest(std::string_view text) override;
  Result<void> append_manifest(std::string_view lines) override;
  Result<std::string> read_state(std::string_view file) override {
    waits("read_state");
    return machine_.state.read(file);
  }
  Result<void> replace_state(std::string_view file, std::string_view text) override;
  Result<void> remove_state(std::string_view file) override;
  Result<std::string> move_aside(std::string_view file) override;
  bool state_is_mounted() override {
    waits("state_is_mounted");
    return machine_.state.mounted;
  }

  Result<LookedAt> look_at(UpdateOptions options, bool module) override;
  Result<LookedAt> look_at_emulated(UpdateOptions options) override;
  bool means_prepared(const std::string& wanted, const UpdateOptions& prepared) override;
  std::vector<KernelFile> kernel_files(const std::set<std::string>& identify) override;
  std::vector<PackageLock> package_locks() override {
    waits("package_locks");
    return machine_.package_locks;
  }
  Result<void> load(const LookedAt& target) override;
  Result<void> unload() override;
  Result<bool> kernel_loaded() override {
    waits("kernel_loaded");
    return machine_.target_loaded;
  }
  std::vector<std::string> sync(std::uint64_t timeout_usec) override;
  Result<Collapse> collapse(int fd, const std::string& cgroup,
                            const std::function<void(std::uint64_t)>& progress,
                            const std::atomic<bool>& cancel) override;
  Error kexec() override;
  Error execute_again(std::vector<NamedDescriptor> fds) override;

  HookReport run_hooks(HookStage stage, const HookContext& context, std::uint64_t limit_usec,
                       const std::atomic<bool>& stop) override;
  std::vector<UnsafeHook> unsafe_hooks() override {
    waits("unsafe_hooks");
    return machine_.unsafe_hooks;
  }

  WatchdogFacts watchdog_facts(const std::string& device) override;
  Result<unsigned> arm_watchdog(const std::string& device, std::uint64_t timeout_usec) override;
  Result<void> feed_watchdog() override;
  Result<void> stop_watchdog(const std::string& device) override;

  Result<std::vector<std::string>> default_boot_command(const std::string& entry,
                                                        const std::string& release) override;
  Result<void> check_default_boot(const std::vector<std::string>& /*command*/) override {
    if (machine_.default_not_set) return fail(*machine_.default_not_set);
    return {};
  }

  Result<void> run_program(const RunProgram& program, const std::atomic<bool>& stop) override;

  std::optional<std::size_t> fd_store_limit() override { return machine_.fd_store.limit; }
  Result<void> store_fd(const std::string& name, int fd) override;
  Result<void> forget_fd(const std::string& name) override;
  Result<void> barrier(std::uint64_t timeout_usec) override;
  void status(const std::string& line) override { status_ = line; }
  std::map<std::string, std::uint64_t> statistics() override { return {}; }

 private:
  struct Waiting {
    Queue queue = 0;
    Job job;
  };
  using Jobs = std::deque<Waiting>;

  /// What does so in the real host is not for the loop.
  void waits(const char* what) {
    if (in_turn_) machine_.waited_in_loop.insert(what);
  }
  void end_turn();
  bool run_posted();
  bool run_job();
  /// Of those whose turn it may be, in their queues.
  [[nodiscard]] std::vector<Jobs::iterator> runnable();
  [[nodiscard]] std::size_t choose(std::size_t count);

  Machine& machine_;
  std::mt19937_64 random_;
  bool seeded_ = false;
  std::deque<std::function<void()>> posted_;
  std::deque<std::function<void()>> turn_end_;
  bool in_turn_ = false;
  Jobs jobs_;
  std::set<Queue> held_;
  std::set<Queue> hurried_;
  std::string status_;
  bool watchdog_open_ = false;
};

}  // namespace handover::engine::test
