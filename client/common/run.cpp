// SPDX-License-Identifier: LGPL-2.1-or-later
#include "run.h"

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include <csignal>

#include "log.h"
#include "loop.h"

namespace handover::common {

int run(KeeperOptions options, std::unique_ptr<Kept> kept) {
  const auto complain = [](const client::Error& error, int exit_code) {
    say(SD_ERR, error.message);
    return exit_code;
  };
  auto loop = make_loop();
  if (!loop) return complain(loop.error(), own_failure);
  sd_event* event = loop->get();
  if (auto opened = kept->open(event); !opened) return complain(opened.error(), own_failure);

  // Signals are blocked only after this, so that whoever waits here can still be stopped.
  auto connection = client::Connection::open({0, options.wait_usec, event});
  if (!connection) return complain(connection.error(), own_failure);

  sigset_t watched;
  sigemptyset(&watched);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD}) {
    sigaddset(&watched, signal);
  }
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  // A log file that grows too large ('ulimit -f') is no reason to end COMMAND.
  signal(SIGXFSZ, SIG_IGN);

  Keeper keeper(std::move(options), event, std::move(*connection), std::move(kept));
  int exit_code = 0;
  if (auto started = keeper.start(&exit_code); !started) {
    return complain(started.error(), exit_code);
  }
  const int r = sd_event_loop(event);
  if (r < 0) return complain({"", "The event loop failed.", -r}, own_failure);
  return r;
}

}  // namespace handover::common
