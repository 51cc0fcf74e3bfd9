// SPDX-License-Identifier: LGPL-2.1-or-later
// The bus as one process of the daemon sees it: calls to the clients of a world with their time
// limits, PID 1, and what is announced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/outside.h"
#include "fake_client.h"
#include "fake_host.h"

namespace handover::engine::test {

/// What everybody on the bus has seen, from whatever process of the daemon.
struct Announced {
  struct Loss {
    std::string session;
    std::string client;
    std::string reason;
  };
  struct Finished {
    std::string outcome;
    std::string reason;
    std::uint64_t generation = 0;
    std::size_t losses = 0;  ///< how many were told before
  };
  std::vector<Loss> losses;
  std::vector<Finished> finished;
  std::vector<std::string> calls;    ///< "Freeze guest"
  std::vector<std::string> signals;  ///< "client guest frozen", "session ram gone", …
  /// Where in `list` it is first; none: it is not.
  static std::optional<std::size_t> at(const std::vector<std::string>& list,
                                       const std::string& what);
  [[nodiscard]] std::size_t count(const std::string& call) const;
  [[nodiscard]] bool told_loss(const std::string& session, const std::string& client) const;
};

/// PID 1, as far as the daemon asks it for anything.
struct PidOne {
  bool boot_is_over = true;
  /// kexec.target's job waits, until the test says how it ends.
  bool kexec_job = false;
  unsigned withdrawals = 0;
  std::optional<Error> withdraw_error;
  std::uint64_t withdraw_takes_usec = 0;
  std::function<void(Error)> kexec_failed;
  ManagerFacts managers;  ///< what it and logind say
  std::vector<std::string> units_asked_for;
  bool shutdown_inhibited = false;
  unsigned inhibitions = 0;  ///< how often it became so
};

class FakeOutside final : public Outside {
 public:
  using Clients = std::map<std::string, std::unique_ptr<FakeClient>>;

  FakeOutside(Machine& machine, FakeHost& host, Clients& clients, Announced& announced,
              PidOne& pid_one)
      : machine_(machine),
        host_(host),
        clients_(clients),
        announced_(announced),
        pid_one_(pid_one) {}
  ~FakeOutside() override { *alive_ = false; }

  /// The bus answers in place of a connection that is gone.
  void connection_gone(const std::string& connection);
  [[nodiscard]] bool clock_is_stopped(const std::string& connection) const {
    return stopped_.contains(connection);
  }
  /// Connections whose clock stands still.
  [[nodiscard]] std::size_t stopped_clocks() const { return stopped_.size(); }
  /// start_clock() was called for one that did not stand still.
  [[nodiscard]] bool started_too_often() const { return started_too_often_; }

  void call_client(const ClientRecord& client, ClientCall call,
                   const ClientCallArguments& arguments,
                   std::function<void(const Answer&)> answered) override;
  void stop_clock(const std::string& connection) override;
  void start_clock(const std::string& connection) override;
  void start_orderly_kexec(std::function<void(Error)> failed) override;
  void withdraw_orderly_kexec(std::function<void(Result<void>)> done) override;
  void boot_is_over(std::function<void(bool)> answer) override;
  void ask_managers(const std::vector<std::string>& units,
                    std::function<void(ManagerFacts)> answer) override;
  void inhibit_shutdown(bool wanted) override {
    if (wanted && !pid_one_.shutdown_inhibited) ++pid_one_.inhibitions;
    pid_one_.shutdown_inhibited = wanted;
  }

  void manager_changed(const char* property) override;
  void session_changed(const std::string& session, const char* property) override;
  void session_added(const std::string& session) override;
  void session_removed(const std::string& session) override;
  void token_added(const std::string& session, std::uint64_t token) override;
  void token_removed(const std::string& session, std::uint64_t token) override;
  void client_added(const std::string& client) override;
  void client_removed(const std::string& client) override;
  void client_changed(const ClientRecord& client) override;
  void job_added(std::uint64_t id) override;
  void job_changed(std::uint64_t id) override;
  void job_removed(std::uint64_t id, Outcome result, const std::string& reason) override;
  void update_finished(Outcome outcome, const std::string& reason,
                       std::uint64_t generation) override;
  void kernel_judged(const std::string& release, KernelState state, const std::string& reason,
                     std::uint64_t generation) override;
  void state_lost(const std::string& session, const std::string& client,
                  const std::string& reason) override;

 private:
  struct Call {
    std::string connection;
    std::function<void(const Answer&)> answered;
    Clock::Alarm limit;
    std::uint64_t since_usec = 0;  ///< from when `left_usec` runs
    std::uint64_t left_usec = 0;
    bool timed_out = false;
  };

  void told(const std::string& what) { announced_.signals.push_back(what); }
  /// As a message that comes in: in the loop, a moment later.
  void soon(std::function<void()> what);
  void run_clock(std::uint64_t number);
  void limit_over(std::uint64_t number);
  void answer(std::uint64_t number, const Result<void>& result);

  Machine& machine_;
  FakeHost& host_;
  Clients& clients_;
  Announced& announced_;
  PidOne& pid_one_;
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t numbers_ = 0;
  std::map<std::string, unsigned> stopped_;  ///< without zeros
  bool started_too_often_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace handover::engine::test
