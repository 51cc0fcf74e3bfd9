// SPDX-License-Identifier: LGPL-2.1-or-later
// status, clients, sessions, history.
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "commands.h"
#include "format.h"
#include "history.h"
#include "statistics.h"
#include "table.h"

namespace handover::ctl {
namespace {

using nlohmann::json;

void print(const std::string& text) { fputs(text.c_str(), stdout); }

/// What does not fit goes on below, also in a pipe: nothing is lost.
void print_line(const char* name, const std::string& value) {
  constexpr std::size_t before_value = 13;
  std::string label = std::string(name) + ":";
  for (const auto& line : wrap_text(value, output_width() - before_value)) {
    printf("%12s %s\n", label.c_str(), one_line(line).c_str());
    label.clear();
  }
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string module_text(const Status& status) {
  if (!status.module) return status.emulated ? "not used" : "not loaded (modprobe handover)";
  std::string text = "loaded, ABI " + std::to_string(status.module_abi) + ", format " +
                     std::to_string(status.module_format);
  if (status.module_lost != 0) {
    text += "; sessions found damaged: " + std::to_string(status.module_lost);
  }
  return text;
}

/// "luo+tracker" → both.
std::vector<std::string> parts_of(const std::string& joined_names) {
  std::vector<std::string> names;
  std::size_t from = 0;
  while (from <= joined_names.size()) {
    const auto end = std::min(joined_names.find('+', from), joined_names.size());
    names.push_back(joined_names.substr(from, end - from));
    from = end + 1;
  }
  return names;
}

std::string count(std::size_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

}  // namespace

// Bytes that are not UTF-8 come out as U+FFFD: a name is never a reason to print nothing.
void print_json(const json& document) {
  print(document.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

Outcome show_status(Context context, bool verbose) {
  Manager manager(context.connection);
  // First: the daemon looks at the companion module for it.
  auto sessions = manager.sessions();
  if (!sessions) return sessions.error();
  auto status = manager.status();
  if (!status) return status.error();
  auto clients = manager.clients();
  if (!clients) return clients.error();
  auto history = manager.history(1);
  if (!history) return history.error();
  auto statistics = manager.statistics();
  if (!statistics) return statistics.error();
  std::optional<JobStatus> job;
  if (status->current_job != "/") {
    // It may have ended since.
    if (auto running = manager.job(status->current_job)) job = *running;
  }
  utsname kernel = {};
  uname(&kernel);
  std::uint64_t descriptors = 0;
  std::uint64_t bytes = 0;
  for (const auto& session : *sessions) {
    descriptors += session.descriptors;
    bytes += session.bytes;
  }

  if (context.json) {
    json document = {{"version", status->version},
                     {"state", status->state},
                     {"generation", status->generation},
                     {"backend", status->backend},
                     {"backends", status->backends},
                     {"emulated", status->emulated},
                     {"module", nullptr},
                     {"kernel", nullptr},
                     {"clients", clients->size()},
                     {"sessions", sessions->size()},
                     {"descriptors", descriptors},
                     {"bytes", bytes},
                     {"job", nullptr},
                     {"last_update", nullptr},
                     {"statistics", statistics_json(*statistics)}};
    if (!context.remote) document["kernel"] = kernel.release;
    if (status->module) {
      document["module"] = {{"abi", status->module_abi},
                            {"format", status->module_format},
                            {"lost", status->module_lost}};
    }
    if (job) {
      document["job"] = {{"path", status->current_job},
                         {"type", job->type},
                         {"phase", job->phase},
                         {"progress", job->progress},
                         {"detail", job->detail}};
    }
    if (!history->empty()) document["last_update"] = history->front();
    print_json(document);
    return ExitCode::ok;
  }

  print_line("State", status->state);
  print_line("Generation", std::to_string(status->generation));
  if (!context.remote) print_line("Kernel", kernel.release);
  print_line("Backend", status->backend +
                            (status->emulated ? " (an update re-executes the daemon only)" : "") +
                            "; available: " + joined(status->backends));
  print_line("Module", module_text(*status));
  print_line("Clients", std::to_string(clients->size()));
  print_line("Sessions", std::to_string(sessions->size()) + " with " +
                             count(descriptors, "descriptor") + ", " + format_bytes(bytes));
  if (job) {
    print_line("Job", job->type + ", " + std::to_string(job->progress) + "%, " + job->phase + ": " +
                          job->detail);
  }
  if (!history->empty()) {
    const json& last = history->front();
    print_line("Last update", std::to_string(json_number(last, "id")) + ", " +
                                  json_text(last, "outcome") + ", " + blackout_text(last) + ", " +
                                  json_text(last, "finished_at") + left_out_text(last));
  }
  print_line("Version", status->version);
  if (verbose) print("\n" + statistics_text(*statistics, output_width()));
  return ExitCode::ok;
}

Outcome show_all(Context context) {
  if (auto shown = show_status(context, false); !shown || context.json) return shown;
  print("\n");
  if (auto shown = show_clients(context); !shown) return shown;
  print("\n");
  return show_sessions(context, "");
}

Outcome show_clients(Context context) {
  auto clients = Manager(context.connection).clients();
  if (!clients) return clients.error();
  if (context.json) {
    json document = json::array();
    for (const auto& client : *clients) {
      document.push_back({{"name", client.name},
                          {"path", client.path},
                          {"bus_name", client.bus_name},
                          {"uid", client.uid},
                          {"needs", client.needs},
                          {"required", client.required},
                          {"phase", client.phase}});
    }
    print_json(document);
    return ExitCode::ok;
  }
  Table table({{"CLIENT", false, true},
               {"PHASE", false, false},
               {"REQUIRED", false, false},
               {"UID", true, false},
               {"BUS NAME", false, false},
               {"NEEDS", false, true}});
  for (const auto& client : *clients) {
    table.add({client.name, client.phase, client.required ? "yes" : "no",
               std::to_string(client.uid), client.bus_name.empty() ? "-" : client.bus_name,
               client.needs.empty() ? "-" : joined(client.needs)});
  }
  if (table.empty()) {
    fflush(stdout);
    fputs("No clients are registered.\n", stderr);
  } else {
    print(table.text(output_width(), context.legend));
  }
  return ExitCode::ok;
}

namespace {

Outcome show_tokens(Context context, const std::string& name) {
  // With it the daemon looks at what owners did in the module by themselves; reading Tokens alone
  // must not wait for the kernel.
  if (auto looked = Manager(context.connection).sessions(); !looked) return looked.error();
  auto session = context.connection.get_session(name);
  if (!session) return session.error();
  auto tokens = session->tokens();
  if (!tokens) return tokens.error();
  if (context.json) {
    json document = json::array();
    for (const auto& token : *tokens) {
      document.push_back({{"token", token.token},
                          {"kind", token.kind},
                          {"bytes", token.bytes},
                          {"backend", token.backend},
                          {"retrieved", token.retrieved != 0}});
    }
    print_json(document);
    return ExitCode::ok;
  }
  Table table({{"TOKEN", true, false},
               {"KIND", false, false},
               {"BACKEND", false, false},
               {"SIZE", true, false},
               {"RETRIEVED", false, false}});
  for (const auto& token : *tokens) {
    table.add({std::to_string(token.token), token.kind, token.backend, format_bytes(token.bytes),
               token.retrieved ? "yes" : "no"});
  }
  if (table.empty()) {
    fputs("The session holds nothing.\n", stderr);
  } else {
    print(table.text(output_width(), context.legend));
  }
  return ExitCode::ok;
}

}  // namespace

Outcome show_sessions(Context context, const std::string& name) {
  if (!name.empty()) return show_tokens(context, name);
  auto sessions = Manager(context.connection).sessions();
  if (!sessions) return sessions.error();
  if (context.json) {
    json document = json::array();
    for (const auto& session : *sessions) {
      document.push_back({{"name", session.name},
                          {"path", session.path},
                          {"backend", session.backend},
                          {"backends", parts_of(session.backend)},
                          {"uid", session.uid},
                          {"client", session.client},
                          {"incoming", session.incoming},
                          {"descriptors", session.descriptors},
                          {"bytes", session.bytes}});
    }
    print_json(document);
    return ExitCode::ok;
  }
  Table table({{"SESSION", false, true},
               {"CLIENT", false, true},
               {"BACKEND", false, false},
               {"DIRECTION", false, false},
               {"UID", true, false},
               {"FDS", true, false},
               {"SIZE", true, false}});
  for (const auto& session : *sessions) {
    table.add({session.name, session.client.empty() ? "-" : session.client, session.backend,
               session.incoming ? "incoming" : "outgoing", std::to_string(session.uid),
               std::to_string(session.descriptors), format_bytes(session.bytes)});
  }
  if (table.empty()) {
    fflush(stdout);
    fputs("There are no sessions.\n", stderr);
  } else {
    print(table.text(output_width(), context.legend));
  }
  return ExitCode::ok;
}

Outcome show_history(Context context, std::optional<std::uint64_t> id, std::uint32_t most) {
  auto history = Manager(context.connection).history(id ? UINT32_MAX : most);
  if (!history) return history.error();
  if (id) {
    for (const auto& entry : *history) {
      if (json_number(entry, "id") != *id) continue;
      if (context.json) {
        print_json(entry);
      } else {
        print(history_entry(entry, output_width()));
      }
      return ExitCode::ok;
    }
    return client::Error{HANDOVER_ERROR_PREFIX "NoSuchUpdate",
                         "There is no record of an update " + std::to_string(*id) +
                             "; list them with 'handoverctl history'.",
                         ENOENT};
  }
  if (context.json) {
    print_json(*history);
  } else if (history->empty()) {
    fputs("There was no update yet.\n", stderr);
  } else {
    print(history_list(*history, output_width(), context.legend));
  }
  return ExitCode::ok;
}

}  // namespace handover::ctl
