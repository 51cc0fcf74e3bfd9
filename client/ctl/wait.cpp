// SPDX-License-Identifier: LGPL-2.1-or-later
// cancel, wait: until the daemon, or a client, is in a state.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <functional>

#include "commands.h"
#include "progress.h"
#include "signals.h"

namespace handover::ctl {
namespace {

using Clock = std::chrono::steady_clock;

client::Error interrupted() {
  return {"", "Interrupted; 'handoverctl status' shows what becomes of it.", EINTR};
}

/// The daemon went, or the bus: it is asked again when it is back.
bool went_away(const client::Error& error) {
  constexpr std::array names = {SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_DISCONNECTED,
                                SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                                SD_BUS_ERROR_TIMEOUT};
  return std::any_of(names.begin(), names.end(), [&](const char* name) { return error.is(name); });
}

/// Asks after each signal until `there` says so. Absence of the daemon is waited through.
client::Result<void> wait_until(Context context, const std::function<client::Result<bool>()>& there,
                                std::optional<std::uint64_t> limit_usec) {
  Signals signals(context.connection, [](sd_bus_message*) {});
  if (auto subscribed = signals.subscribe(); !subscribed) return subscribed.error();
  const auto begin = Clock::now();
  for (;;) {
    if (context.connection.connected()) {
      auto reached = there();
      if (!reached && !went_away(reached.error())) return reached.error();
      if (reached && *reached) return {};
    }
    if (interrupts() > 0) return interrupted();
    if (limit_usec && Clock::now() - begin >= std::chrono::microseconds(*limit_usec)) {
      return client::Error{HANDOVER_ERROR_PREFIX "TimedOut",
                           "It did not come to that in the time given by --timeout.", ETIMEDOUT};
    }
    if (auto waited = signals.wait(Signals::poll_usec); !waited) return waited.error();
  }
}

}  // namespace

Outcome cancel(Context context, bool block) {
  Manager manager(context.connection);
  if (auto cancelled = manager.cancel(); !cancelled) return cancelled.error();
  if (block) {
    catch_interrupts();
    Progress progress(context.json || context.quiet);
    const auto everybody_runs = [&]() -> client::Result<bool> {
      auto status = manager.status();
      if (!status) return status.error();
      if (status->state == "restoring") {
        return client::Error{HANDOVER_ERROR_PREFIX "Busy",
                             "It was too late to cancel: this is the new kernel.", EBUSY};
      }
      if (status->current_job != "/") {
        // It may have ended since.
        if (auto job = manager.job(status->current_job)) {
          progress.show(job->phase, job->progress, job->detail);
        }
      }
      return status->state == "normal";
    };
    auto over = wait_until(context, everybody_runs, std::nullopt);
    progress.clear();
    if (!over && over.error().code == EINTR) {
      fprintf(stderr, "handoverctl: %s\n", over.error().message.c_str());
      return ExitCode::left;
    }
    if (!over) return over.error();
  }
  if (context.json) print_json(nlohmann::json::object());
  return ExitCode::ok;
}

Outcome wait_for(Context context, const Awaited& awaited, std::optional<std::uint64_t> limit_usec) {
  Manager manager(context.connection);
  catch_interrupts();
  const auto in_state = [&]() -> client::Result<bool> {
    auto status = manager.status();
    if (!status) return status.error();
    return status->state == awaited.state;
  };
  const auto in_phase = [&]() -> client::Result<bool> {
    auto clients = manager.clients();
    if (!clients) return clients.error();
    return std::any_of(clients->begin(), clients->end(), [&](const ClientRow& client) {
      return client.name == awaited.client && client.phase == awaited.phase;
    });
  };
  auto reached = awaited.state.empty() ? wait_until(context, in_phase, limit_usec)
                                       : wait_until(context, in_state, limit_usec);
  if (!reached) return reached.error();
  if (context.json) print_json(nlohmann::json::object());
  return ExitCode::ok;
}

Outcome client_unregister(Context context, const std::string& name) {
  if (auto gone = Manager(context.connection).unregister_client(name); !gone) return gone.error();
  if (context.json) print_json({{"client", name}});
  return ExitCode::ok;
}

}  // namespace handover::ctl
