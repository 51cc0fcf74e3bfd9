// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-vmm: runs a QEMU guest that goes on after a kernel update of its host.
#include <systemd/sd-event.h>

#include <csignal>
#include <cstdio>
#include <handover/handover.hpp>
#include <string>
#include <variant>
#include <vector>

#include "access.h"
#include "advice.h"
#include "common/loop.h"
#include "common/restart_socket.h"
#include "config.h"
#include "guest.h"
#include "options.h"
#include "qemu.h"
#include "status.h"

namespace handover::vmm {
namespace {

constexpr int wrong_usage = 2;

int complain(const client::Error& error, int exit_code) {
  fprintf(stderr, "handover-vmm: %s\n", error.message.c_str());
  return exit_code;
}

/// The configuration, and that there is what it names.
client::Result<Config> usable_config(const std::string& file) {
  auto config = read_config(file);
  if (!config) return config;
  if (auto found = find_program(config->qemu); !found) {
    return client::Error{"", file + ": \"qemu\" is wrong: " + found.error().message, ENOENT};
  }
  return config;
}

void block_signals() {
  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGTERM, SIGINT, SIGQUIT, SIGCHLD}) sigaddset(&watched, signal);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  // A QEMU that ends while its state is given to it is an error, not our end.
  signal(SIGPIPE, SIG_IGN);
  // Nor is a log, a status file or an image that grows too large ('ulimit -f'), for QEMU either:
  // it has an error of its own for it.
  signal(SIGXFSZ, SIG_IGN);
}

int act(RunOptions options) {
  auto config = usable_config(options.config);
  if (!config) return complain(config.error(), wrong_usage);
  auto event = common::make_loop();
  if (!event) return complain(event.error(), own_failure);
  // Signals are blocked only after this, so that whoever waits here can still be stopped.
  auto connection = client::Connection::open({0, options.wait_usec, event->get()});
  if (!connection) return complain(connection.error(), own_failure);
  block_signals();

  Guest guest(std::move(options), std::move(*config), event->get(), std::move(*connection));
  if (auto started = guest.start(); !started) return complain(started.error(), own_failure);
  const int r = sd_event_loop(event->get());
  if (r < 0) return complain({"", "The event loop failed.", -r}, own_failure);
  return r;
}

int act(const CheckOptions& options) {
  auto config = usable_config(options.config);
  if (!config) return complain(config.error(), wrong_usage);
  const auto findings = look_at_user(*config);
  for (const auto& one : findings.refused) {
    fprintf(stderr, "handover-vmm: %s: %s\n", options.config.c_str(), one.c_str());
  }
  if (!findings.refused.empty()) return wrong_usage;
  if (!findings.advice.empty()) {
    fprintf(stderr, "handover-vmm: %s: %s\n", options.config.c_str(), findings.advice.c_str());
  }
  for (const auto& advice : advice_on(config->arguments)) {
    fprintf(stderr, "handover-vmm: %s: %s\n", options.config.c_str(), advice.c_str());
  }
  return 0;
}

int act(const StatusOptions& options) {
  auto status = read_status(options.directory, options.name);
  if (!status) return complain(status.error(), 1);
  return common::print({options.json ? to_json(*status) : to_lines(*status)});
}

int act(const RestartOptions& options) {
  auto restarted = common::request_restart(options.directory, options.name);
  return restarted ? 0 : complain(restarted.error(), 1);
}

int act(const Information& information) { return common::print(information); }

}  // namespace
}  // namespace handover::vmm

int main(int argc, char** argv) {
  using namespace handover::vmm;
  auto parsed = parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed) {
    complain(parsed.error(), 0);
    fputs("Try 'handover-vmm --help'.\n", stderr);
    return wrong_usage;
  }
  // Not std::visit(), which may throw.
  if (auto* run = std::get_if<RunOptions>(&*parsed)) return act(std::move(*run));
  if (const auto* check = std::get_if<CheckOptions>(&*parsed)) return act(*check);
  if (const auto* status = std::get_if<StatusOptions>(&*parsed)) return act(*status);
  if (const auto* restart = std::get_if<RestartOptions>(&*parsed)) return act(*restart);
  return act(*std::get_if<Information>(&*parsed));
}
