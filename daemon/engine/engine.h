// SPDX-License-Identifier: LGPL-2.1-or-later
// Joins the rooms: takes events, steps the state machine, and has its actions done by clients
// (clients.h), a pass over them (pass.h), the update (update.h), sessions (sessions.h), and what is
// written down (journal.h, records.h).
//
// One thread, the loop's. Events are queued and taken at the end of a turn of the loop, so that no
// caller finds the world changed under its feet. What waits runs on the host's pool.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/config.h"
#include "core/hook.h"
#include "core/kernel_ledger.h"
#include "core/manifest.h"
#include "core/state_machine.h"
#include "core/update_options.h"
#include "engine/charges.h"
#include "engine/clients.h"
#include "engine/clocks.h"
#include "engine/host.h"
#include "engine/journal.h"
#include "engine/kernels.h"
#include "engine/outside.h"
#include "engine/pass.h"
#include "engine/records.h"
#include "engine/sessions.h"
#include "engine/update.h"

namespace handover::engine {

/// Who asks, as the bus found out.
struct Caller {
  Owner owner;
  std::string connection;  ///< unique bus name, or "direct-N"
  std::string cgroup;      ///< below /sys/fs/cgroup; "" if it is not known
};

struct Setup {
  Config config;
  std::string config_text;  ///< as it was read; travels in the manifest
  /// The file could not be used, and `config` is the default one: a manifest's takes its place.
  std::optional<Error> config_problem;
  /// There is no such file and nobody asked for it, which is no problem unless a manifest carries
  /// one;
  /// "" otherwise.
  std::string config_missing;
  /// One user may preserve so many descriptors at most, whatever a configuration says; 0: as many
  /// as that.
  std::uint64_t most_descriptors = 0;
  bool emulated_kexec = false;    ///< this process is such an execution
  Ticks started_at = 0;           ///< counter when main() began
  std::function<void()> settled;  ///< called once, when nothing is left to restore
  /// Called once, when the engine knows what there is: from then on it takes calls.
  std::function<void()> ready;
  /// Called when a manifest's configuration, or the default one, is used in place of the file's.
  std::function<void()> config_borrowed;
  /// Called at most once: this process has no way to go on.
  std::function<void(Error)> failed;
};

class Engine final : private Model, private Sessions::Watch {
 public:
  Engine(Host& host, Outside& outside, const backend::Keepers& keepers, Setup setup);
  ~Engine() override;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Finds out what there is to go on with: nothing, an interrupted update of this boot, or the
  /// manifest of an earlier kernel. Call once. `fds` came back from the fd store.
  void start(std::vector<NamedDescriptor> fds);

  // ---- what there is
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  [[nodiscard]] bool emulated() const { return sessions_.main_keeper() == Keeper::emulated; }
  [[nodiscard]] const Sessions& sessions() const { return sessions_; }
  /// Before somebody reads what they hold: owners of a tracker's descriptor do not tell us.
  /// Takes in what owners preserved in the tracker by themselves, and whether there is a module;
  /// `then` runs when that is done.
  /// Not from freezing to the kexec, which would wait for it: what was known last is told then.
  void refresh_sessions(std::function<void()> then);
  [[nodiscard]] const Clients::Records& clients() const { return clients_.all(); }
  [[nodiscard]] bool is_connected(const ClientRecord& client) const {
    return clients_.connected(client);
  }
  /// The open connections of clients, by name.
  [[nodiscard]] std::vector<std::string> connections() const { return clients_.connections(); }
  [[nodiscard]] const std::optional<Job>& job() const { return update_.job; }
  /// The companion module as it was seen last. It comes and goes with modprobe and rmmod: this has
  /// it looked at anew, for whoever asks next.
  [[nodiscard]] std::optional<backend::Module> module();
  using Statistics = std::map<std::string, std::variant<std::uint64_t, std::string>>;
  [[nodiscard]] Statistics statistics() const;
  void history(std::uint32_t most, Reply<std::string> reply);

