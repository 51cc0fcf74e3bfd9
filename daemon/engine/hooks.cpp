// SPDX-License-Identifier: LGPL-2.1-or-later
// The administrator's hooks in an update: steps of it that may refuse, and what is told afterwards.
#include <memory>
#include <utility>

#include "engine/engine.h"
#include "engine/hook_look.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// From SIGTERM on, those who are only told have so long in all: PID 1 waits 90 s for us.
constexpr std::uint64_t last_hooks_usec = 10'000'000;

}  // namespace

HookContext Engine::hook_context() const {
  HookContext context;
  const auto& record = update_.record();
  if (!record) return context;
  // Between prepared and an update there is no job.
  context.job = to_string(update_.job ? update_.job->type : JobType::prepare);
  context.update = record->id;
  context.mode = to_string(record->mode);
  context.from = record->from_release;
  context.to = record->kernel_release;
  return context;
}

void look_at_hooks(Host& host, LookedAt& looked, HookContext context, std::uint64_t limit_usec,
                   const std::atomic<bool>& stop) {
  if (looked.input.target) context.to = looked.input.target->release;
  auto report = host.run_hooks(HookStage::preflight, context, limit_usec, stop);
  looked.input.hooks = std::move(report.results);
  looked.input.unsafe_hooks = host.unsafe_hooks();
}

/// A step of the update. The first hook that refuses ends it.
void Engine::run_hooks(HookStage stage, std::function<void()> then) {
  hooks_run_ = true;
  run_target_job([this, stage, context = hook_context(), limit = setup_.config.hooks.timeout_usec,
                  then = std::move(then)]() -> std::function<void()> {
    auto report = std::make_shared<HookReport>(host_.run_hooks(stage, context, limit, stop_));
    return [this, report, then] {
      hooks_run_ = false;
      tell(*report);
      if (update_.failure()) return;
      if (const auto* refusal = first_refusal(*report)) {
        return fail_update(to_error(*refusal), Culprit{.client = "", .hook = refusal->name});
      }
      then();
    };
  });
}

/// Of an update that is over: whatever they say, it is. On a queue of their own, so that they hold
/// up nothing that comes next.
void Engine::tell_hooks(HookStage stage, const HookContext& context) {
  ++told_hooks_;
  host_.run(hook_queue,
            [this, alive = alive_, stage, context,
             limit = setup_.config.hooks.timeout_usec]() -> std::function<void()> {
              auto report = std::make_shared<HookReport>(run_or_fail("hooks", [&] {
                return host_.run_hooks(stage, context, limit, end_told_hooks_);
              }));
              return [this, alive, report] {
                if (!*alive) return;
                tell(*report);
                --told_hooks_;
                wake();  // terminate() may wait for it
              };
            });
}

void Engine::tell_hooks_of_end(HookContext context, const HistoryEntry& entry,
                               bool undone_from_freeze) {
  context.outcome = to_string(entry.outcome);
  context.reason = entry.reason;
  const bool carried = entry.outcome == Outcome::done || entry.outcome == Outcome::done_with_losses;
  if (undone_from_freeze) tell_hooks(HookStage::thaw, context);
  if (carried) tell_hooks(HookStage::restored, context);
  const bool well = entry.outcome == Outcome::done || entry.outcome == Outcome::rehearsed;
  if (!well) tell_hooks(HookStage::failed, context);
}

/// Told by a process that did not run it: it was lost on its way.
void Engine::tell_hooks_of_loss(const HistoryEntry& entry) {
  HookContext context;
  context.job = to_string(JobType::update);
  context.update = entry.id;
  context.mode = to_string(entry.mode);
  context.from = entry.from_release;
  context.to = entry.to_release;
  context.outcome = to_string(entry.outcome);
  context.reason = entry.reason;
  tell_hooks(HookStage::failed, context);
}

void Engine::tell(const HookReport& report) const {
  for (const auto& result : report.results) {
    if (result.end == HookEnd::passed) continue;
    log::event(log::Id::hook_failed, log::Level::warning,
               {{log::Field::hook, result.name},
                {log::Field::code, std::string(to_string(result.end))},
                {log::Field::usec, result.usec}},
               to_error(result).message);
  }
  for (const auto& unsafe : report.unsafe) {
    log::warning("Hook '", unsafe.path, "' is not run: it ", unsafe.why, ".");
  }
}

void Engine::hurry_told_hooks() {
  hooks_alarm_ = host_.after(last_hooks_usec, [this] { end_told_hooks_ = true; });
}

}  // namespace handover::engine
