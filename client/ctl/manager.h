// SPDX-License-Identifier: LGPL-2.1-or-later
// org.handover1.Manager and .Job as typed calls (docs/dbus.md).
#pragma once

#include <cstdint>
#include <functional>
#include <handover/handover.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus.h"

namespace handover::ctl {

struct Status {
  std::string version, state, backend, current_job;  ///< current_job: "/" if none
  std::vector<std::string> backends;
  std::uint64_t generation = 0;
  bool emulated = false;
  bool module = false;  ///< the companion module is there
  std::uint64_t module_abi = 0, module_format = 0;
  std::uint64_t module_lost = 0;  ///< sessions that it found damaged
};

struct ClientRow {
  std::string name, path, bus_name, phase;
  std::uint32_t uid = 0;
  std::vector<std::string> needs;
  bool required = false;
};

struct SessionRow {
  std::string name, path, client;
  std::string backend;  ///< those that hold its tokens, joined by '+'
  std::uint32_t uid = 0;
  bool incoming = false;
  std::uint32_t descriptors = 0;
  std::uint64_t bytes = 0;
};

struct JobStatus {
  std::string type, phase, detail;
  std::uint64_t progress = 0;  ///< 0 to 100
};

struct UpdateRequest {
  enum class Kind { prepare, rehearse, update };
  Kind kind = Kind::update;
  std::optional<std::uint64_t> at_most_usec;  ///< of a rehearsal
  std::optional<std::string> kernel, initrd, cmdline, mode;
  std::optional<std::string> allow;  ///< ids of findings, by commas
};

struct FindingRow {
  std::string id, severity, message, advice;
};

struct KernelRow {
  std::string path, release, state, reason, when;
  bool running = false;
};

class Manager {
 public:
  /// Whether a call starts a handoverd that does not run.
  enum class Start { yes, no };
  explicit Manager(client::Connection& connection, Start start = Start::yes)
      : connection_(connection), start_(start) {}

  client::Result<Status> status();
  client::Result<std::vector<ClientRow>> clients();
  client::Result<std::vector<SessionRow>> sessions();
  client::Result<JobStatus> job(const std::string& path);
  /// The daemon's counters by name; none from a daemon that does not count.
  client::Result<Properties> statistics();
  /// Newest first, at most so many. Checked to be an array of objects.
  client::Result<nlohmann::json> history(std::uint32_t most);
  /// What such an update would meet, the gravest first.
  client::Result<std::vector<FindingRow>> preflight(const UpdateRequest& request);
  client::Result<std::vector<KernelRow>> kernels();
  client::Result<void> allow_kernel(const std::string& release);
  client::Result<void> cancel();
  client::Result<void> unregister_client(const std::string& name);
  /// Answered through `done` with the job's path, when preflight has passed.
  client::Result<Slot> request(const UpdateRequest& request,
                               std::function<void(client::Result<std::string>)>* done);

 private:
  client::Result<Message> new_call(const char* method);
  client::Result<Message> call(const Message& message);
  client::Result<Properties> get_all(const char* path, const char* interface);

  client::Connection& connection_;
  Start start_;
};

}  // namespace handover::ctl
