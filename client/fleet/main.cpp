// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-fleet: the gate of a host in a fleet.
#include <systemd/sd-event.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <handover/handover.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "check.h"
#include "common/loop.h"
#include "common/restart_socket.h"
#include "gate.h"
#include "host_id.h"
#include "options.h"
#include "slots.h"
#include "status.h"
#include "store.h"

namespace handover::fleet {
namespace {

constexpr int failed = 1;
constexpr int wrong_usage = 2;

int complain(const client::Error& error, int exit_code) {
  fprintf(stderr, "handover-fleet: %s\n", error.message.c_str());
  return exit_code;
}

/// What does not get better by itself stops the unit for good (RestartPreventExitStatus=): only
/// what the configuration says, not a file that is not there yet, or a program that took too long.
int complain_of_config(const client::Error& error) {
  return complain(error, error.code == EINVAL ? wrong_usage : failed);
}

client::Result<Gate::Setup> set_up(const RunOptions& options, const Config& config) {
  Gate::Setup setup{options.name, state_directory(), runtime_directory(), config.lock.id, "", ""};
  if (setup.id.empty()) {
    auto id = machine_id();
    if (!id) return id.error();
    setup.id = std::move(*id);
  }
  auto boot = boot_id();
  if (!boot) return boot.error();
  setup.boot = std::move(*boot);
  auto installation = installation_id(setup.state);
  if (!installation) return installation.error();
  setup.installation = std::move(*installation);
  return setup;
}

int act(const RunOptions& options) {
  auto config = usable_config(options.config);
  if (!config) return complain_of_config(config.error());
  auto setup = set_up(options, *config);
  if (!setup) return complain(setup.error(), failed);
  auto event = common::make_loop();
  if (!event) return complain(event.error(), failed);
  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&watched, signal);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  signal(SIGPIPE, SIG_IGN);
  common::Signals signals;
  auto ends =
      signals.attach(event->get(), {SIGTERM, SIGINT}, [&](int) { sd_event_exit(event->get(), 0); });
  if (!ends) return complain(ends.error(), failed);

  Gate gate(std::move(*setup), std::move(*config), event->get());
  if (auto started = gate.start(); !started) return complain(started.error(), failed);
  const int r = sd_event_loop(event->get());
  if (r < 0) return complain({"", "The event loop failed.", -r}, failed);
  return r;
}

int act(const CheckOptions& options) {
  auto config = usable_config(options.config);
  return config ? 0 : complain_of_config(config.error());
}

int act(const StatusOptions& options) {
  auto status = read_status(runtime_directory());
  if (!status) return complain(status.error(), failed);
  return common::print({options.json ? status->dump(2) + "\n" : to_lines(*status)});
}

int act(const ReleaseOptions& options) {
  auto released = common::request_restart(runtime_directory(), options.name);
  if (released) return 0;
  auto error = released.error();
  if (error.code == EPIPE) error.message = "handover-fleet ended before it had answered.";
  return complain(error, failed);
}

int act(const ListOptions& options) {
  auto config = usable_config(options.config);
  if (!config) return complain_of_config(config.error());
  auto listed = list_slots(config->lock, options.json);
  return listed ? common::print({*listed}) : complain(listed.error(), failed);
}

int act(const BreakOptions& options) {
  auto config = usable_config(options.config);
  if (!config) return complain_of_config(config.error());
  auto broken = break_slot(config->lock, options.slot);
  return broken ? common::print({*broken}) : complain(broken.error(), failed);
}

int act(const Information& information) { return common::print(information); }

}  // namespace
}  // namespace handover::fleet

int main(int argc, char** argv) {
  using namespace handover::fleet;
  auto parsed = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed) {
    complain(parsed.error(), 0);
    fputs("Try 'handover-fleet --help'.\n", stderr);
    return wrong_usage;
  }
  // Not std::visit(), which may throw.
  if (const auto* run = std::get_if<RunOptions>(&*parsed)) return act(*run);
  if (const auto* check = std::get_if<CheckOptions>(&*parsed)) return act(*check);
  if (const auto* status = std::get_if<StatusOptions>(&*parsed)) return act(*status);
  if (const auto* release = std::get_if<ReleaseOptions>(&*parsed)) return act(*release);
  if (const auto* list = std::get_if<ListOptions>(&*parsed)) return act(*list);
  if (const auto* broken = std::get_if<BreakOptions>(&*parsed)) return act(*broken);
  return act(*std::get_if<Information>(&*parsed));
}
