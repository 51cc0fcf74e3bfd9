// SPDX-License-Identifier: LGPL-2.1-or-later
// The machine that the daemon runs on, as the engine sees it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/host.h"
#include "system/loop.h"
#include "system/pool.h"
#include "system/watchdog.h"

namespace handover::engine {

class ThisHost final : public Host {
 public:
  struct Places {
    std::string runtime_directory;   ///< manifest.json of this boot
    std::string state_directory;     ///< history.json, pending.json, kernels.json
    std::vector<std::string> argv;   ///< to execute ourselves again (emulated)
    std::vector<std::string> hooks;  ///< directories like /etc/handover/hooks.d, the first one wins
  };
  ThisHost(system::Loop& loop, Places places);
  ~ThisHost() override;

  Ticks now() override;
  std::uint64_t ticks_per_second() override;
  std::string wall_clock() override;
  Result<std::string> boot_id() override;
  std::string kernel_release() override;
  void mark_boot(Timeline& timeline) override;
  std::optional<bool> booted_by_kexec() override;
  std::uint64_t memory_bytes() override;

  Alarm after(std::uint64_t usec, std::function<void()> callback) override;
  void post(std::function<void()> callback) override;
  void at_turn_end(std::function<void()> callback) override;
  void run(Queue queue, Job job) override;
  void run_for(const std::string& owner, Queue queue, Job job) override;
  void hurry(Queue queue) override;
  void stop_jobs() override;
  std::size_t jobs_waiting() override;

  Result<std::string> read_manifest() override;
  Result<void> replace_manifest(std::string_view text) override;
  Result<void> append_manifest(std::string_view lines) override;
  Result<std::string> read_state(std::string_view file) override;
  Result<void> replace_state(std::string_view file, std::string_view text) override;
  Result<void> remove_state(std::string_view file) override;
  Result<std::string> move_aside(std::string_view file) override;
  bool state_is_mounted() override;

  Result<LookedAt> look_at(UpdateOptions options, bool module) override;
  Result<LookedAt> look_at_emulated(UpdateOptions options) override;
  bool means_prepared(const std::string& wanted, const UpdateOptions& prepared) override;
  std::vector<KernelFile> kernel_files(const std::set<std::string>& identify) override;
  std::vector<PackageLock> package_locks() override;
  Result<void> load(const LookedAt& target) override;
  Result<void> unload() override;
  Result<bool> kernel_loaded() override;
  std::vector<std::string> sync(std::uint64_t timeout_usec) override;
  Result<Collapse> collapse(int fd, const std::string& cgroup,
                            const std::function<void(std::uint64_t)>& progress,
                            const std::atomic<bool>& cancel) override;
  Error kexec() override;
  Error execute_again(std::vector<NamedDescriptor> fds) override;

  HookReport run_hooks(HookStage stage, const HookContext& context, std::uint64_t limit_usec,
                       const std::atomic<bool>& stop) override;
  std::vector<UnsafeHook> unsafe_hooks() override;

  WatchdogFacts watchdog_facts(const std::string& device) override;
  Result<unsigned> arm_watchdog(const std::string& device, std::uint64_t timeout_usec) override;
  Result<void> feed_watchdog() override;
  Result<void> stop_watchdog(const std::string& device) override;

  Result<std::vector<std::string>> default_boot_command(const std::string& entry,
                                                        const std::string& release) override;
  Result<void> check_default_boot(const std::vector<std::string>& command) override;

  Result<void> run_program(const RunProgram& program, const std::atomic<bool>& stop) override;

  std::optional<std::size_t> fd_store_limit() override;
  Result<void> store_fd(const std::string& name, int fd) override;
  Result<void> forget_fd(const std::string& name) override;
  Result<void> barrier(std::uint64_t timeout_usec) override;
  void status(const std::string& line) override;
  std::map<std::string, std::uint64_t> statistics() override;

 private:
  [[nodiscard]] std::string manifest_path() const;
  [[nodiscard]] std::string state_path(std::string_view file) const;

  system::Loop& loop_;
  Places places_;
  UniqueFd manifest_;                         ///< open for lines behind the text
  std::optional<system::Watchdog> watchdog_;  ///< armed; of the target's queue
  std::unique_ptr<system::Pool> pool_;
  std::uint64_t frequency_ = 0;
  Ticks first_asked_ = 0;      ///< for the frequency
  Ticks frequency_until_ = 0;  ///< then it is measured anew
};

}  // namespace handover::engine
