// SPDX-License-Identifier: LGPL-2.1-or-later
#include "world.h"

#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "backend/keepers.h"
#include "counted_liveupdate.h"

namespace handover::engine::test {

namespace {

constexpr std::uint64_t restart_usec = 50'000;  // RestartSec= of the unit
constexpr std::uint64_t boot_usec = 500'000;    // of the next kernel, until the daemon starts
constexpr std::uint64_t execute_usec = 10'000;
constexpr unsigned steps_between_writes = 8;

const Caller root{Owner{0, ""}, ":1.0", ""};

}  // namespace

World::World(Options options)
    : kernel(std::make_shared<backend::test::FakeLiveupdate>()),
      tracker(std::make_shared<backend::test::FakeTracker>()),
      options_(options) {
  if (!options.module) tracker->unload();
  machine.on_kexec = [this] { reboot_kernel(); };
}

World::~World() {
  machine.end_process();
  destroy_daemon();
}

FakeClient& World::client(const std::string& name) {
  auto& client = clients_[name];
  if (!client) client = std::make_unique<FakeClient>(*this, name, ready_);
  return *client;
}

// ---- the daemon

backend::Keepers World::make_keepers() {
  if (options_.emulated) {
    return *backend::make_keepers(backend::Paths{}, Keeper::emulated, {}, {});
  }
  Result<std::shared_ptr<backend::LuoDevice>> luo =
      fail(ErrorCode::no_such_backend, "This kernel has no LUO.");
  if (options_.luo) luo = std::make_shared<CountedLiveupdate>(machine, kernel, refused_sessions);
  std::optional<Keeper> wanted;
  if (!options_.module) wanted = Keeper::luo;
  return *backend::make_keepers(std::move(luo), tracker, wanted, backend::Charge{},
                                backend::LuoPatience::none());
}

void World::reboot_kernel() {
  kernel->reboot();
  tracker->reboot();
}

namespace {

using Tokens = std::optional<std::set<std::uint64_t>>;

Tokens both(Tokens one, const Tokens& other) {
  if (!one) return other;
  if (other) one->insert(other->begin(), other->end());
  return one;
}

}  // namespace

std::optional<std::set<std::uint64_t>> World::outgoing(const std::string& session) {
  return both(kernel->outgoing(session), tracker->outgoing(session));
}

std::optional<std::set<std::uint64_t>> World::incoming(const std::string& session) {
  return both(kernel->incoming(session), tracker->incoming(session));
}

void World::boot() {
  start_daemon();
  (void)run_until([this] { return ready_; });
  for (const auto& [name, client] : clients_) client->start();
  (void)run_until([this] { return calm(); }, 60 * second);
}

void World::start_daemon() {
  if (engine_) return;
  ++processes;
  machine.new_process();
  process_ = std::make_shared<bool>(true);
  host_ = std::make_unique<FakeHost>(machine, options_.seed == 0 ? 0 : options_.seed + processes);
  outside_ = std::make_unique<FakeOutside>(machine, *host_, clients_, announced, pid_one);
  Setup setup;
  setup.config = config_problem || !config_missing.empty() ? Config{} : config;
  setup.config_text = config_missing.empty() ? config_text : "";
  setup.config_problem = config_problem;
  setup.config_missing = config_missing;
  setup.emulated_kexec = std::exchange(emulated_kexec_, false);
  setup.started_at = machine.clock.now_usec();
  setup.settled = [this] { settled = true; };
  setup.config_borrowed = [this] { config_borrowed = true; };
  setup.failed = [this](Error error) { failed = std::move(error); };
  setup.ready = [this] {
    ready_ = true;
    machine.clock.later(0, [this, process = process_] {
      if (!*process) return;
      tell_of_closed_connections();
      for (const auto& [name, client] : clients_) client->daemon_came();
    });
  };
  auto fds = machine.fd_store.duplicates();
  for (auto& fd : std::exchange(executed_with_, {})) fds.push_back(std::move(fd));
  try {
    engine_ = std::make_unique<Engine>(*host_, *outside_, make_keepers(), std::move(setup));
    host_->turn([&] { engine_->start(std::move(fds)); });
  } catch (const ProcessEnded& end) {
    ended(end.why);
  }
}

/// Whoever left while there was no daemon to see it.
void World::tell_of_closed_connections() {
  for (const auto& connection : std::exchange(closed_meanwhile_, {})) {
    send([connection](Engine& engine) { engine.connection_gone(connection); });
  }
}

void World::destroy_daemon() {
  *process_ = false;
  ready_ = false;
  engine_.reset();
  outside_.reset();
  host_.reset();
  machine.fd_store.close_forgotten();
  for (const auto& [name, client] : clients_) client->daemon_gone();
}

void World::ended(ProcessEnded::Why why) {
  machine.end_process();
  destroy_daemon();
  switch (why) {
    case ProcessEnded::Why::killed:
      if (!restarts) return;
      return machine.clock.later(restart_usec, [this] { start_daemon(); });
    case ProcessEnded::Why::kexec:
      return next_kernel();
    case ProcessEnded::Why::executed_again:
      emulated_kexec_ = true;
      executed_with_ = std::move(machine.executed_with);
      for (const auto& [name, client] : clients_) client->executed_again();
      return machine.clock.later(execute_usec, [this] { start_daemon(); });
  }
}

void World::next_kernel() {
  ++kernels;
  machine.booted_by_kexec = true;
  machine.runtime = {};
  machine.fd_store.clear();
  machine.target_loaded = false;
  machine.boot_id = "boot-" + std::to_string(kernels);
  machine.release = "7.3.1-new";
  emulated_kexec_ = false;
  settled = false;
  pid_one.kexec_job = false;
  open_connections_.clear();
  closed_meanwhile_.clear();
  for (const auto& [name, client] : clients_) client->kernel_gone();
  machine.clock.later(boot_usec, [this, kernel_now = kernels] {
    if (kernel_now == kernels) start_daemon();
  });
}

void World::kill_daemon() {
  if (engine_) ended(ProcessEnded::Why::killed);
}

void World::keep_frozen() {
  host_->hold(manifest_queue);
  // A text of which no line tells.
  call([this](Engine& engine) { engine.use_config(config, config_text); });
}

void World::let_go() { host_->release(manifest_queue); }

void World::finish_orderly_kexec() { kexec_by_hand(); }

void World::kexec_by_hand() {
  reboot_kernel();
  ended(ProcessEnded::Why::kexec);
}

void World::power_cut() {
  machine.end_process();
  destroy_daemon();
  kernel = std::make_shared<backend::test::FakeLiveupdate>();
  tracker = std::make_shared<backend::test::FakeTracker>();
  if (!options_.module) tracker->unload();
  next_kernel();
  machine.booted_by_kexec = false;
}

// ---- messages

void World::send(std::function<void(Engine&)> what) {
  machine.clock.later(0, [this, process = process_, what = std::move(what)] {
    if (*process && ready_) host_->turn([&] { what(*engine_); });
  });
}

std::string World::connect(bool direct) {
  const auto name = (direct ? "direct-" : ":1.") + std::to_string(++connections_);
  open_connections_.insert(name);
  return name;
}

void World::disconnect(const std::string& connection) {
  if (connection.empty()) return;
  open_connections_.erase(connection);
  std::vector<FakeClient*> there;
  for (const auto& [name, client] : clients_) {
    if (client->connection() == connection) there.push_back(client.get());
  }
  for (auto* const client : there) client->process_ended();
  if (!ready_) {
    closed_meanwhile_.insert(connection);
    return;
  }
  answer_for(connection);
  // And tells that the name is gone.
  send([connection](Engine& engine) { engine.connection_gone(connection); });
}

void World::answer_for(const std::string& connection) {
  machine.clock.later(0, [this, process = process_, connection] {
    if (!*process) return;
    host_->turn([&] { outside_->connection_gone(connection); });
  });
}

// ---- time

bool World::step(std::uint64_t limit_usec) {
  try {
    if (before_step) before_step();
    if (++steps_ % steps_between_writes == 0) {
      for (const auto& [name, client] : clients_) client->work();
    }
    // Messages come in beside what the loop and the pool have to do.
    if (options_.seed != 0 && (steps_ * options_.seed) % 3 == 0 &&
        machine.clock.run_next(machine.clock.now_usec())) {
      return true;
    }
    return (host_ && host_->step()) || machine.clock.run_next(limit_usec);
  } catch (const ProcessEnded& end) {
    ended(end.why);
    return true;
  }
}

void World::settle() {
  while (step(machine.clock.now_usec())) {
  }
}

void World::run_for(std::uint64_t usec) {
  const auto limit = machine.clock.now_usec() + usec;
  while (step(limit)) {
  }
  if (machine.clock.now_usec() < limit) machine.clock.pass(limit - machine.clock.now_usec());
}

bool World::run_until(const std::function<bool()>& come_true, std::uint64_t limit_usec) {
  const auto limit = machine.clock.now_usec() + limit_usec;
  while (!come_true()) {
    if (!step(limit)) return come_true();
  }
  return true;
}

// ---- what root asks for

void World::call(const std::function<void(Engine&)>& what) {
  if (!engine_) return;
  try {
    host_->turn([&] { what(*engine_); });
  } catch (const ProcessEnded& end) {
    ended(end.why);
  }
}

Result<std::uint64_t> World::request(JobType type, const UpdateOptions& options) {
  auto answer = std::make_shared<std::optional<Result<std::uint64_t>>>();
  call([&](Engine& engine) {
    engine.request(type, options, root,
                   [answer](Result<std::uint64_t> started) { *answer = std::move(started); });
  });
  const auto process = processes;
  (void)run_until([&] { return answer->has_value() || processes != process; });
  if (!*answer) return fail(ErrorCode::internal, "The daemon has not answered.");
  return **answer;
}

std::string World::update(const UpdateOptions& options) {
  const auto before = announced.finished.size();
  const auto started = request(JobType::update, options);
  if (!started) return "refused: " + started.error().message;
  (void)run_until([&] { return announced.finished.size() > before; });
  return outcome();
}

bool World::update_until(State state, const UpdateOptions& options) {
  call([&](Engine& engine) {
    engine.request(JobType::update, options, root, [](const Result<std::uint64_t>&) {});
  });
  return run_until([&] { return ready_ && engine_->state() == state; });
}

Result<void> World::cancel() {
  Result<void> result = fail(ErrorCode::internal, "not answered");
  call([&](Engine& engine) {
    engine.cancel(root, [&](Result<void> done) { result = std::move(done); });
  });
  return result;
}

Result<void> World::preserve(const Caller& caller, const std::string& session,
                             std::uint64_t token) {
  UniqueFd memory(memfd_create("test", MFD_CLOEXEC));
  (void)ftruncate(memory.get(), 4096);
  std::optional<Result<void>> answer;
  call([&](Engine& engine) {
    engine.preserve(session, token, std::move(memory), /*blob=*/false, std::nullopt, caller,
                    [&](Result<void> done) { answer = std::move(done); });
  });
  (void)run_until([&] { return answer.has_value(); });
  return answer ? *answer : fail(ErrorCode::internal, "The daemon has not answered.");
}

Result<void> World::preserve(const FakeClient& client, const std::string& session,
                             std::uint64_t token) {
  return preserve(client.caller(), session, token);
}

void World::make_session(const std::string& name, std::uint64_t tokens) {
  std::optional<Result<void>> answer;
  call([&](Engine& engine) {
    engine.create_session(name, std::nullopt, "", root,
                          [&](Result<void> done) { answer = std::move(done); });
  });
  (void)run_until([&] { return answer.has_value(); });
  for (std::uint64_t token = 1; token <= tokens; ++token) (void)preserve(root, name, token);
}

std::string World::outcome() {
  const bool over =
      run_until([this] { return ready_ && engine_->state() == State::normal && !engine_->job(); });
  if (!over) return "it never ends";
  settle();
  return announced.finished.empty() ? "" : announced.finished.back().outcome;
}

std::string World::reason() const {
  return announced.finished.empty() ? "" : announced.finished.back().reason;
}

std::vector<HistoryEntry> World::history() {
  run_for(3 * second);
  const auto text = machine.state.read(StateFile::history);
  return text ? *parse_history(*text) : std::vector<HistoryEntry>{};
}

std::uint64_t World::statistic(const std::string& name) const {
  const auto all = engine_->statistics();
  const auto it = all.find(name);
  if (it == all.end()) return 0;
  const auto* const number = std::get_if<std::uint64_t>(&it->second);
  return number == nullptr ? 0 : *number;
}

// ---- what is expected

bool World::everybody_runs() const {
  for (const auto& [name, client] : clients_) {
    if (client->life() != FakeClient::Life::away && !client->runs()) return false;
  }
  return true;
}

bool World::calm() {
  if (!ready_ || engine_->state() != State::normal || engine_->job()) return false;
  const auto& sessions = engine_->sessions();
  if (!sessions.idle() || !sessions.settled() || !sessions.incoming().empty()) return false;
  if (!sessions.in(Standing::degraded).empty() || statistic("thaws-owed") != 0) return false;
  for (const auto& [name, client] : clients_) {
    if (client->life() == FakeClient::Life::away) continue;
    if (!client->content() || !client->runs()) return false;
  }
  return host_->jobs_waiting() == 0 && !machine.clock.anything_due(machine.clock.now_usec());
}

bool World::calm_down(std::uint64_t limit_usec) {
  if (!run_until([this] { return calm(); }, limit_usec)) return false;
  run_for(3 * second);  // what is written a moment later
  return calm();
}

}  // namespace handover::engine::test
