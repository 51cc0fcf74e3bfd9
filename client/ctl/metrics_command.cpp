// SPDX-License-Identifier: LGPL-2.1-or-later
// metrics: what handoverd can tell, for Prometheus.
#include <poll.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string_view>

#include "commands.h"
#include "file.h"
#include "http.h"
#include "metrics.h"
#include "output.h"

namespace handover::ctl {
namespace {

/// What was read, and what could not be: the rest is told all the same.
struct Collected {
  MetricsInput input;
  std::optional<client::Error> trouble;
};

/// What handover-fleet writes of itself. Null where it is not there.
client::Result<nlohmann::json> read_gate(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    if (errno == ENOENT) return nlohmann::json();
    return system_error("Cannot read " + path);
  }
  auto state = nlohmann::json::parse(file, nullptr, false);
  if (state.is_object()) return state;
  return client::Error{HANDOVER_ERROR_PREFIX "Io", path + " is no JSON object.", EBADMSG};
}

client::Result<void> read_daemon(Manager& manager, MetricsInput* input) {
  auto status = manager.status();
  if (!status) return status.error();
  auto clients = manager.clients();
  if (!clients) return clients.error();
  auto sessions = manager.sessions();
  if (!sessions) return sessions.error();
  auto history = manager.history(UINT32_MAX);
  if (!history) return history.error();
  auto statistics = manager.statistics();
  if (!statistics) return statistics.error();
  if (status->current_job != "/") {
    // It may have ended since.
    if (auto job = manager.job(status->current_job)) input->job = *job;
  }
  input->clients = std::move(*clients);
  input->sessions = std::move(*sessions);
  input->history = std::move(*history);
  input->statistics = std::move(*statistics);
  input->status = std::move(*status);
  return {};
}

/// While an update runs, nobody is told what another one would meet: no trouble.
std::optional<client::Error> read_preflight(Manager& manager, MetricsInput* input) {
  input->asked_preflight = true;
  auto findings = manager.preflight({});
  if (!findings) {
    if (findings.error().is(HANDOVER_ERROR_PREFIX "Busy")) return std::nullopt;
    return findings.error();
  }
  input->findings = std::move(*findings);
  auto kernels = manager.kernels();
  if (!kernels) return kernels.error();
  input->kernels = std::move(*kernels);
  return std::nullopt;
}

/// Of this host, whether or not handoverd is there.
Collected collect_host(const MetricsRequest& request) {
  Collected collected;
  utsname kernel = {};
  if (uname(&kernel) == 0) collected.input.release = kernel.release;
  auto gate = read_gate(request.fleet_state);
  if (gate) {
    collected.input.gate = std::move(*gate);
  } else {
    collected.trouble = gate.error();
  }
  return collected;
}

Collected collect(const Context& context, const MetricsRequest& request) {
  Collected collected = context.remote ? Collected() : collect_host(request);
  // Somebody who only looks must not start what was stopped.
  Manager manager(context.connection, Manager::Start::no);
  if (auto read = read_daemon(manager, &collected.input); !read) {
    collected.trouble = read.error();
  } else if (request.preflight) {
    if (auto refused = read_preflight(manager, &collected.input)) collected.trouble = refused;
  }
  return collected;
}

/// Reads standard input up to the end of a request's head. Whoever is slow, or sends too much, gets
/// an answer, too.
HttpRequest read_request() {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(10);
  std::string head;
  while (!http_head_complete(head)) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    const int ready = left > 0 ? poll(&input, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return {408, false, Exposition::text};
    std::array<char, 1024> chunk{};
    const ssize_t n = read(STDIN_FILENO, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    head.append(chunk.data(), static_cast<std::size_t>(n));
    if (head.size() > longest_http_head) return {400, false, Exposition::text};
  }
  return http_request_of(head);
}

/// Whoever asked may have left: that is no failure of ours.
client::Result<void> answer(const std::string& response) {
  auto written = write_all(STDOUT_FILENO, response.data(), response.size(), "standard output");
  if (!written && (written.error().code == EPIPE || written.error().code == ECONNRESET)) return {};
  return written;
}

client::Result<void> write_metrics(const MetricsRequest& request, const MetricsInput& input) {
  const bool text = request.text || !request.output.empty();
  const auto document =
      exposition_of(metrics_of(input), text ? Exposition::text : Exposition::openmetrics);
  auto output = Output::open(request.output, document.size());
  if (!output) return output.error();
  if (auto written = output->write(document); !written) return written;
  // Whoever collects the file is not us.
  if (auto readable = output->share(); !readable) return readable;
  return output->commit();
}

/// `collect` is called when somebody really wants to know.
template <typename Collect>
Outcome tell(const MetricsRequest& request, Collect collect) {
  if (request.http) {
    const auto asked = read_request();
    if (asked.status != 200) {
      if (auto answered = answer(http_response(asked, "")); !answered) return answered.error();
      return ExitCode::ok;
    }
    const Collected collected = collect();
    const auto document = exposition_of(metrics_of(collected.input), asked.format);
    if (auto answered = answer(http_response(asked, document)); !answered) return answered.error();
    if (collected.trouble) return *collected.trouble;
    return ExitCode::ok;
  }
  const Collected collected = collect();
  if (auto written = write_metrics(request, collected.input); !written) return written.error();
  if (collected.trouble) return *collected.trouble;
  return ExitCode::ok;
}

}  // namespace

Outcome show_metrics(Context context, const MetricsRequest& request) {
  return tell(request, [&] { return collect(context, request); });
}

Outcome show_metrics_without_daemon(const MetricsRequest& request, const client::Error& reason,
                                    bool remote) {
  return tell(request, [&] {
    Collected collected = remote ? Collected() : collect_host(request);
    collected.trouble = reason;
    return collected;
  });
}

}  // namespace handover::ctl