  // ---- clients
  /// Answers "new", "restoring" or "thawing" (docs/dbus.md). invalid_name, name_taken,
  /// dependency_cycle, invalid_argument, limit_exceeded, busy.
  void register_client(ClientRecord client, const Caller& caller, Reply<std::string> reply);
  void unregister_client(const std::string& name, const Caller& caller, Reply<void> reply);
  /// A connection closed: its clients are gone.
  void connection_gone(const std::string& connection);

  // ---- sessions; replies come when the change is written down
  void create_session(const std::string& name, std::optional<Keeper> keeper,
                      const std::string& client, const Caller& caller, Reply<void> reply);
  /// Without `keeper`: where it is kept best.
  void preserve(const std::string& session, std::uint64_t token, UniqueFd fd, bool blob,
                std::optional<Keeper> keeper, const Caller& caller, const Reply<void>& reply);
  void unpreserve(const std::string& session, std::uint64_t token, const Caller& caller,
                  const Reply<void>& reply);
  void open_tracker(const std::string& session, const Caller& caller, const Reply<UniqueFd>& reply);
  void open_luo(const std::string& session, const Caller& caller, const Reply<UniqueFd>& reply);
  void retrieve(const std::string& session, std::uint64_t token, const Caller& caller,
                const Reply<UniqueFd>& reply);
  void finish(const std::string& session, const Caller& caller, const Reply<void>& reply);
  void discard(const std::string& session, const Caller& caller, const Reply<void>& reply);

  // ---- updates
  /// Answers with the job's id once preflight has passed and the target is loaded, or with what
  /// stopped it before any client was asked: kernel_not_found, not_a_kernel, kernel_incompatible,
  /// kexec_load_failed, busy (what is in the way), invalid_argument. A rehearsal ends in state
  /// prepared.
  void request(JobType type, const UpdateOptions& options, const Caller& caller,
               Reply<std::uint64_t> started);
  /// What preflight finds for such an update, which is not begun: no client is asked, nothing is
  /// loaded. kernel_not_found, not_a_kernel, invalid_argument, busy.
  void preflight(const UpdateOptions& options, Reply<std::vector<Finding>> reply);
  // ---- kernels
  /// This host's kernel images, and what earlier updates say of them.
  void list_kernels(const Reply<std::vector<KernelListed>>& reply);
  /// Bad ones of that release are untried again. kernel_not_found, io.
  void allow_kernel(const std::string& release, const Caller& caller, const Reply<void>& reply);

  /// nothing_to_cancel.
  void cancel(const Caller& caller, const Reply<void>& reply);

  /// SIGTERM: undoes what is under way, then calls `done`. busy while the machine leaves this
  /// kernel.
  Result<void> terminate(std::function<void()> done);
  /// The configuration's file is good (again).
  void use_config(Config config, std::string text);
  /// Whether the configuration in use is a manifest's, since the file cannot be used.
  [[nodiscard]] bool config_is_borrowed() const { return setup_.config_problem.has_value(); }

 private:
  // engine.cpp: turns, events, what is written down
  void wake();
  [[nodiscard]] bool may_end() const;
  void end_turn();
  void post(Event event);
  void take(Event event);
  Result<void> perform(Action action);
  void set_state(State state, Event event);
  /// Runs when what was noted so far is written down, with what came of it.
  void when_written(std::function<void(const Result<void>&)> then);
  void fail_update(Error error, std::optional<Culprit> culprit = {});
  void reply_when_written(Reply<void> reply);
  void run_target_job(Host::Job job);
  void status();
  [[nodiscard]] std::string unit_of(const std::string& client) const;
  [[nodiscard]] std::string unit_of(const SessionRecord& session) const;

  // Model
  [[nodiscard]] Manifest manifest() const override;
  [[nodiscard]] HeadChange head() const override;
  [[nodiscard]] std::string unwritten() const;
  [[nodiscard]] const SessionRecord* session(std::uint64_t id) const override;
  [[nodiscard]] const ClientRecord* client(const std::string& name) const override;
  [[nodiscard]] const std::optional<UpdateRecord>& update() const override {
    return update_.record();
  }

