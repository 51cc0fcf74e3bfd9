// SPDX-License-Identifier: LGPL-2.1-or-later
// The command line of handoverctl as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "commands.h"
#include "remote.h"

namespace handover::ctl {

struct StatusCommand {
  bool verbose = false;  ///< also the daemon's counters
};
struct ClientsCommand {};
struct SessionsCommand {
  std::string name;
};
struct UpdateCommand {
  UpdateRequest request;
  bool block = true;             ///< until it has ended
  bool wait_for_window = false;  ///< of the fleet's gate, before it begins
};
struct PreflightCommand {
  UpdateRequest request;
};
/// Without a command.
struct OverviewCommand {};
struct CancelCommand {
  bool block = true;  ///< until everybody runs
};
struct WaitCommand {
  Awaited awaited;
};
struct UnregisterCommand {
  std::string client;
};
struct MonitorCommand {};
struct HistoryCommand {
  std::optional<std::uint64_t> id;
  std::uint32_t most = 20;
};
struct MetricsCommand {
  MetricsRequest request;
};
struct KernelsCommand {};
struct AllowKernelCommand {
  std::string release;
};
struct CreateCommand {
  std::string name, backend, client;
};
struct PreserveCommand {
  std::string name;
  std::uint64_t token = 0;
  PreserveSource source;
};
struct UnpreserveCommand {
  std::string name;
  std::uint64_t token = 0;
};
struct RetrieveCommand {
  std::string name;
  std::uint64_t token = 0;
  RetrieveTarget target;
};
struct FinishCommand {
  std::string name;
};
struct DiscardCommand {
  std::string name;
};
/// --help, --version: a text for stdout.
struct InformationCommand {
  std::string text;
};

using Command =
    std::variant<OverviewCommand, StatusCommand, ClientsCommand, SessionsCommand, PreflightCommand,
                 UpdateCommand, CancelCommand, WaitCommand, UnregisterCommand, MonitorCommand,
                 HistoryCommand, MetricsCommand, KernelsCommand, AllowKernelCommand, CreateCommand,
                 PreserveCommand, UnpreserveCommand, RetrieveCommand, FinishCommand, DiscardCommand,
                 InformationCommand>;

struct Options {
  Command command;
  bool json = false;
  bool quiet = false;
  bool legend = true;
  std::optional<std::uint64_t> timeout_usec;  ///< of one call, or of all of `wait`
  Remote remote;                              ///< whose handoverd
};

/// The time limit of one call; none: the library's, minutes. Whoever only looks waits as long as
/// D-Bus does; preserving much memory takes its time, and so does a person whom polkit asks, as it
/// asks about all users but root.
std::optional<std::uint64_t> call_limit_usec(const Options& options, bool is_root);

/// Whether a mistake in the arguments is to be told as JSON, though they cannot be parsed.
bool asks_for_json(const std::vector<std::string>& arguments);

/// The arguments without argv[0].
client::Result<Options> parse_options(const std::vector<std::string>& arguments);

}  // namespace handover::ctl
