// SPDX-License-Identifier: LGPL-2.1-or-later
// A whole emulated host: private bus, service manager, daemon, an administrator and an observer.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <source_location>
#include <string>
#include <vector>

#include "connection.h"
#include "event_loop.h"
#include "journal.h"
#include "observer.h"
#include "private_bus.h"
#include "scripted_client.h"
#include "service_manager.h"
#include "support/temporary_directory.h"
#include "syscall_gate.h"

namespace handover::test {

struct ListedClient {
  std::string name, path, bus_name;
  std::uint32_t uid = 0;
  std::vector<std::string> needs;
  bool required = false;
  std::string phase;
  bool operator==(const ListedClient&) const = default;
};

struct ListedSession {
  std::string name, path, backend;
  std::uint32_t uid = 0;
  std::string client;
  bool incoming = false;
  std::uint32_t descriptors = 0;
  std::uint64_t bytes = 0;
  bool operator==(const ListedSession&) const = default;
};

/// Where the Session object of that name is.
std::string session_path(const std::string& name);
/// The descriptor of a reply to Retrieve; empty if there is none.
UniqueFd descriptor_of(const Answer& answer);

/// The end of an update, as UpdateFinished tells it.
struct Finished {
  std::string outcome;
  std::string reason;
  std::string generation;
};

class Host {
 public:
  /// `config` goes over these: short time limits, so that a test of one takes no longer than it
  /// must. The observer subscribes and sees all;
  /// with `only`, what matches it of what is always sent.
  explicit Host(const nlohmann::json& config = {}, const char* only = nullptr,
                const PrivateBus::Limits& bus_limits = {});
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// Before boot(): every daemon of this host goes through the gate.
  SyscallGate& gate();
  /// Starts the daemon and waits until it serves; throws if it does not. The constructor does not
  /// start it.
  void boot();
  /// The running process has the bus name. It can be long before READY=1: while clients are being
  /// restored or thawed.
  [[nodiscard]] bool serves();
  /// `kill -9`, and waits until its successor serves.
  [[nodiscard]] bool kill_daemon();
  /// The bus dies and comes back; administrator and observer are on the new one.
  void restart_bus();
  [[nodiscard]] Address bus_address() const { return {bus_.address()}; }
  [[nodiscard]] Address bus_address_of(int uid) const;
  [[nodiscard]] Address private_address() const;
  /// The numbers in the property Statistics.
  [[nodiscard]] std::map<std::string, std::uint64_t> statistics();
  /// One of them; 0 if there is none of that name.
  [[nodiscard]] std::uint64_t statistic(const std::string& name);

  EventLoop& loop() { return loop_; }
  PrivateBus& bus() { return bus_; }
  ServiceManager& manager() { return manager_; }
  Connection& admin() { return *admin_; }
  Observer& observer() { return *observer_; }
  Journal& journal() { return journal_; }
  [[nodiscard]] const TemporaryDirectory& directory() const { return directory_; }

  /// A client on the bus, started, registered, with its memory preserved (memory: by the caller,
  /// between add() and start()).
  ScriptedClient& add(ScriptedClient::Setup setup, const std::optional<Address>& address = {});
  [[nodiscard]] std::vector<std::unique_ptr<ScriptedClient>>& clients() { return clients_; }
  /// Starts all that add() made, and waits until all are registered with their memory preserved.
  [[nodiscard]] bool start_clients();

  // org.handover1.Manager
  [[nodiscard]] std::string state();
  [[nodiscard]] std::uint64_t generation();
  [[nodiscard]] std::vector<ListedClient> list_clients();
  [[nodiscard]] std::vector<ListedSession> list_sessions();
  [[nodiscard]] std::optional<std::string> phase_of(const std::string& client);
  [[nodiscard]] nlohmann::json history();
  Answer update() { return request("Update"); }
  /// A whole update, which must end with `outcome`; how it ended.
  Finished update_ends(const char* outcome,
                       const std::source_location& where = std::source_location::current());
  /// Starts an update that `client` holds up at `call`. Its job's path; none if it does not come
  /// that far.
  std::optional<std::string> update_held_by(ScriptedClient& client, Call call);
  Answer prepare() { return request("Prepare"); }
  Answer cancel() { return admin().call(manager_path, manager_interface, "Cancel"); }
  Answer request(const char* member, const std::vector<std::pair<std::string, std::string>>& = {});
  Answer create_session(const std::string& name);
  Answer preserve(const std::string& session, std::uint64_t token, int fd);
  Answer retrieve(const std::string& session, std::uint64_t token);
  /// A call of the Session interface without arguments: Finish, Discard.
  Answer end_session(const std::string& session, const char* member);

  /// The next UpdateFinished; a failed test if none comes.
  Finished finished();
  /// Runs the loop until the Manager's State was `state` (again) after the observer's last clear().
  [[nodiscard]] bool reaches(const std::string& state);
  [[nodiscard]] bool run_until(const std::function<bool()>& done) { return loop_.run_until(done); }
  /// Waits until that is in the daemon's log, which is written beside its other work.
  [[nodiscard]] bool log_says(const std::string& text);

  /// What must hold whenever no update runs: nobody frozen or prepared, no complaint, no crash.
  void expect_calm();
  /// Ends the daemon and looks into its log for what a sanitizer found. Called by the destructor.
  void shut_down();

 private:
  std::unique_ptr<Observer> watch();

  EventLoop loop_;
  TemporaryDirectory directory_;
  PrivateBus bus_;
  ServiceManager manager_;
  std::unique_ptr<SyscallGate> gate_;
  Journal journal_;
  std::unique_ptr<Connection> admin_;
  const char* only_;
  std::unique_ptr<Observer> observer_;
  std::vector<std::unique_ptr<ScriptedClient>> clients_;
  bool down_ = false;
};

}  // namespace handover::test