  // Sessions::Watch, in losses.cpp
  void session_noted(std::uint64_t id) override;
  void write_down() override;
  void token_noted(const Sessions::Held& held, std::uint64_t token) override;
  void session_whole(const Sessions::Held& held) override;
  void session_degraded(const Sessions::Held& held, const std::string& why) override;
  void session_unreached(const Sessions::Held& held) override;
  void session_gone(const SessionRecord& record) override;
  void lost(const SessionRecord& record, std::optional<std::uint64_t> token,
            const std::string& sentence) override;
  void session_settled(const std::string& name, const std::string& client) override;
  void sessions_idle() override;
  void finishes_over() override;

  // registry.cpp: clients and sessions, as their owners ask for them
  void look_at_module(std::function<void()> then);
  [[nodiscard]] bool leaves_kernel() const;
  void open_kernel_session(const std::string& session, const Caller& caller,
                           void (Sessions::*open)(Sessions::Held&, Reply<UniqueFd>),
                           const Reply<UniqueFd>& reply);
  [[nodiscard]] Result<void> may_change_sessions() const;
  [[nodiscard]] std::string next_step_for(const ClientRecord& client) const;
  void apply_limits(ClientRecord& client) const;
  [[nodiscard]] bool may_leave_now(const ClientRecord& client, const Caller& caller) const;
  void leave(const ClientRecord& client);
  void drop_client(const std::string& name);
  void drop_absent_clients();
  void touched(const std::string& session);
  [[nodiscard]] const ClientRecord* client_of(const std::string& session) const;
  template <typename T>
  [[nodiscard]] Reply<T> on_our_time(const Caller& caller, Reply<T> reply);
  void with_session(const std::string& session, const Caller& caller,
                    const std::function<void(Sessions::Held&)>& act,
                    const std::function<void(const Error&)>& refuse);

  // start.cpp: what an earlier process or kernel left
  void start_restarted(Manifest manifest);
  void unseal();
  void unsealed(const Result<std::optional<std::string>>& sealed);
  void start_booted(const Manifest& manifest);
  void take_over_unwritten(const Manifest& manifest);
  void start_afresh(std::optional<Error> lost);
  void begin_afresh(const std::optional<Error>& lost);
  void go_on_restarted(bool any_incoming);
  void expect(std::vector<SessionRecord> records);
  void start_adoption(bool open_tables);
  void borrow_config(const Manifest& manifest, bool may_be_missing);
  void doors_open();
  void forget_unknown(std::function<void()> then);
  void await_claims();
  void claim_time_over();
  void report_lost_update(const PendingUpdate& pending, const std::optional<Error>& why);
  void report_lost_manifest(const Error& why);
  void record_failed(HistoryEntry entry);
  void discard_left_out(const std::map<std::string, std::string>& left_out);
  void end_discarded(const std::string& client);
  void tell_settled();
  void restore_rest();

