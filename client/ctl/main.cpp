// SPDX-License-Identifier: LGPL-2.1-or-later
// handoverctl: handoverd on the command line.
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "format.h"
#include "gate_window.h"
#include "notice.h"
#include "options.h"
#include "remote.h"

namespace {

using namespace handover::ctl;  // NOLINT(google-build-using-namespace): all of it is ours
namespace client = handover::client;

/// A sentence for people, an object for programs: one line either way.
int complain(const client::Error& error, ExitCode code, bool json) {
  if (json) {
    const nlohmann::json object = {{"error", error.name}, {"message", error.message}};
    using Text = nlohmann::json::error_handler_t;
    fprintf(stderr, "%s\n", object.dump(-1, ' ', false, Text::replace).c_str());
  } else {
    fprintf(stderr, "handoverctl: %s\n", one_line(error.message).c_str());
  }
  return static_cast<int>(code);
}

/// Runs the command parsed.
struct Runner {
  Context context;

  std::optional<std::uint64_t> timeout_usec;

  Outcome operator()(const OverviewCommand&) const { return show_all(context); }
  Outcome operator()(const StatusCommand& c) const { return show_status(context, c.verbose); }
  Outcome operator()(const ClientsCommand&) const { return show_clients(context); }
  Outcome operator()(const SessionsCommand& c) const { return show_sessions(context, c.name); }
  Outcome operator()(const PreflightCommand& c) const { return show_preflight(context, c.request); }
  Outcome operator()(const UpdateCommand& c) const {
    if (c.wait_for_window) {
      if (auto opened = wait_for_window(context); !opened) return opened;
    }
    return c.block ? update(context, c.request) : begin_update(context, c.request);
  }
  Outcome operator()(const CancelCommand& c) const { return cancel(context, c.block); }
  Outcome operator()(const WaitCommand& c) const {
    return wait_for(context, c.awaited, timeout_usec);
  }
  Outcome operator()(const UnregisterCommand& c) const {
    return client_unregister(context, c.client);
  }
  Outcome operator()(const MonitorCommand&) const { return monitor(context); }
  Outcome operator()(const HistoryCommand& c) const { return show_history(context, c.id, c.most); }
  Outcome operator()(const MetricsCommand& c) const { return show_metrics(context, c.request); }
  Outcome operator()(const KernelsCommand&) const { return show_kernels(context); }
  Outcome operator()(const AllowKernelCommand& c) const { return allow_kernel(context, c.release); }
  Outcome operator()(const CreateCommand& c) const {
    return session_create(context, c.name, c.backend, c.client);
  }
  Outcome operator()(const PreserveCommand& c) const {
    return session_preserve(context, c.name, c.token, c.source);
  }
  Outcome operator()(const UnpreserveCommand& c) const {
    return session_unpreserve(context, c.name, c.token);
  }
  Outcome operator()(const RetrieveCommand& c) const {
    return session_retrieve(context, c.name, c.token, c.target);
  }
  Outcome operator()(const FinishCommand& c) const { return session_finish(context, c.name); }
  Outcome operator()(const DiscardCommand& c) const { return session_discard(context, c.name); }
  Outcome operator()(const InformationCommand&) const { return ExitCode::ok; }
};

int run(const Options& options) {
  if (options.json) Notice::silence();
  const auto* retrieve = std::get_if<RetrieveCommand>(&options.command);
  if (retrieve && retrieve->target.output.empty() && retrieve->target.command.empty() &&
      isatty(STDOUT_FILENO) != 0) {
    return complain({HANDOVER_ERROR_PREFIX "InvalidArgument",
                     "The contents would go to the terminal: give --output FILE or -- COMMAND.", 0},
                    ExitCode::usage, options.json);
  }
  const Remote& remote = options.remote;
  const Environment environment;
  if (remote) {
    if (auto gone = go_to(remote); !gone) {
      return complain(gone.error(), exit_code_of(gone.error().name), options.json);
    }
  }
  // The bus first: unlike the private socket it stays when the daemon re-executes itself.
  auto connection = client::Connection::open({HANDOVER_CONNECT_PREFER_BUS, 0, nullptr});
  if (!connection) {
    const auto& error = connection.error();
    const auto code = exit_code_of(error.name);
    if (const auto* metrics = std::get_if<MetricsCommand>(&options.command)) {
      const auto told =
          show_metrics_without_daemon(metrics->request, error, static_cast<bool>(remote));
      if (!told && !told.error().is(error.name)) {  // nor could that be written
        return complain(told.error(), exit_code_of(told.error().name), options.json);
      }
    }
    return complain(remote ? not_reached(remote, error) : error,
                    code == ExitCode::access_denied ? code : ExitCode::unreachable, options.json);
  }
  if (remote) stay_with(remote);
  // polkit may ask the person at the terminal. A bus that refuses this will refuse the call, too.
  if (sd_bus_set_allow_interactive_authorization(connection->bus(), 1) < 0) {
    return complain({SD_BUS_ERROR_DISCONNECTED, "Cannot set up the connection to the bus.", 0},
                    ExitCode::unreachable, options.json);
  }
  if (const auto limit = call_limit_usec(options, geteuid() == 0))
    connection->set_call_timeout(*limit);
  const Context context{*connection,   environment,    options.json,
                        options.quiet, options.legend, remote.kind == Remote::Kind::host};
  const auto outcome = std::visit(Runner{context, options.timeout_usec}, options.command);
  if (!outcome) {
    const bool updates = std::holds_alternative<UpdateCommand>(options.command);
    const auto& name = outcome.error().name;
    return complain(outcome.error(), updates ? update_exit_code_of(name) : exit_code_of(name),
                    options.json);
  }
  if (fflush(stdout) != 0 || ferror(stdout) != 0) {
    return complain({HANDOVER_ERROR_PREFIX "Io", "Cannot write to standard output.", 0},
                    ExitCode::failed, options.json);
  }
  return static_cast<int>(outcome.value());
}

int parse_and_run(const std::vector<std::string>& arguments) {
  auto options = parse_options(arguments);
  if (!options) return complain(options.error(), ExitCode::usage, asks_for_json(arguments));
  if (const auto* information = std::get_if<InformationCommand>(&options->command)) {
    return fputs(information->text.c_str(), stdout) < 0 || fflush(stdout) != 0 ? 1 : 0;
  }
  return run(*options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return parse_and_run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {  // no memory, say
    fprintf(stderr, "handoverctl: %s\n", error.what());
    return static_cast<int>(ExitCode::failed);
  }
}
