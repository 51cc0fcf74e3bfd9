// SPDX-License-Identifier: LGPL-2.1-or-later
// The shell around the state machine: performs its actions, feeds it events, keeps the manifest.
//
// One thread, the loop's; what takes long runs on the worker and comes back as an event. While the
// worker has the sessions (worker_busy_), nobody else touches them.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/graph.h"
#include "core/manifest.h"
#include "core/preflight.h"
#include "core/state_machine.h"
#include "core/update_options.h"
#include "engine/history.h"
#include "engine/outside.h"
#include "engine/pending.h"
#include "engine/sessions.h"
#include "system/loop.h"

namespace handover::engine {

/// What is tried again while the state directory's file system is not there: early in a boot /var
/// may not be mounted, or not be writable yet.
inline constexpr std::uint64_t state_retry_usec = 1'000'000;
inline constexpr unsigned state_tries = 300;

/// Who asks, as the bus told.
struct Caller {
  Owner owner;
  std::string connection;  ///< unique bus name, or "direct-N"
};

using handover::UpdateOptions;

enum class JobType { prepare, update };

struct Job {
  std::uint64_t id = 0;
  JobType type = JobType::update;
  std::string phase;
  unsigned progress = 0;  ///< percent of the whole
  std::string detail;
};

struct Setup {
  Config config;
  std::string runtime_directory;  ///< manifest.json of this boot
  std::string state_directory;    ///< history.json, pending.json
  std::vector<std::string> argv;  ///< to execute ourselves again (emulated)
  bool emulated_kexec = false;    ///< this process is such an execution
  Ticks started_at = 0;           ///< counter when main() began
  std::function<void()> settled;  ///< called once, when nothing is left to restore
};

class Engine {
 public:
  Engine(system::Loop& loop, Outside& outside, Sessions sessions, Setup setup);
  ~Engine() { stop_worker_ = true; }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Finds out what there is to go on with: nothing, an interrupted update of this boot, or the
  /// manifest of an earlier kernel. Call once, when `outside` can take calls.
  void start(std::vector<system::NamedFd> fds);

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  [[nodiscard]] bool emulated() const { return sessions_.default_backend() == "emulated"; }
  [[nodiscard]] const Sessions& sessions() const { return sessions_; }
  [[nodiscard]] const std::map<std::string, ClientRecord>& clients() const { return clients_; }
  [[nodiscard]] const std::optional<Job>& job() const { return job_; }
  /// With the file's entries as soon as its file system is mounted.
  [[nodiscard]] const History& history();

  /// Returns "new", "restoring" or "thawing" (docs/dbus.md). invalid_name, name_taken,
  /// dependency_cycle, invalid_argument, busy.
  Result<std::string> register_client(ClientRecord client, const Caller& caller);
  Result<void> unregister_client(const std::string& name, const Caller& caller);
  /// A connection closed: its clients are gone.
  void connection_gone(const std::string& connection);

  Result<void> create_session(const std::string& name, const std::string& backend,
                              const std::string& client, const Caller& caller);
  /// `backend` "": where it is kept best.
  Result<void> preserve(const std::string& session, std::uint64_t token, int fd, bool blob,
                        const std::string& backend, const Caller& caller);
  Result<void> unpreserve(const std::string& session, std::uint64_t token, const Caller& caller);
  /// The owner's own descriptor of the tracker's session.
  Result<UniqueFd> open_tracker(const std::string& session, const Caller& caller);
  /// Before somebody reads what sessions hold: owners of such a descriptor do not tell us.
  void refresh_sessions();
  Result<UniqueFd> retrieve(const std::string& session, std::uint64_t token, const Caller& caller);
  Result<void> finish(const std::string& session, const Caller& caller);
  Result<void> discard(const std::string& session, const Caller& caller);

  /// `started` gets the new job's id once preflight has passed and the target is loaded, or the
  /// error that stopped it before any client was asked: kernel_not_found, not_a_kernel,
  /// kernel_incompatible, kexec_load_failed, busy (what is in the way), invalid_argument.
  using Started = std::function<void(Result<std::uint64_t>)>;
  void request(JobType type, const UpdateOptions& options, const Caller& caller, Started started);
  /// nothing_to_cancel.
  Result<void> cancel();

 private:
  /// One wave of calls over the clients.
  struct Pass {
    Wave wave;
    ClientCall call;
    Event then;
    std::set<std::string> called;   ///< sent, not answered
    bool absent_time_over = false;  ///< who is not here when its turn comes is passed over
  };

  // start.cpp: what the earlier process or kernel left
  void start_restarted(Manifest manifest, std::map<std::string, system::NamedFd> fds);
  void start_booted(const Manifest& manifest, std::map<std::string, system::NamedFd> fds);
  void adopt_sessions(const std::vector<SessionRecord>& records,
                      std::map<std::string, system::NamedFd>& fds);
  void forget_unknown(const std::map<std::string, system::NamedFd>& fds);
  void end_begun_sessions();
  void await_claims();
  /// An earlier kernel's record on disk. nullopt, and nothing to be done: none that is told of.
  [[nodiscard]] std::optional<PendingUpdate> lost_update();
  void look_for_lost_update(unsigned tries);
  void report_lost_update(const PendingUpdate& pending);

