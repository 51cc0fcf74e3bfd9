// SPDX-License-Identifier: LGPL-2.1-or-later
// What handoverctl can do: one function each, which prints to stdout and returns how it went.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <vector>

#include "exit_code.h"
#include "manager.h"
#include "remote.h"

namespace handover::ctl {

/// What every command needs.
struct Context {
  client::Connection& connection;
  const Environment& environment;  ///< for the commands that are run
  bool json = false;
  bool quiet = false;   ///< no progress
  bool legend = true;   ///< titles over tables
  bool remote = false;  ///< the daemon is another host's
};

/// An ExitCode other than ok: the command itself has said why.
using Outcome = client::Result<ExitCode>;

/// `verbose`: for people also the counters, which the JSON always has.
Outcome show_status(Context context, bool verbose);
/// What one wants to see first: status, clients and sessions.
Outcome show_all(Context context);
Outcome show_clients(Context context);
/// With a name: the tokens of that session.
Outcome show_sessions(Context context, const std::string& name);
/// With an id: that update in full.
Outcome show_history(Context context, std::optional<std::uint64_t> id, std::uint32_t most);
Outcome monitor(Context context);

/// What an update would meet. The exit code is that of the worst.
Outcome show_preflight(Context context, const UpdateRequest& request);

/// This host's kernel images, and what earlier updates say of them.
Outcome show_kernels(Context context);
/// A bad kernel is untried again.
Outcome allow_kernel(Context context, const std::string& release);

/// Update or Prepare, followed to its end.
Outcome update(Context context, const UpdateRequest& request);
/// The same, only begun: prints its number.
Outcome begin_update(Context context, const UpdateRequest& request);
/// `block`: until everybody runs.
Outcome cancel(Context context, bool block);
/// What `wait` waits for.
struct Awaited {
  std::string state;  ///< of the daemon; "": `client` is in `phase`
  std::string client, phase;
};
/// Without a limit: for ever.
Outcome wait_for(Context context, const Awaited& awaited, std::optional<std::uint64_t> limit_usec);
/// What `metrics` writes, and where.
struct MetricsRequest {
  std::string output;      ///< a file, in the text format; "": standard output
  bool text = false;       ///< the text format there, too
  bool preflight = false;  ///< ask what an update would meet: reads the target through
  bool http = false;       ///< standard input and output are a socket with one request
  std::string fleet_state =
      "/run/handover-fleet/status.json";  ///< what handover-fleet says of itself
};
/// What handoverd cannot tell is left out, and the error that ended it is returned when all else is
/// written.
Outcome show_metrics(Context context, const MetricsRequest& request);
/// The same where no daemon is reached, since `reason`, which is returned.
Outcome show_metrics_without_daemon(const MetricsRequest& request, const client::Error& reason,
                                    bool remote);
Outcome client_unregister(Context context, const std::string& name);

struct PreserveSource {
  int fd = -1;       ///< an inherited descriptor
  std::string file;  ///< a path
  bool standard_input = false;
  std::string backend;  ///< "": where it is kept best
};
struct RetrieveTarget {
  std::string output;  ///< "": stdout
  std::vector<std::string> command;
};
Outcome session_create(Context context, const std::string& name, const std::string& backend,
                       const std::string& client);
Outcome session_preserve(Context context, const std::string& name, std::uint64_t token,
                         const PreserveSource& source);
Outcome session_unpreserve(Context context, const std::string& name, std::uint64_t token);
Outcome session_retrieve(Context context, const std::string& name, std::uint64_t token,
                         const RetrieveTarget& target);
Outcome session_finish(Context context, const std::string& name);
Outcome session_discard(Context context, const std::string& name);

/// One JSON document and a line end on stdout.
void print_json(const nlohmann::json& json);

}  // namespace handover::ctl