  // actions.cpp: the update's steps
  void ask_for(JobType type, const UpdateOptions& options, const Caller& caller,
               Reply<std::uint64_t> started, bool named);
  void compare_kernels(JobType type, const UpdateOptions& options, const Caller& caller,
                       Reply<std::uint64_t> started);
  void new_update(JobType type, const UpdateOptions& options, const Caller& caller);
  void await_freeze();
  [[nodiscard]] bool must_ask_newcomers() const;
  [[nodiscard]] const ClientRecord* required_but(ClientPhase phase) const;
  [[nodiscard]] bool is_left_out(const std::string& client) const;
  void begin_freeze();
  [[nodiscard]] PendingUpdate pending_record(std::string image) const;
  void blame_target(std::function<void()> then);
  void freeze_when_idle();
  void seal();
  void seal_frozen();
  void seal_now();
  void tables_closed(const Result<void>& closed);
  void kexec();
  void leave_kernel();
  void leave_now();
  void tell_kexec_failed(const Error& error) const;
  void kexec_failed(Error error);
  void freeze_now();
  void begin_budget(std::uint64_t limit_usec);
  [[nodiscard]] std::uint64_t standstill_limit() const;
  [[nodiscard]] std::string name_of_limit(std::uint64_t limit_usec) const;
  void budget_over();
  [[nodiscard]] std::uint64_t longest_blackout_sync() const;
  void sync_in_blackout(std::uint64_t limit, std::function<void()> then);
  [[nodiscard]] std::string busy_sessions() const;
  [[nodiscard]] std::string freeze_waits_for() const;
  void store_for_orderly();
  void cancel_update(const std::string& why);
  void prepare_clients(bool first);
  void begin_thaw();
  void withdraw_kexec();
  void take_kexec_back(std::function<void(const Result<void>&)> then);
  void finish_update();
  void end_job(std::optional<std::uint64_t> id, Outcome result, const std::string& reason);
  void set_job(JobPhase phase, unsigned progress, std::string detail);
  void tell_started(Result<std::uint64_t> result);
  void mark(Mark mark);

  // rehearsal.cpp: from the seal back to prepared
  void rehearse_reboot();
  [[nodiscard]] bool thaws_to_prepared() const;
  [[nodiscard]] bool stays_prepared(const ClientRecord& client) const;
  [[nodiscard]] bool take_back_from_rehearsal();
  void end_rehearsal();

  // preparation.cpp: while workloads run on
  [[nodiscard]] CarriedFacts carried() const;
  [[nodiscard]] PreflightInput preflight_input() const;
  [[nodiscard]] Result<void> check_again();
  [[nodiscard]] Result<void> check_whole() const;
  void when_refreshed(std::function<void()> then);
  [[nodiscard]] std::vector<Finding> findings(const LookedAt& looked,
                                              const UpdateOptions& options) const;
  [[nodiscard]] UpdateOptions with_defaults(UpdateOptions options) const;
  [[nodiscard]] std::vector<std::string> units_of_clients() const;
  void ask_managers(std::function<void(const ManagerFacts&)> then);
  void run_preflight();
  using Looking = std::function<std::shared_ptr<Result<LookedAt>>(const std::atomic<bool>& stop)>;
  [[nodiscard]] Looking looking(const UpdateOptions& options, HookContext context,
                                const ManagerFacts& managers);
  void look_at_target(const ManagerFacts& managers);
  [[nodiscard]] Result<void> may_look() const;
  void end_looks();
  void tell_findings(const std::vector<Finding>& found, bool facts);
  void take_findings(LookedAt looked);
  void look_once_more(std::function<void()> then);
  void load_target();
  void unload_target(const std::function<void()>& then);
  void ready_sessions();
  void collapse_next();
  void collapsed(const std::string& name, const Result<Collapse>& done);
  void rehearse_and_sync();
  void rehearse_now();

  // hooks.cpp: the administrator's
  [[nodiscard]] HookContext hook_context() const;
  void run_hooks(HookStage stage, std::function<void()> then);
  void tell_hooks(HookStage stage, const HookContext& context);
  void tell_hooks_of_end(HookContext context, const HistoryEntry& entry, bool undone_from_freeze);
  void tell_hooks_of_loss(const HistoryEntry& entry);
  void tell(const HookReport& report) const;
  void hurry_told_hooks();

