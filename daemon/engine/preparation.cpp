// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update does while workloads run on: it looks at the target, loads it, and collapses
// memory.
#include <algorithm>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/text.h"
#include "engine/engine.h"
#include "engine/hook_look.h"
#include "engine/run_or_fail.h"
#include "system/log.h"

namespace handover::engine {

/// What the update carries, for the rules about room.
CarriedFacts Engine::carried() const {
  CarriedFacts facts;
  for (const auto& [name, held] : sessions_.all()) {
    if (held.record.incoming || held.record.ending) continue;
    for (const auto& token : held.record.tokens) {
      facts.bytes += token.bytes;
      // The module joins pages that are neighbours; files of LUO's are collapsed before the freeze.
      const bool joined = keeper_of(held.record, token) == Keeper::tracker;
      if (!joined && !setup_.config.collapse) facts.small_bytes += token.bytes;
    }
  }
  facts.manifest_bytes = journal_.figures().text_bytes;
  facts.stored_descriptors = sessions_.fd_store().count();
  return facts;
}

PreflightInput Engine::preflight_input() const {
  PreflightInput input;
  input.mode = update_.options.mode.value_or(setup_.config.mode);
  input.carried = carried();
  // It carries the manifest, whatever the sessions use.
  input.needs_luo = sessions_.has(Keeper::luo);
  for (const auto& [name, held] : sessions_.all()) {
    if (held.record.incoming) input.unfinished_sessions.push_back(name);
    if (held.standing == Standing::degraded) input.degraded_sessions.push_back(name);
    if (held.record.opened) input.module.needed = true;
    for (const auto& token : held.record.tokens) {
      const auto keeper = keeper_of(held.record, token);
      if (keeper == Keeper::luo && token.kind != Kind::fd) input.memfds_preserved = true;
      if (keeper == Keeper::tracker) input.module.needed = true;
    }
  }
  for (const auto& lost : lost_) {
    const auto* client = clients_.find(lost.client);
    if (client == nullptr || !client->required || !clients_.connected(*client)) continue;
    input.lost_sessions.push_back(lost);
  }
  // Then it keeps the manifest as well, or will be asked for everything that is to come.
  if (sessions_.main_keeper() == Keeper::tracker) input.module.needed = true;
  if (const auto module = sessions_.module()) {
    input.module.format = module->format;
    input.module.kho = module->kho;
  }
  for (const auto& [name, client] : clients_.all()) {
    if (client.required && !clients_.connected(client)) {
      input.missing_required_clients.push_back(name);
    }
    if (client.required && owes_thaw(name)) input.unthawed_clients.push_back(name);
  }
  return input;
}

/// What clients preserved while they prepared may need more of the target than what was there when
/// preflight looked.
Result<void> Engine::check_again() {
  if (!update_.looked_at.target) return {};
  auto input = preflight_input();
  take_what_was_seen(input, update_.looked_at);
  const auto findings =
      judge(handover::preflight(input), setup_.config.preflight, update_.options.allow);
  if (const auto* error = first_error(findings)) return fail(to_error(*error));
  return {};
}

/// When the records have what owners preserved in the tracker by themselves.
void Engine::when_refreshed(std::function<void()> then) {
  sessions_.refresh_all([this, alive = alive_, id = update_.record()->id, then = std::move(then)] {
    if (!*alive || state_ != State::preparing || update_.failure()) return;
    if (update_.record() && update_.record()->id == id) then();
  });
}

namespace {

/// (waits) Both kernels, what else is loaded, and what is known of the target. `real`: a kernel
/// will be booted.
Result<LookedAt> look(Host& host, KernelShelf& kernels, const UpdateOptions& options, bool module,
                      bool real, bool ours_is_loaded, const std::string& watchdog, bool bless) {
  if (!real) return host.look_at_emulated(options);
  // Asked before anything of ours is loaded.
  const auto loaded = ours_is_loaded ? Result<bool>(false) : host.kernel_loaded();
  if (!loaded) {
    log::warning("It is not known whether a kernel is loaded for kexec already: ",
                 loaded.error().message);
  }
  auto looked = host.look_at(options, module);
  if (!looked) return looked;
  looked->input.kernel_loaded = loaded.value_or(false);
  if (!watchdog.empty()) looked->input.watchdog = host.watchdog_facts(watchdog);
  if (bless && looked->input.target) {
    const auto command =
        host.default_boot_command(looked->input.target_entry, looked->input.target->release);
    if (!command) looked->input.bless_problem = command.error().message;
  }
  if (const auto& target = looked->input.target; target && !target->identity.empty()) {
    if (auto record = kernels.look_up({target->release, target->identity})) {
      looked->input.target_record = std::move(*record);
    } else {
      log::warning("It is not known whether the target is a bad kernel: ", record.error().message);
    }
  }
  return looked;
}

}  // namespace

std::vector<Finding> Engine::findings(const LookedAt& looked, const UpdateOptions& options) const {
  auto input = preflight_input();
  take_what_was_seen(input, looked.input);
  input.kernel_loaded = looked.input.kernel_loaded;
  input.hooks = looked.input.hooks;
  input.unsafe_hooks = looked.input.unsafe_hooks;
  input.mode = options.mode.value_or(setup_.config.mode);
  if (auto known = clients_.graph().check_known(); !known) {
    input.needs_unknown = known.error().message;
  }
  return judge(handover::preflight(input), setup_.config.preflight, options.allow);
}

UpdateOptions Engine::with_defaults(UpdateOptions options) const {
  if (options.kernel.empty()) options.kernel = setup_.config.kernel;
  if (options.cmdline.empty()) options.cmdline = setup_.config.cmdline;
  return options;
}

/// Whose units have to be there after the update.
std::vector<std::string> Engine::units_of_clients() const {
  std::set<std::string> units;
  for (const auto& [name, client] : clients_.all()) {
    if (client.owner.unit.ends_with(".service")) units.insert(client.owner.unit);
  }
  return {units.begin(), units.end()};
}

/// Emulated, nothing is booted, and nobody asked.
void Engine::ask_managers(std::function<void(const ManagerFacts&)> then) {
  if (emulated()) return then({});
  outside_.ask_managers(units_of_clients(),
                        [alive = alive_, then = std::move(then)](const ManagerFacts& managers) {
                          if (*alive) then(managers);
                        });
}

void Engine::run_preflight() {
  ask_managers([this, id = update_.record()->id](const ManagerFacts& managers) {
    if (state_ != State::preparing || update_.failure()) return;
    if (update_.record() && update_.record()->id == id) look_at_target(managers);
  });
}

/// Runs on the pool, with what the engine knows now.
Engine::Looking Engine::looking(const UpdateOptions& options, HookContext context,
                                const ManagerFacts& managers) {
  return
      [&host = host_, options = with_defaults(options), context = std::move(context), managers,
       refresh = sessions_.keepers().refresh_module, real = !emulated(), kernels = kernels_.shelf(),
       ours = update_.target_loaded, watchdog = watchdog_of(options), bless = setup_.config.bless,
       limit = setup_.config.hooks.timeout_usec](const std::atomic<bool>& stop) {
        const bool module = refresh && refresh().has_value();
        auto looked = std::make_shared<Result<LookedAt>>(
            look(host, *kernels, options, module, real, ours, watchdog, bless));
        if (*looked) {
          (*looked)->input.managers = managers;
          look_at_hooks(host, **looked, context, limit, stop);
        }
        return looked;
      };
}

void Engine::look_at_target(const ManagerFacts& managers) {
  run_target_job(
      [this, look = looking(update_.options, hook_context(), managers)]() -> std::function<void()> {
        const auto looked = look(stop_);
        return [this, looked] {
          if (update_.failure()) return;
          if (!*looked) return fail_update(looked->error());
          take_findings(std::move(**looked));
        };
      });
}

/// Errors and warnings that were not told of this update before. Its second look tells no facts.
void Engine::tell_findings(const std::vector<Finding>& found, bool facts) {
  for (const auto& finding : found) {
    const auto text = text_of(finding);
    if (finding.severity == Severity::fact) {
      if (facts) log::info("Preflight: ", text, ".");
      continue;
    }
    if (!update_.told_findings.insert(text).second) continue;
    const bool error = finding.severity == Severity::error;
    log::event(log::Id::preflight_finding, error ? log::Level::error : log::Level::warning,
               {{log::Field::code, std::string(to_string(finding.id))}}, "Preflight: ", text,
               error ? "" : "; the update goes on.");
  }
}

void Engine::take_findings(LookedAt looked) {
  const auto found = findings(looked, update_.options);
  tell_findings(found, /*facts=*/true);
  if (const auto* error = first_error(found)) {
    // Of the target the error says more than the finding.
    return fail_update(may_be_overruled(error->id) ? to_error(*error)
                                                   : *looked.input.target_problem);
  }
  auto& record = *update_.edit();
  record.overruled = overruled_text(found, record.requested_by);
  looked.options.allow = update_.options.allow;
  update_.options = std::move(looked.options);
  update_.target = std::move(looked.target);
  update_.looked_at = std::move(looked.input);
  record.kernel = update_.options.kernel;
  record.kernel_release =
      update_.looked_at.target ? update_.looked_at.target->release : host_.kernel_release();
  record.image = update_.looked_at.target ? update_.looked_at.target->identity : "";
  record.entry = update_.looked_at.target_entry;
  mark(Mark::preflight_done);
  post(Event::preflight_passed);
}

/// What may have come since preflight, a moment ago or days: a package manager, a lock of logind's,
/// a shutdown. Right before the freeze, since nobody stands still yet.
void Engine::look_once_more(std::function<void()> then) {
  if (emulated()) return then();
  ask_managers(
      [this, id = update_.record()->id, then = std::move(then)](const ManagerFacts& managers) {
        if (state_ != State::prepared || update_.failure()) return;
        if (!update_.record() || update_.record()->id != id) return;
        run_target_job([this, managers, then]() -> std::function<void()> {
          return [this, managers, locks = host_.package_locks(), then] {
            if (update_.failure()) return;
            LookedAt again;
            again.input = update_.looked_at;
            again.input.managers = managers;
            if (again.input.host) again.input.host->package_locks = locks;
            const auto found = findings(again, update_.options);
            tell_findings(found, /*facts=*/false);
            if (const auto* error = first_error(found)) return fail_update(to_error(*error));
            auto& record = *update_.edit();
            record.overruled = overruled_text(found, record.requested_by);
            update_.looked_at = std::move(again.input);
            journal_.note_update();
            then();
          };
        });
      });
}

/// An update that runs waits for nobody's look.
Result<void> Engine::may_look() const {
  const bool idle = (state_ == State::normal || state_ == State::prepared) && !update_.job;
  if (idle && events_.empty()) return {};
  return fail(passing(Error{
      ErrorCode::busy,
      "An update is in state " + std::string(to_string(state_)) + "; ask again when it is over.",
      0}));
}

void Engine::preflight(const UpdateOptions& options, Reply<std::vector<Finding>> reply) {
  if (auto may = may_look(); !may) return reply(fail(may.error()));
  ask_managers([this, options, reply = std::move(reply)](const ManagerFacts& managers) {
    if (auto may = may_look(); !may) return reply(fail(may.error()));
    HookContext context;
    context.job = "preflight";
    context.mode =
        to_string(emulated() ? Mode::emulated : options.mode.value_or(setup_.config.mode));
    context.from = host_.kernel_release();
    host_.run(
        target_queue,
        [this, alive = alive_, options = with_defaults(options), stop = end_looks_,
         look = looking(options, std::move(context), managers), reply]() -> std::function<void()> {
          const auto looked = look(*stop);
          return [this, alive, options, looked, reply] {
            if (!*alive) return;
            if (!*looked) return reply(fail(looked->error()));
            reply(findings(**looked, options));
          };
        });
  });
}

/// Those who only look do not hold up an update, nor its end.
void Engine::end_looks() {
  *end_looks_ = true;
  end_looks_ = std::make_shared<std::atomic<bool>>(false);
}

/// Also when an update goes on from prepared: what somebody else has loaded since would be booted
/// without having been looked at.
void Engine::load_target() {
  set_job(JobPhase::load, 10,
          emulated() ? "Nothing to load: the emulated backend boots no kernel."
                     : "Loading " + update_.record()->kernel + ".");
  auto target = std::make_shared<LookedAt>();
  target->target = update_.target;
  target->options = update_.options;
  run_target_job([this, target, real = !emulated()]() -> std::function<void()> {
    const auto loaded = real ? host_.load(*target) : Result<void>{};
    return [this, loaded] {
      if (loaded) update_.target_loaded = true;
      if (update_.failure()) return;
      if (!loaded) return fail_update(loaded.error());
      mark(Mark::target_loaded);
      post(Event::target_loaded);
    };
  });
}

void Engine::unload_target(const std::function<void()>& then) {
  if (!std::exchange(update_.target_loaded, false) || emulated()) return then();
  run_target_job([this, then]() -> std::function<void()> {
    const auto unloaded = run_or_fail("unloading the target", [this] { return host_.unload(); });
    if (!unloaded) log::error(unloaded.error().message);
    return then;
  });
}

/// Of the sessions that changed since, or of all at first.
void Engine::ready_sessions() {
  const auto touched = update_.take_touched();
  collapsing_ = {};
  for (const auto& [name, held] : sessions_.all()) {
    if (!setup_.config.collapse || !held.kernel || held.record.incoming || held.record.ending) {
      continue;
    }
    if (!touched.all && !touched.names.contains(name)) continue;
    const auto bytes = Sessions::bytes_to_collapse(held.record);
    if (bytes == 0) continue;
    collapsing_.waiting.push_back(name);
    collapsing_.bytes += bytes;
  }
  const bool any = !collapsing_.waiting.empty();
  set_job(JobPhase::collapse, 40, any ? "Collapsing memory." : "Sessions are ready.");
  if (!any) return rehearse_and_sync();
  target_busy_ = true;  // a cancel or a failure waits until the sessions are let go of
  collapse_next();
}

/// Two at a time: the pool has other work, too.
void Engine::collapse_next() {
  constexpr std::size_t most_at_once = 2;
  while (collapsing_.running < most_at_once && !collapsing_.waiting.empty()) {
    const auto name = std::move(collapsing_.waiting.front());
    collapsing_.waiting.pop_front();
    auto held = sessions_.find(name, Owner{});
    if (!held || !(*held)->kernel || stop_) continue;
    ++collapsing_.running;
    auto before = std::make_shared<std::atomic<std::uint64_t>>(0);
    const auto progress = [this, alive = alive_, before](std::uint64_t done) {
      const auto more = done - before->exchange(done);
      host_.post([this, alive, more] {
        if (!*alive || state_ != State::preparing || collapsing_.bytes == 0) return;
        collapsing_.done += more;
        const auto part = std::min<std::uint64_t>(collapsing_.done * 40 / collapsing_.bytes, 40);
        set_job(JobPhase::collapse, 40 + static_cast<unsigned>(part), "Collapsing memory.");
      });
    };
    sessions_.collapse(**held, progress, stop_,
                       [this, name](const Result<Collapse>& done) { collapsed(name, done); });
  }
  if (collapsing_.running != 0 || !collapsing_.waiting.empty()) return;
  target_busy_ = false;
  log::info("Collapse: ", collapsing_.total.bytes_huge >> 20U, " MiB in huge pages, ",
            collapsing_.total.bytes_small >> 20U, " MiB in small ones.");
  if (after_target_) return post(*std::exchange(after_target_, std::nullopt));
  if (!update_.failure()) rehearse_and_sync();
}

void Engine::collapsed(const std::string& name, const Result<Collapse>& done) {
  if (done) {
    collapsing_.total.bytes_huge += done->bytes_huge;
    collapsing_.total.bytes_small += done->bytes_small;
  } else if (done.error().code != ErrorCode::cancelled) {
    // Without the collapse the update is slower, not wrong. A session that is degraded by it ends
    // the update before anybody is frozen.
    log::warning("Session '", name, "' is not collapsed: ", done.error().message);
  }
  --collapsing_.running;
  collapse_next();
}

/// The kernel holds all that is to be carried.
Result<void> Engine::check_whole() const {
  const auto degraded = sessions_.in(Standing::degraded);
  if (degraded.empty()) return {};
  return fail(passing(Error{ErrorCode::io,
                            "The kernel does not hold all of session '" + degraded.front() +
                                "' now; that is tried again, so update later.",
                            0}));
}

/// The last things before the freeze that may take their time.
void Engine::rehearse_and_sync() {
  when_refreshed([this] { rehearse_now(); });
}

void Engine::rehearse_now() {
  const auto tables = sessions_.keepers().tables;
  run_target_job([this, tables, real = !emulated(),
                  timeout = setup_.config.sync_timeout_usec]() -> std::function<void()> {
    const auto rehearsed = tables ? tables->rehearse() : Result<void>{};
    std::vector<std::string> unfinished;
    if (rehearsed && real && !stop_) unfinished = host_.sync(timeout);
    return [this, rehearsed, unfinished, timeout] {
      if (update_.failure()) return;
      if (!rehearsed) return fail_update(rehearsed.error());
      if (auto whole = check_whole(); !whole) return fail_update(whole.error());
      if (!unfinished.empty()) {
        log::event(log::Id::sync_unfinished, log::Level::warning,
                   {{log::Field::count, unfinished.size()}, {log::Field::usec, timeout}},
                   "What is written to ", with_commas(unfinished),
                   " does not reach its disk (sync_timeout); the update goes on.");
      }
      post(Event::sessions_ready);
    };
  });
}

}  // namespace handover::engine
