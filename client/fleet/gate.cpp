// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gate.h"

#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "calendar.h"
#include "common/file.h"
#include "common/log.h"
#include "health.h"
#include "host_id.h"
#include "lock.h"
#include "pause.h"

namespace handover::fleet {
namespace {

using common::say;

constexpr std::uint64_t first_release_pause_usec = 1'000'000;
constexpr std::uint64_t longest_release_pause_usec = 60'000'000;
/// The clock may be set meanwhile.
constexpr std::uint64_t longest_window_pause_usec = 300'000'000;
constexpr std::uint64_t shortest_window_pause_usec = 1'000'000;
constexpr std::uint64_t failed_window_pause_usec = 10'000'000;
constexpr std::uint64_t restore_spare_usec = 30'000'000;

std::string now_utc() { return utc(wall_clock_usec()); }

std::string turn_path(const std::string& directory) { return directory + "/turn.json"; }

}  // namespace

Gate::Gate(Setup setup, Config config, sd_event* event)
    : setup_(std::move(setup)), config_(std::move(config)), event_(event) {
  status_.pid = getpid();
  status_.id = setup_.id;
  status_.since = now_utc();
}

Gate::~Gate() { unlink(status_path(setup_.runtime).c_str()); }

client::Result<void> Gate::start() {
  if (auto loaded = load(); !loaded) return loaded;
  if (auto worker = worker_.start(event_); !worker) return worker;
  if (auto timer = release_timer_.attach(event_, [this] { release_again(); }); !timer) return timer;
  if (auto timer = window_timer_.attach(event_, [this] { look_at_windows(); }); !timer) {
    return timer;
  }
  auto socket = socket_.open(event_, setup_.runtime, setup_.name,
                             [this](auto request) { on_release(std::move(request)); });
  if (!socket) return socket;
  Event event;
  event.kind = Event::Kind::started;
  feed(event);
  look_at_windows();
  // The boot is not to wait for a daemon that does not come.
  sd_notify(0, "READY=1\nSTATUS=Looking for handoverd.");
  return connect();
}

/// A turn that cannot be read may hold a slot: it counts as one that has to be given back.
client::Result<void> Gate::load() {
  const auto path = turn_path(setup_.state);
  auto text = common::read_file(path);
  if (!text && text.error().code == ENOENT) return {};
  if (!text) return text.error();
  auto turn = parse_turn(*text);
  if (!turn) {
    say(SD_ERR, path + " cannot be used: " + turn.error().message + "; the slot is given back.");
    turn_.phase = Phase::releasing;
    turn_.claim = new_claim(0);
    return {};
  }
  turn_ = std::move(*turn);
  if (turn_.phase != Phase::idle && turn_.place && *turn_.place != config_.lock.place()) {
    say(SD_WARNING,
        "The configuration's lock is another now: the slot goes back to where it was "
        "taken, " +
            describe(*turn_.place) + ".");
  }
  return {};
}

client::Result<void> Gate::connect() {
  const auto done = [this](const client::Result<void>& connected) {
    if (connected) return;
    say(SD_ERR, connected.error().message);
    sd_event_exit(event_, 1);
  };
  auto connection = client::Connection::open_async({0, UINT64_MAX, event_}, done);
  if (!connection) return connection.error();
  connection_.emplace(std::move(*connection));
  client::Client::Options options;
  options.gate = true;
  options.prepare_timeout_usec = longest_ask_usec(config_);
  options.restore_timeout_usec = longest_usec(config_.health.after) + restore_spare_usec;
  auto client = client::Client::register_async(*connection_, setup_.name, options, callbacks());
  if (!client) return client.error();
  client_.emplace(std::move(*client));
  return {};
}

client::Client::Callbacks Gate::callbacks() {
  client::Client::Callbacks callbacks;
  callbacks.prepare = [this](client::Call call) { on_prepare(std::move(call)); };
  callbacks.cancel = [this](client::Call call) {
    Event event;
    event.kind = Event::Kind::cancel;
    on_plain(std::move(call), event);
  };
  callbacks.thaw = [this](client::Call call) {
    if (call.stays_prepared()) {
      call.done();
      return;
    }
    Event event;
    event.kind = Event::Kind::cancel;
    on_plain(std::move(call), event);
  };
  callbacks.freeze = [this](client::Call call) {
    Event event;
    event.kind = Event::Kind::freeze;
    event.text = freeze_veto(status_.window, status_.window_failure, wall_clock_usec(),
                             config_.windows.must_end_within, expected_usec_);
    on_plain(std::move(call), event);
  };
  callbacks.restore = [this](client::Call call) { on_restore(std::move(call)); };
  callbacks.registered = [this](client::Client::State state) { on_registered(state); };
  callbacks.disconnected = [](const client::Error& error) { say(SD_NOTICE, error.message); };
  return callbacks;
}

Claim Gate::new_claim(std::uint64_t generation) const {
  return {setup_.id, host_name(), generation, now_utc(), setup_.installation};
}

// ---- what comes

void Gate::on_prepare(client::Call call) {
  Event event;
  event.kind = Event::Kind::prepare;
  event.claim = new_claim(call.generation());
  event.place = config_.lock.place();
  event.boot = setup_.boot;
  on_plain(std::move(call), event);
}

void Gate::on_restore(client::Call call) {
  if (restore_call_) restore_call_->fail("Restore was called once more.");
  restore_call_.emplace(std::move(call));
  Event event;
  event.kind = Event::Kind::restore;
  feed(event);
}

void Gate::on_plain(client::Call call, const Event& event) {
  call_.emplace(std::move(call));
  feed(event);
  // Prepare's answer comes later.
  if (call_) prepare_call_ = std::exchange(call_, std::nullopt);
}

void Gate::on_registered(client::Client::State state) {
  sd_notify(0, "STATUS=Registered at handoverd.");
  if (state != HANDOVER_CLIENT_NEW) return;  // Restore or Thaw comes
  Event event;
  event.kind = Event::Kind::alone;
  event.boot = setup_.boot;
  feed(event);
}

void Gate::on_release(common::RestartRequest request) {
  if (person_) person_->answer("Somebody else has asked for it at the same time.");
  person_.emplace(std::move(request));
  Event event;
  event.kind = Event::Kind::let_go;
  feed(event);
}

// ---- what is done

void Gate::feed(const Event& event) {
  auto next = step(turn_, event);
  if (next.turn.phase != turn_.phase) status_.since = now_utc();
  const auto before = std::exchange(turn_, std::move(next.turn));
  for (const auto& action : next.actions) {
    if (!perform(action, before)) break;
  }
  publish();
}

bool Gate::perform(const Action& action, const Turn& before) {
  switch (action.kind) {
    case Action::Kind::persist:
      return persist(before);
    case Action::Kind::ask:
      ask();
      break;
    case Action::Kind::stop_asking:
      if (asking_) *asking_ = true;
      ++asked_count_;
      break;
    case Action::Kind::accept:
      settle(call_, nullptr);
      break;
    case Action::Kind::refuse:
      settle(call_, &action.text);
      break;
    case Action::Kind::accept_prepare:
      settle(prepare_call_, nullptr);
      break;
    case Action::Kind::refuse_prepare:
      status_.veto = action.text;
      status_.veto_at = now_utc();
      settle(prepare_call_, &action.text);
      break;
    case Action::Kind::accept_restore:
      settle(restore_call_, nullptr);
      break;
    case Action::Kind::refuse_restore:
      say(SD_ERR, action.text);
      settle(restore_call_, &action.text);
      break;
    case Action::Kind::check_health:
      check_health();
      break;
    case Action::Kind::release:
      release_pause_usec_ = 0;
      release();
      break;
    case Action::Kind::release_later:
      release_pause_usec_ =
          std::clamp(release_pause_usec_ * 2, first_release_pause_usec, longest_release_pause_usec);
      release_timer_.start(release_pause_usec_);
      break;
    case Action::Kind::accept_person:
      if (person_) person_->answer("");
      person_.reset();
      break;
    case Action::Kind::refuse_person:
      if (person_) person_->answer(action.text);
      person_.reset();
      break;
  }
  return true;
}

void Gate::settle(std::optional<client::Call>& call, const std::string* refusal) {
  auto answered = std::exchange(call, std::nullopt);
  if (!answered) return;
  if (refusal) {
    answered->fail(*refusal);
  } else {
    answered->done();
  }
}

/// Without it on disk, a yes must not be asked for: nobody would know later of what to give back.
/// What the disk has is the turn of before, and that goes on.
bool Gate::persist(const Turn& before) {
  auto written =
      common::replace_file(turn_path(setup_.state), to_json(turn_), common::Durable::yes);
  if (written) return true;
  say(SD_ERR, written.error().message);
  if (turn_.phase != Phase::asking) return true;
  turn_ = before;
  settle(call_, &written.error().message);
  return false;
}

void Gate::ask() {
  const auto number = ++asked_count_;
  asking_ = worker_.run([this, number, claim = turn_.claim](const std::atomic<bool>& given_up) {
    const auto server = make_http_server(config_.lock.access, given_up);
    return [this, number, answer = ask_fleet(config_, claim, *server, given_up)] {
      if (number == asked_count_) asked(answer);
    };
  });
}

void Gate::asked(const Answer& answer) {
  if (answer.window) looked(*answer.window);
  expected_usec_ = answer.expected_usec;
  if (answer.health) status_.before = HealthNote{*answer.health, now_utc()};
  if (answer.lock) note_server(*answer.lock);
  feed(answer.event);
}

void Gate::check_health() {
  worker_.run([this](const std::atomic<bool>& given_up) -> Worker::After {
    auto failure = run_checks(config_.health.after, {"HANDOVER_STAGE=after"}, given_up);
    // Our own end says nothing of the host: the next start checks again.
    if (given_up) return [] {};
    return [this, failure] {
      if (!config_.health.after.empty()) status_.after = HealthNote{failure, now_utc()};
      Event event;
      event.kind = failure.empty() ? Event::Kind::healthy : Event::Kind::unhealthy;
      event.text = failure;
      feed(event);
    };
  });
}

/// The configuration may have another since; keys and tokens are today's.
Lock Gate::lock_of_turn() const {
  return turn_.place ? config_.lock.at(*turn_.place) : config_.lock;
}

void Gate::release() {
  worker_.run(
      [this, claim = turn_.claim, lock = lock_of_turn()](const std::atomic<bool>& given_up) {
        auto named = claim;
        // A turn that was idle has none: what the server has of us counts.
        if (named.id.empty()) named = new_claim(0);
        const auto server = make_http_server(lock.access, given_up);
        return [this, outcome = LockClient(lock, *server, given_up).give_back(named)] {
          released(outcome);
        };
      });
}

/// Another update may have begun since, and needs the slot.
void Gate::release_again() {
  if (turn_.phase == Phase::releasing) release();
}

void Gate::released(const LockOutcome& outcome) {
  note_server(outcome);
  Event event;
  event.kind =
      outcome.kind == LockOutcome::Kind::free ? Event::Kind::released : Event::Kind::unreleased;
  event.text = outcome.message;
  if (event.kind == Event::Kind::unreleased && turn_.phase == Phase::releasing) {
    say(SD_WARNING, "The slot is not given back yet: " + outcome.message);
  }
  feed(event);
}

void Gate::note_server(const LockOutcome& outcome) {
  if (config_.lock.kind == LockKind::none) return;
  status_.server_answers = outcome.kind == LockOutcome::Kind::held ||
                           outcome.kind == LockOutcome::Kind::free ||
                           outcome.kind == LockOutcome::Kind::refused;
  status_.server_failure = *status_.server_answers ? "" : outcome.message;
  status_.server_at = now_utc();
}

// ---- what is told

void Gate::look_at_windows() {
  worker_.run([this](const std::atomic<bool>& given_up) {
    return [this, window = look_at(config_.windows, wall_clock_usec(), given_up)] {
      looked(window);
      publish();
    };
  });
}

void Gate::looked(const client::Result<WindowState>& window) {
  status_.window_at = now_utc();
  status_.window_failure = window ? "" : window.error().message;
  status_.window = window ? std::optional(window.value()) : std::nullopt;
  auto pause_usec = window ? longest_window_pause_usec : failed_window_pause_usec;
  const auto now = wall_clock_usec();
  if (status_.window) {
    for (const auto& border : {status_.window->closes, status_.window->opens}) {
      if (border && *border > now) pause_usec = std::min(pause_usec, *border - now);
    }
  }
  window_timer_.start(std::max(pause_usec, shortest_window_pause_usec));
}

void Gate::publish() {
  status_.turn = turn_;
  const auto text = to_json(status_, config_.lock);
  auto written = common::replace_file(status_path(setup_.runtime), text, common::Durable::no);
  if (!written) say(SD_WARNING, written.error().message);
}

}  // namespace handover::fleet