  // calls.cpp: passes over the clients
  void start_pass(ClientCall call, Event then, const std::set<std::string>* only);
  void advance_pass();
  [[nodiscard]] bool must_wait_for_losses();
  void take_turn(const std::string& name);
  void call(ClientRecord& client);
  void answered(std::uint64_t pass, const std::string& name, const std::string& to, Ticks sent,
                const Outside::Answer& answer);
  void answered_well(ClientRecord& client, ClientCall call, Ticks sent);
  void answered_badly(ClientRecord& client, ClientCall call, const Error& error);
  void leave_out(ClientRecord& client, const std::string& why, std::optional<ClientCall> call,
                 std::optional<ClientCall> undo);
  void note_left_out(const std::string& client, const std::string& why,
                     std::optional<ClientCall> call);
  void take_in_again(const std::string& client);
  void owe(const std::string& name, ClientCall call, unsigned calls);
  void owe_no_more(const std::string& name);
  void call_undo(const std::string& name);
  void undone(const std::string& name, const Outside::Answer& answer);
  void end_pass();
  void absent_time_over();
  void set_phase(ClientRecord& client, ClientPhase phase);
  [[nodiscard]] bool can_restore(const ClientRecord& client) const;
  [[nodiscard]] bool has_to_claim(const ClientRecord& client) const;
  void restored(ClientRecord& client);
  void give_up(ClientRecord& client, const std::string& reason);
  [[nodiscard]] std::uint64_t timeout_of(const ClientRecord& client, ClientCall call) const;

  // watch.cpp: the watchdog over the kexec
  [[nodiscard]] std::string watchdog_of(const UpdateOptions& options) const;
  static bool arm_watchdog(Host& host, const WatchdogConfig& config);
  void feed_watchdog();
  void stop_watchdog();
  void stop_unrecorded_watchdog();
  void watchdog_stopped(const Result<void>& stopped);
  void forget_watchdog();

  // trial.cpp: good or bad
  void begin_trial(const UpdateRecord& update, HistoryEntry& entry);
  void run_trial();
  void trial_over(const Result<void>& health);
  void end_trial();
  void leave_trial();
  void await_trial();
  void run_health();
  void judge_kernel(KernelRecord record);
  void bless(const KernelTrial& trial);

  // losses.cpp
  void note_lost(LostSession lost);
  void forget_lost(const std::function<bool(const LostSession&)>& which);
  void finish_sessions_of(const std::string& client, const std::string& why, bool can_wait = false);
  void finish_session(const std::string& session, const std::string& why, bool can_wait = false);
  void not_finished(const SessionRecord& record, const std::string& why, const Error& error);
  void end_when_here(Sessions::Held& held);
  [[nodiscard]] bool owes_thaw(const std::string& client) const;
  void report_unclaimed(const SessionRecord& record, std::uint64_t token, const std::string& why);
  void report_unknown(const SessionRecord& record, const std::string& why);
  void tell_loss(const std::string& session, const std::string& client, const std::string& reason,
                 std::optional<std::uint64_t> token);
  void report_loss(const std::string& session, const std::string& client, std::string reason,
                   std::optional<std::uint64_t> token = std::nullopt);

  Host& host_;
  Outside& outside_;
  Setup setup_;
  Ledger ledger_;
  Clients clients_;
  Clocks clocks_;
  Sessions sessions_;
  Update update_;
  Journal journal_;
  Records records_;
  Kernels kernels_;

  State state_ = State::normal;
  std::uint64_t generation_ = 0;
  std::uint64_t next_id_ = 1;
  std::string boot_id_;
  nlohmann::json extra_;  ///< of the manifest: fields that a newer version wrote
  /// Updates whose end the history's file does not tell yet: a process that dies leaves them to the
  /// next one.
  std::vector<HistoryEntry> unwritten_;
  std::vector<std::string> late_losses_;  ///< the same of losses that were told later
  std::vector<LostSession> lost_;         ///< and not made anew since

  /// Armed, or about to be; by an earlier kernel or process, perhaps.
  std::optional<ArmedWatchdog> watchdog_;
  std::uint64_t watchdog_waited_usec_ = 0;  ///< for its driver
  Host::Alarm watchdog_alarm_;              ///< it is waited for; or cannot be stopped, and is fed
  std::optional<KernelTrial> trial_;        ///< of this kernel
  Host::Alarm trial_alarm_;
  std::uint64_t trial_waited_usec_ = 0;  ///< for the end of the boot
  /// Ends its health command with us.
  std::shared_ptr<std::atomic<bool>> trial_stop_ = std::make_shared<std::atomic<bool>>(false);

