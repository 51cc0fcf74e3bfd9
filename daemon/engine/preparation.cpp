// SPDX-License-Identifier: LGPL-2.1-or-later
// What an update does on the worker's thread while workloads run on: it looks at the target, loads
// it, and collapses memory.
#include <algorithm>
#include <memory>
#include <utility>

#include "engine/engine.h"
#include "system/boot.h"
#include "system/collapse.h"
#include "system/kernel_image.h"
#include "system/kernel_module.h"
#include "system/kexec.h"
#include "system/log.h"

namespace handover::engine {

namespace {

/// The initrd that belongs to the target, "" if there is none.
std::string initrd_of(const std::string& kernel, const std::string& release,
                      const std::string& running_release) {
  auto initrd = system::initrd_beside(kernel, release);
  const auto running = "/boot/vmlinuz-" + running_release;
  if (initrd.empty() && !system::initrd_beside(running, running_release).empty()) {
    log::warning("There is no initrd.img-", release, " beside ", kernel,
                 ", though the running kernel has its own: the target boots without an initrd, "
                 "unless one is named with --initrd.");
  }
  return initrd;
}

/// Small pages cost the companion module nothing: it joins those that lie side by side.
bool to_collapse(const SessionRecord& session, const TokenRecord& token) {
  return token.kind == "memfd" && backend_of(session, token) != "tracker";
}

}  // namespace

PreflightInput Engine::preflight_input() const {
  PreflightInput input;
  // It carries the manifest, whatever the sessions use.
  const auto backends = sessions_.backend_names();
  input.needs_luo = std::find(backends.begin(), backends.end(), "luo") != backends.end();
  for (const auto& [name, held] : sessions_.all()) {
    if (held.record.incoming) input.unfinished_sessions.push_back(name);
    if (held.record.opened) input.module.needed = true;
    for (const auto& token : held.record.tokens) {
      const auto& backend = backend_of(held.record, token);
      if (backend == "luo" && token.kind != "fd") input.memfds_preserved = true;
      if (backend == "tracker") input.module.needed = true;
    }
  }
  // Then it keeps the manifest as well, or will be asked for everything that is to come.
  if (sessions_.default_backend() == "tracker") input.module.needed = true;
  if (const auto module = sessions_.module()) {
    input.module.format = module->format;
    input.module.kho = module->kho;
  }
  for (const auto& [name, client] : clients_) {
    if (client.required && !connected(client)) input.missing_required_clients.push_back(name);
  }
  return input;
}

/// What clients preserved while they prepared may need more of the target than what was there when
/// preflight looked.
Result<void> Engine::check_again() {
  if (!looked_at_.target) return {};
  sessions_.refresh();
  auto input = preflight_input();
  input.target = looked_at_.target;
  input.running = looked_at_.running;
  input.target_cmdline = looked_at_.target_cmdline;
  input.module.target = looked_at_.module.target;
  input.module.problem = looked_at_.module.problem;
  const auto findings = preflight(input);
  if (!findings.empty()) return fail(findings.front());
  return {};
}

void Engine::run_preflight() {
  sessions_.refresh();
  struct Found {
    PreflightInput input;
    UpdateOptions options;
    std::optional<Error> error;
  };
  auto found = std::make_shared<Found>(Found{preflight_input(), options_, std::nullopt});
  if (auto graph = Graph::make(needs()); !graph) found->error = graph.error();
  if (found->options.kernel.empty()) found->options.kernel = setup_.config.kernel;
  const auto cmdline = options_.cmdline.empty() ? setup_.config.cmdline : options_.cmdline;
  run_on_worker([this, found, cmdline, real = !emulated()]() -> std::function<void()> {
    const auto look = [&]() -> Result<void> {
      auto& options = found->options;
      if (!real) {
        // Nothing is booted; but a target that was named on purpose must be one.
        if (options.kernel.empty()) return {};
        const auto target = system::inspect_kernel(options.kernel);
        if (!target) return fail(target.error());
        return {};
      }
      if (options.kernel.empty()) {
        auto newest = system::newest_kernel();
        if (!newest) return fail(newest.error());
        options.kernel = *newest;
      }
      auto running = system::running_kernel();
      if (!running) return fail(running.error());
      auto target = system::inspect_kernel(options.kernel);
      if (!target) return fail(target.error());
      if (!options.initrd) {
        options.initrd = initrd_of(options.kernel, target->release, running->release);
      }
      options.cmdline = ensure_cmdline(cmdline.empty() ? running->cmdline : cmdline);
      found->input.running = *running;
      found->input.target = *target;
      found->input.target_cmdline = options.cmdline;
      // Also if nothing needs it yet: clients are about to preserve more.
      if (found->input.module.format != 0) {
        auto module = system::find_companion_module(target->release);
        if (module) {
          found->input.module.target = *module;
        } else {
          found->input.module.problem = module.error().message;
        }
      }
      return {};
    };
    if (auto looked = look(); !looked && !found->error) found->error = looked.error();
    return [this, found] {
      if (failure_) return post(Event::failed);
      if (found->error) return fail_update(*found->error);
      const auto findings = preflight(found->input);
      for (const auto& finding : findings) log::error("Preflight: ", finding.message);
      if (!findings.empty()) return fail_update(findings.front());
      options_ = found->options;
      looked_at_ = found->input;
      update_->kernel = options_.kernel;
      update_->kernel_release =
          found->input.target ? found->input.target->release : system::kernel_release();
      mark(Mark::preflight_done);
      post(Event::preflight_passed);
    };
  });
}

void Engine::load_target() {
  set_job("load", 10,
          emulated() ? "Nothing to load: the emulated backend boots no kernel."
                     : "Loading " + update_->kernel + ".");
  run_on_worker([this, options = options_, real = !emulated()]() -> std::function<void()> {
    Result<void> loaded;
    if (real) {
      loaded = system::load_kernel(options.kernel, options.initrd.value_or(""), options.cmdline);
    }
    return [this, loaded] {
      if (loaded) target_loaded_ = true;
      if (failure_) return post(Event::failed);
      if (!loaded) return fail_update(loaded.error());
      mark(Mark::target_loaded);
      post(Event::target_loaded);
    };
  });
}

void Engine::ready_sessions() {
  struct Work {
    std::vector<std::string> names;
    std::uint64_t bytes = 0;
  };
  Work work;
  if (setup_.config.collapse) {
    for (const auto& [name, held] : sessions_.all()) {
      std::uint64_t bytes = 0;
      for (const auto& token : held.record.tokens) {
        if (to_collapse(held.record, token)) bytes += token.bytes;
      }
      if (bytes == 0) continue;
      work.names.push_back(name);
      work.bytes += bytes;
    }
  }
  set_job("collapse", 40, work.names.empty() ? "Sessions are ready." : "Collapsing memory.");
  run_on_worker([this, work, real = !emulated()]() -> std::function<void()> {
    std::uint64_t before = 0;
    system::Collapsed total;
    const auto progress = [this, &before, bytes = work.bytes](std::uint64_t done) {
      const auto part = static_cast<unsigned>((before + done) * 40 / bytes);
      loop_.post([this, part] {
        if (state_ == State::preparing) set_job("collapse", 40 + part, "Collapsing memory.");
      });
    };
    std::optional<Error> error;
    for (const auto& name : work.names) {
      // The loop leaves the sessions alone while worker_busy_.
      auto held = sessions_.find(name, Owner{});
      if (!held) continue;
      const auto collapse = [&]() -> Result<void> {
        for (const auto& token : (*held)->record.tokens) {
          if (!to_collapse((*held)->record, token)) continue;
          const auto fd = (*held)->kernel->duplicate(token.token);
          if (!fd) continue;
          const auto collapsed = system::collapse_memfd(fd->get(), progress, stop_worker_);
          if (!collapsed) return fail(collapsed.error());
          before += token.bytes;
          total.bytes_huge += collapsed->bytes_huge;
          total.bytes_small += collapsed->bytes_small;
        }
        return {};
      };
      const auto done = sessions_.preserve_again(**held, collapse);
      // Without collapse the update is slower, not wrong.
      if (!done && done.error().code != ErrorCode::not_supported) {
        error = done.error();
        break;
      }
      if (!done) log::warning("Session '", name, "' is not collapsed: ", done.error().message);
    }
    if (!error) {
      if (auto rehearsed = sessions_.main_backend().rehearse_tables(); !rehearsed) {
        error = rehearsed.error();
      }
    }
    if (!error && real) system::sync_file_systems();
    return [this, error, total, any = !work.names.empty()] {
      if (any) {
        log::info("Collapse: ", total.bytes_huge >> 20U, " MiB in huge pages, ",
                  total.bytes_small >> 20U, " MiB in small ones.");
      }
      if (failure_) return post(Event::failed);
      if (error) return fail_update(*error);
      post(Event::sessions_ready);
    };
  });
}

}  // namespace handover::engine