  // engine.cpp: clients, sessions
  [[nodiscard]] Result<void> may_change_sessions() const;
  [[nodiscard]] Result<void> check_cycles(const ClientRecord& with) const;
  [[nodiscard]] bool connected(const ClientRecord& client) const;
  [[nodiscard]] std::string next_step_for(const ClientRecord& client) const;
  void drop_client(const std::string& name);
  void drop_absent_clients();
  [[nodiscard]] bool owns_sessions(const std::string& client) const;
  void session_touched(const std::string& name, const char* property);

  // manifest.cpp: what is written where
  [[nodiscard]] std::string pending_path() const;
  [[nodiscard]] bool state_is_mounted() const;
  void write_pending();
  void remove_pending(unsigned tries);
  [[nodiscard]] Manifest manifest() const;
  Result<void> persist();
  void persist_or_log();
  void mark(Mark mark) { mark_at(mark, 0); }
  void mark_at(Mark mark, Ticks ticks);

  // update.cpp: events and actions
  void post(Event event);
  void take(Event event);
  void fail_update(Error error);
  void tell_started(const Result<std::uint64_t>& result);
  void tell_settled();
  void restore_rest();
  void new_update(JobType type, const UpdateOptions& options, const Caller& caller);
  [[nodiscard]] HistoryEntry outcome() const;
  Result<void> perform(Action action);
  void await_freeze();
  Result<void> seal();
  void kexec();
  void kexec_emulated();
  void finish_update();
  void write_history(unsigned tries);
  void set_job(const char* phase, unsigned progress, std::string detail);
  void run_on_worker(std::function<std::function<void()>()> job);

  // preparation.cpp: while workloads run on
  [[nodiscard]] PreflightInput preflight_input() const;
  Result<void> check_again();
  void run_preflight();
  void load_target();
  void ready_sessions();

  // passes.cpp: calls to clients
  void start_pass(ClientCall call, Event then, const std::set<std::string>& only);
  void advance_pass();
  void deliver(const std::string& name);
  void answered(std::uint64_t epoch, const std::string& name, Ticks sent, Result<void> result);
  void answered_well(ClientRecord& client, ClientCall call, Ticks sent);
  /// False: the pass goes on waiting for this client.
  bool answered_badly(ClientRecord& client, ClientCall call, const Error& error);
  void leave_out(ClientRecord& client, ClientCall call, const Error& error);
  void set_phase(ClientRecord& client, ClientPhase phase);
  void restored(ClientRecord& client);
  void give_up(ClientRecord& client, const std::string& reason);
  void claim_time_over();
  void absent_time_over();
  void pass_over(ClientRecord& client);
  /// Ends incoming sessions; what was not retrieved is reported: it `why` and is freed.
  void finish_sessions(const std::vector<std::string>& names, const std::string& why);
  void finish_session(const std::string& session, const std::string& why);
  [[nodiscard]] std::vector<std::string> incoming_sessions_of(const std::string& client) const;
  void report_unclaimed(const std::string& session, const std::string& client, std::uint64_t token,
                        const std::string& why);
  void report_loss(const std::string& session, const std::string& client, std::string reason);
  [[nodiscard]] std::set<std::string> clients_in(std::initializer_list<ClientPhase> phases) const;
  [[nodiscard]] std::map<std::string, std::vector<std::string>> needs() const;
  [[nodiscard]] std::uint64_t timeout_of(const ClientRecord& client, ClientCall call) const;

  system::Loop& loop_;
  Outside& outside_;
  Sessions sessions_;
  Setup setup_;
  History history_;

  State state_ = State::normal;
  std::uint64_t generation_ = 0;
  std::uint64_t next_id_ = 1;
  std::string boot_id_;
  std::map<std::string, ClientRecord> clients_;
  std::set<std::string> connections_;  ///< those of registered clients that are open
  std::optional<UpdateRecord> update_;
  std::optional<Job> job_;
  nlohmann::json extra_ = nlohmann::json::object();

  // the running update
  UpdateOptions options_;
  Started started_;
  std::string target_cmdline_;
  std::optional<Error> failure_;  ///< the first one: the update's reason
  PreflightInput looked_at_;      ///< what preflight found out about both kernels
  bool stale_ = false;            ///< prepared, but clients or sessions changed since
  bool target_loaded_ = false;
  bool look_for_lost_ = false;  ///< an earlier kernel's pending record was not read yet
  std::string lost_why_;        ///< its reason, if we know more than that nothing came along
  bool pending_over_ = false;   ///< pending.json goes once the history is written
  bool worker_busy_ = false;
  std::atomic<bool> stop_worker_{false};

  std::deque<Event> events_;
  bool stepping_ = false;
  std::optional<Pass> pass_;
  std::uint64_t pass_epoch_ = 0;  ///< answers to an earlier pass are late and mean nothing
  system::Timer absent_timer_;
  system::Timer claim_timer_;
  system::Timer history_timer_;
  system::Timer pending_timer_;

  system::Worker worker_;  ///< last: its thread ends before what it uses
};

}  // namespace handover::engine