  std::deque<Event> events_;
  bool awake_ = false;  ///< end_turn() will run
  std::vector<std::function<void(const Result<void>&)>> when_written_;

  std::optional<Pass> pass_;
  std::uint64_t passes_ = 0;
  bool pass_moved_ = false;  ///< somebody's turn may have come
  Host::Alarm absent_alarm_;
  Host::Alarm losses_alarm_;  ///< what is lost is told by then
  bool losses_time_over_ = false;
  bool told_settled_ = false;  ///< before the end of its pass
  Host::Alarm pause_alarm_;    ///< new sessions of those that run wait for Restore of others
  Host::Alarm budget_alarm_;
  bool looks_at_module_ = false;  ///< for whoever asks next
  Host::Alarm blame_alarm_;
  Host::Alarm claim_alarm_;
  Host::Alarm boot_alarm_;
  std::map<std::string, std::string> restore_failures_;  ///< what a client said of its last one
  std::map<std::string, std::string> to_finish_;  ///< that could not be for the moment, and why
  Host::Alarm finish_alarm_;
  bool claims_over_ = false;            ///< what cannot be reached by now is given up
  std::uint64_t boot_waited_usec_ = 0;  ///< for the end of the boot
  Host::Alarm withdrawal_alarm_;
  std::optional<Ticks> withdrawing_since_;
  /// Thaw (or Cancel) is owed to these, and is called again and again.
  struct Owed {
    ClientCall call = ClientCall::thaw;
    std::uint64_t pause_usec = 0;
    Host::Alarm alarm;
    bool called = false;
    unsigned calls = 0;  ///< so far
  };
  std::map<std::string, Owed> owed_;

  std::map<std::string, NamedDescriptor> stored_;  ///< came back from the fd store, not claimed yet
  std::optional<Error> manifest_problem_;          ///< with the one of this boot
  std::uint64_t unseal_pause_usec_ = 0;
  std::uint64_t unseal_waited_usec_ = 0;
  Host::Alarm unseal_alarm_;
  Host::Alarm forget_alarm_;
  std::shared_ptr<void> device_;  ///< the kernel's, kept open while the manifest is asked for

  bool asked_all_ = false;  ///< the first round of Prepare has begun

  bool target_busy_ = false;  ///< a job on the target's queue: preflight, load, collapse, tables
  std::optional<Event> after_target_;  ///< posted when that job has ended
  std::atomic<bool> stop_{false};      ///< tells such a job to end early
  /// The same for those that only look, for the bus.
  std::shared_ptr<std::atomic<bool>> end_looks_ = std::make_shared<std::atomic<bool>>(false);
  struct Collapsing {
    std::deque<std::string> waiting;
    std::size_t running = 0;
    std::uint64_t bytes = 0;
    std::uint64_t done = 0;
    Collapse total;
  };
  Collapsing collapsing_;
  bool hooks_run_ = false;           ///< as a step of the update
  bool asked_hooks_ = false;         ///< the update has run those of stage prepare
  bool asked_freeze_ = false;        ///< hooks of stage freeze have run
  bool undone_from_freeze_ = false;  ///< they are told so
  std::size_t told_hooks_ = 0;       ///< stages that are only told: they run, or wait
  std::atomic<bool> end_told_hooks_{false};
  Host::Alarm hooks_alarm_;
  bool freeze_waits_ = false;  ///< for jobs of sessions to end
  bool sealing_ = false;       ///< seal() waits for sessions and journal
  bool tables_open_ = true;
  std::optional<Error> tables_problem_;  ///< they could not be opened again
  bool cancel_wanted_ = false;           ///< while a rehearsal thaws
  std::function<void()> terminated_;     ///< SIGTERM: called when it is over
  struct Counters {
    std::uint64_t calls = 0;
    std::uint64_t late_answers = 0;
    std::uint64_t thaws_repeated = 0;
    std::uint64_t losses = 0;
    std::uint64_t events = 0;
  };
  Counters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace handover::engine
