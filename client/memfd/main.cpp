// SPDX-License-Identifier: LGPL-2.1-or-later
// handover-memfd: runs a program with memory that survives kernel updates.
#include <systemd/sd-event.h>

#include <csignal>
#include <cstdio>
#include <handover/handover.hpp>
#include <string>
#include <variant>
#include <vector>

#include "common/loop.h"
#include "keeper.h"
#include "options.h"

namespace {

constexpr int wrong_usage = 2;

int complain(const handover::client::Error& error, int exit_code) {
  fprintf(stderr, "handover-memfd: %s\n", error.message.c_str());
  return exit_code;
}

int run(handover::memfd::Options options) {
  using handover::memfd::Keeper;
  namespace client = handover::client;

  auto event = handover::common::make_loop();
  if (!event) return complain(event.error(), handover::memfd::own_failure);

  // Signals are blocked only after this, so that whoever waits here can still be stopped.
  auto connection = client::Connection::open({0, options.wait_usec, event->get()});
  if (!connection) return complain(connection.error(), handover::memfd::own_failure);

  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&watched, signal);
  }
  sigprocmask(SIG_BLOCK, &watched, nullptr);

  Keeper keeper(std::move(options), event->get(), std::move(*connection));
  int exit_code = 0;
  if (auto started = keeper.start(&exit_code); !started) {
    return complain(started.error(), exit_code);
  }
  const int r = sd_event_loop(event->get());
  if (r < 0) return complain({"", "The event loop failed.", -r}, handover::memfd::own_failure);
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  using handover::memfd::Information;
  using handover::memfd::Options;
  auto parsed = handover::memfd::parse_options(std::vector<std::string>(argv + 1, argv + argc));
  if (!parsed) {
    complain(parsed.error(), 0);
    fputs("Try 'handover-memfd run --help'.\n", stderr);
    return wrong_usage;
  }
  if (const auto* information = std::get_if<Information>(&*parsed)) {
    return fputs(information->text.c_str(), stdout) < 0 || fflush(stdout) != 0 ? 1 : 0;
  }
  return run(std::move(std::get<Options>(*parsed)));
}
