// SPDX-License-Identifier: LGPL-2.1-or-later
// A kernel that an update has gone into is on trial until it is judged good or bad.
#include <utility>

#include "core/text.h"
#include "engine/engine.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

constexpr std::uint64_t boot_look_usec = 1'000'000;
/// As long as a boot may take; then the health command says what is wrong.
constexpr std::uint64_t longest_boot_wait_usec = 1'800'000'000;

}  // namespace

/// The update is over. `entry` is its record, before it is written.
void Engine::begin_trial(const UpdateRecord& update, HistoryEntry& entry) {
  KernelTrial trial;
  trial.update = update.id;
  trial.generation = generation_;
  trial.release = update.kernel_release;
  trial.image = update.image;
  trial.entry = update.entry;
  trial_ = std::move(trial);
  journal_.note_head();
  if (!setup_.config.health.command.empty()) {
    entry.health = health_running;
  } else if (entry.outcome != Outcome::done) {
    // Nobody says that the kernel is well, and not everything came back.
    trial_.reset();
  }
}

/// Not in the blackout of anybody: the last Restore is answered. Nor before the boot is over: what
/// the command asks for may not have been started yet.
void Engine::run_trial() {
  if (!trial_ || *trial_stop_) return;
  if (setup_.config.health.command.empty()) return trial_over({});
  trial_waited_usec_ = 0;
  await_trial();
}

void Engine::await_trial() {
  outside_.boot_is_over([this, alive = alive_](bool over) {
    if (!*alive || !trial_ || *trial_stop_) return;
    if (over || trial_waited_usec_ >= longest_boot_wait_usec) return run_health();
    trial_waited_usec_ += boot_look_usec;
    trial_alarm_ = host_.after(boot_look_usec, [this] { await_trial(); });
  });
}

void Engine::run_health() {
  const auto& health = setup_.config.health;
  RunProgram program;
  program.argv = health.command;
  program.environment = {"HANDOVER_UPDATE=" + std::to_string(trial_->update),
                         "HANDOVER_KERNEL=" + trial_->release};
  program.timeout_usec = health.timeout_usec;
  log::info("The health command runs: ", printable(health.command.front()), ".");
  host_.run(health_queue,
            [this, alive = alive_, stop = trial_stop_, program,
             update = trial_->update]() -> std::function<void()> {
              const auto ended = run_or_fail("the health command",
                                             [&] { return host_.run_program(program, *stop); });
              return [this, alive, stop, ended, update] {
                if (!*alive || *stop || !trial_ || trial_->update != update) return;
                trial_over(ended);
              };
            });
}

/// This process ends. The next one goes on with it: its command is run again.
void Engine::leave_trial() {
  trial_alarm_.reset();
  *trial_stop_ = true;
}

/// Without a verdict: what the command finds is not the kernel's doing any more.
void Engine::end_trial() {
  if (!trial_) return;
  log::info("Kernel ", trial_->release, " is judged no more: it stays as it was.");
  records_.set_health(trial_->generation, "", "");
  trial_.reset();
  trial_alarm_.reset();
  *trial_stop_ = true;
  trial_stop_ = std::make_shared<std::atomic<bool>>(false);
  journal_.note_head();
}

void Engine::trial_over(const Result<void>& health) {
  const auto trial = *std::exchange(trial_, std::nullopt);
  journal_.note_head();
  wake();
  const bool good = health.has_value();
  const auto state = good ? KernelState::good : KernelState::bad;
  const auto reason = good ? std::string() : "the health command failed: " + health.error().message;
  if (!setup_.config.health.command.empty()) {
    records_.set_health(trial.generation, good ? "passed" : "failed", good ? "" : reason);
  }
  // Without an image nothing was booted, or something else than was looked at. A command that could
  // not be run says nothing of the kernel.
  const bool ran = good || health.error().code == ErrorCode::timed_out ||
                   (health.error().sys_errno == 0 && health.error().code == ErrorCode::io);
  if (!ran) {
    log::error("Kernel ", trial.release, " is not judged: ", reason, ".");
    return;
  }
  if (trial.image.empty()) {
    if (!good) log::error("The host is not well: ", reason, ".");
    if (!setup_.config.health.command.empty()) {
      outside_.kernel_judged(trial.release, state, reason, trial.generation);
    }
    return;
  }
  KernelRecord record;
  record.kernel = {trial.release, trial.image};
  record.state = state;
  record.reason = reason;
  record.when = host_.wall_clock();
  record.update = trial.update;
  judge_kernel(std::move(record));
  if (good && setup_.config.bless && !emulated()) bless(trial);
  outside_.kernel_judged(trial.release, state, reason, trial.generation);
}

/// A cold boot goes into it, too, from now on.
void Engine::bless(const KernelTrial& trial) {
  host_.run(health_queue, [this, stop = trial_stop_, trial]() -> std::function<void()> {
    constexpr std::uint64_t limit_usec = 60'000'000;
    const auto done = run_or_fail("setting the boot loader's default", [&]() -> Result<void> {
      auto command = host_.default_boot_command(trial.entry, trial.release);
      if (!command) return fail(command.error());
      auto ran = host_.run_program({*command, {}, limit_usec}, *stop);
      return ran ? host_.check_default_boot(*command) : ran;
    });
    if (done) {
      log::info("Kernel ", trial.release, " is the boot loader's default now.");
    } else {
      log::error("Kernel ", trial.release,
                 " did not become the boot loader's default: ", done.error().message, ".");
    }
    return [] {};
  });
}

/// It is remembered, and told in the log.
void Engine::judge_kernel(KernelRecord record) {
  const bool good = record.state == KernelState::good;
  log::event(good ? log::Id::kernel_good : log::Id::kernel_bad,
             good ? log::Level::info : log::Level::error, {{log::Field::update, record.update}},
             "Kernel ", record.kernel.release, " is judged ", to_string(record.state),
             good ? "." : ": ", record.reason);
  kernels_.note(std::move(record));
}

void Engine::list_kernels(const Reply<std::vector<KernelListed>>& reply) {
  kernels_.list(host_.kernel_release(), reply);
}

void Engine::allow_kernel(const std::string& release, const Caller& caller,
                          const Reply<void>& reply) {
  kernels_.allow(release, [release, uid = caller.owner.uid, reply](const Result<void>& done) {
    if (done) {
      log::info("Uid ", uid, " allows kernel ", printable(release), " again: it is untried.");
    }
    reply(done);
  });
}

}  // namespace handover::engine
