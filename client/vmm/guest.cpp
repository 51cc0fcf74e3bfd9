// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest.h"

#include <linux/memfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "access.h"
#include "advice.h"
#include "common/file.h"
#include "common/log.h"
#include "common/memory_file.h"
#include "counter.h"
#include "left_socket.h"
#include "requirements.h"
#include "survey.h"

namespace handover::vmm {

using common::errno_error;
using common::now_usec;
using common::say;

namespace {

constexpr std::uint64_t ram_token = 1;
constexpr std::uint64_t state_token = 2;
// A daemon that is gone for so long can neither finish the update nor thaw anyone.
constexpr std::uint64_t orphan_usec = 60'000'000;
constexpr std::uint64_t kill_usec = 10'000'000;
constexpr std::uint64_t look_again_usec = 100'000;     // for what is missing
constexpr std::uint64_t start_again_usec = 1'000'000;  // a QEMU that did not start

/// A tenth is left for the answer to arrive in time.
Deadline deadline_of(const client::Call& call, std::uint64_t limit_usec) {
  const std::uint64_t limit = call.timeout_usec() ? call.timeout_usec() : limit_usec;
  return now_usec() + limit / 10 * 9;
}

unsigned hugepage_flags(std::uint64_t bytes) {
  if (bytes == 0) return 0;
  return MFD_HUGETLB | static_cast<unsigned>(__builtin_ctzll(bytes)) << MFD_HUGE_SHIFT;
}

/// What of the host this guest has now, and will need again.
std::vector<common::WaitFor> needed_again(const Description& description, const Config& config) {
  const auto directory = own_directory();
  auto needed = requirements_of(description.arguments, directory);
  // Helpers of ours make their sockets themselves.
  if (description.helpers.empty()) {
    for (const auto& socket : sockets_of(description.arguments, directory)) {
      needed.push_back({common::WaitFor::Kind::path, socket});
    }
  }
  needed = present(std::move(needed));
  for (const auto& wanted : config.wait_for) {
    if (std::find(needed.begin(), needed.end(), wanted) == needed.end()) needed.push_back(wanted);
  }
  return needed;
}

void answer(client::Call& call, const client::Result<void>& outcome) {
  if (outcome) {
    call.done();
  } else {
    call.fail(outcome.error().message);
  }
}

}  // namespace

Guest::Guest(RunOptions options, Config config, sd_event* event, client::Connection connection)
    : options_(std::move(options)),
      config_(std::move(config)),
      description_(description_of(config_)),
      event_(event),
      connection_(std::move(connection)),
      preservation_(connection_, options_.name, config_.backend) {}

Guest::~Guest() = default;

client::Result<void> Guest::start() {
  // Registering goes first: in a new kernel, Restore waits for nothing but this.
  if (auto registered = register_client(); !registered) return registered;
  auto watched = signals_.attach(event_, {SIGTERM, SIGINT, SIGQUIT}, [this](int) { on_signal(); });
  if (!watched) return watched;
  if (auto made = preservation_.attach(event_); !made) return made;
  auto orphaned = orphan_timer_.attach(event_, [this] {
    say(SD_WARNING, "handoverd did not come back: the guest goes on.");
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  });
  if (!orphaned) return orphaned;
  if (auto made = shutdown_timer_.attach(event_, [this] { shut_down_harder(); }); !made)
    return made;

  if (auto made = again_timer_.attach(event_, [this] { try_again(); }); !made) return made;
  if (auto made = clock_.attach(event_); !made) return made;

  open_restart_socket();
  tell("waiting");
  awaits_restore_ = client_->state() == HANDOVER_CLIENT_RESTORING;
  if (awaits_restore_) return {};  // on_restore() goes on
  start_deadline_ = now_usec() + config_.limits.restore;
  auto begun = make_memory();
  if (begun) begun = begin();
  if (!begun) {
    common::leave_handoverd(connection_, preservation_, client_);
    tell("ended");
  }
  return begun;
}

client::Result<void> Guest::register_client() {
  client::Client::Options registration;
  registration.needs = config_.needs;
  registration.optional = config_.optional;
  registration.prepare_timeout_usec = config_.limits.prepare;
  registration.freeze_timeout_usec = config_.limits.freeze;
  registration.restore_timeout_usec = config_.limits.restore;
  auto registered = common::register_owner(this, connection_, options_.name, registration);
  if (!registered) return registered.error();
  client_.emplace(std::move(*registered));
  return {};
}

/// The first start: new memory, preserved before anybody uses it.
client::Result<void> Guest::make_memory() {
  auto ram = common::make_memory(options_.name + "-ram", config_.memory,
                                 hugepage_flags(config_.hugepages));
  if (!ram) return ram.error();
  ram_ = std::move(*ram);
  auto state = StateMemory::make(options_.name + "-state", config_.state);
  if (!state) return state.error();
  state_.emplace(std::move(*state));
  return preservation_.begin(items());
}

std::vector<common::Preservation::Item> Guest::items() const {
  return {{ram_token, ram_.get()}, {state_token, state_->fd()}};
}

/// The first start, as soon as there is what the operator wants to be there.
client::Result<void> Guest::begin() {
  if (const auto missing = common::what_is_missing(config_.wait_for); !missing.empty()) {
    if (now_usec() >= start_deadline_) return client::Error{"", missing, ENOENT};
    wait_for(missing);
    return {};
  }
  if (!config_.user.empty()) {
    if (auto may = check_user(); !may) return may;
  }
  return start_qemu(Qemu::Begin::fresh);
}

/// May QEMU's user use all that the guest needs?
client::Result<void> Guest::check_user() {
  auto user = qemu_user(description_);
  if (!user) return user.error();
  if (!*user) return {};
  auto why = denied(**user, description_.arguments, own_directory());
  if (!why) return why.error();
  if (why->empty()) return {};
  return client::Error{"", why->front(), EACCES};
}

void Guest::wait_for(const std::string& missing) {
  if (missing != missing_) say(SD_NOTICE, missing);
  missing_ = missing;
  again_timer_.start(look_again_usec);
}

void Guest::try_again() {
  if (restore_call_) {
    try_to_restore();
    return;
  }
  if (stands_) {
    if (auto on = thaw_if_left_standing(); !on && !qemu_) leave(own_failure);
    return;
  }
  if (qemu_ || awaits_restore_) return;
  auto begun = begin();
  if (begun) return;
  say(SD_ERR, begun.error().message);
  common::leave_handoverd(connection_, preservation_, client_);
  leave(own_failure);
}

client::Result<void> Guest::start_qemu(Qemu::Begin begin) {
  auto user = qemu_user(description_);
  if (!user) return user.error();
  const auto* identity = *user && (*user)->from_start ? &(*user)->identity : nullptr;
  if (!description_.helpers.empty()) {
    const auto directory = own_directory();
    // Those of helpers that were killed: the new ones could not bind to them.
    auto cleared = remove_left_sockets(sockets_of(description_.arguments, directory, Sockets::all));
    if (!cleared) return cleared;
    auto helpers =
        start_helpers(description_.helpers, sockets_of(description_.arguments, directory),
                      now_usec() + config_.limits.start, identity);
    if (!helpers) return helpers.error();
    helpers_ = std::move(*helpers);
  }
  inventory_.reset();
  resumed_ = false;
  auto qemu = Qemu::start(description_, ram_.get(), begin, config_.limits, identity);
  if (!qemu) {
    helpers_.clear();
    return qemu.error();
  }
  qemu_.emplace(std::move(*qemu));
  qemu_->monitor().on_event([this](const Event& event) { on_event(event); });
  if (auto watched = watch_qemu(); !watched) return watched;
  if (begin == Qemu::Begin::fresh) {
    const Deadline deadline = now_usec() + config_.limits.start;
    auto cpu = look_at_cpu(qemu_->peer(), deadline);
    if (!cpu) return cpu.error();
    description_.cpu = std::move(*cpu);
    if (auto looked = look_around(deadline); !looked) return looked;
    motion_ = Motion::running;
    tell("running");
  }
  return {};
}

/// What this QEMU was made of, and what it needed: by that the next one is judged.
client::Result<void> Guest::look_around(Deadline deadline) {
  inventory_.reset();
  description_.wait_for = needed_again(description_, config_);
  auto inventory = take_inventory(qemu_->peer(), deadline);
  if (!inventory) return inventory.error();
  inventory_ = std::move(*inventory);
  return {};
}

client::Result<void> Guest::watch_qemu() {
  auto watched =
      process_.watch(event_, qemu_->pid(), [this](const siginfo_t& info) { on_qemu_ended(info); });
  if (!watched) return watched;

  sd_event_source* monitor = nullptr;
  const int r = sd_event_add_io(
      event_, &monitor, qemu_->monitor().fd(), EPOLLIN,
      [](sd_event_source*, int, std::uint32_t, void* userdata) {
        static_cast<Guest*>(userdata)->on_monitor_readable();
        return 0;
      },
      this);
  if (r < 0) return errno_error("Cannot watch QEMU's monitor", -r);
  monitor_source_.reset(monitor);
  return {};
}

/// Kills QEMU, if there is one, and hears nothing of it any more.
void Guest::drop_qemu() {
  process_.forget();
  monitor_source_.reset();
  qemu_.reset();
  helpers_.clear();
}

void Guest::on_prepare(client::Call call) {
  answer(call, check(deadline_of(call, config_.limits.prepare)));
}

client::Result<void> Guest::check(Deadline deadline) {
  if (auto on = thaw_if_left_standing(); !on) return what_became(on.error());
  if (!qemu_) return client::Error{"", "The guest '" + options_.name + "' does not run.", ESRCH};
  preservation_.attempt();
  if (!preservation_.complete()) {
    return client::Error{"",
                         "The memory of the guest '" + options_.name +
                             "' is not preserved: " + preservation_.reason(),
                         EBUSY};
  }
  auto portable = check_unchanged(deadline);
  if (portable) portable = check_surroundings();
  if (portable) portable = check_portable(qemu_->peer(), deadline);
  if (portable) return {};
  return client::Error{
      "", "The guest '" + options_.name + "' cannot be carried: " + portable.error().message,
      portable.error().code};
}

/// Would the next QEMU be what this one is?
client::Result<void> Guest::check_unchanged(Deadline deadline) {
  if (!inventory_) {
    return client::Error{"", "QEMU did not say at its start what it is made of: restart the guest.",
                         EBUSY};
  }
  auto now = take_inventory(qemu_->peer(), deadline);
  if (!now) return now.error();
  const auto found = obstacles(*inventory_, *now);
  if (found.empty()) return {};
  std::string more;
  if (found.size() > 1) more = " There is more (" + std::to_string(found.size() - 1) + ").";
  return client::Error{"", found.front() + more, EBUSY};
}

/// Is there still what the next QEMU will need?
client::Result<void> Guest::check_surroundings() {
  if (auto why = tsc_obstacle(description_.arguments, description_.cpu); !why.empty()) {
    return client::Error{"", why, EBUSY};
  }
  if (auto missing = common::what_is_missing(description_.wait_for); !missing.empty()) {
    return client::Error{"", missing, ENOENT};
  }
  if (auto may = check_user(); !may) return may;
  for (const auto& helper : helpers_) {
    if (helper.runs()) continue;
    return client::Error{"", "The helper '" + helper.name() + "' has ended.", ECHILD};
  }
  return {};
}

void Guest::on_freeze(client::Call call) {
  if (auto on = thaw_if_left_standing(); !on) {
    call.fail(what_became(on.error()).message);
    return;
  }
  if (motion_ == Motion::frozen) {
    call.done();
    return;
  }
  auto frozen = freeze(deadline_of(call, config_.limits.freeze));
  if (!frozen) {
    say(SD_ERR, "The guest could not be frozen: " + frozen.error().message);
    if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  }
  answer(call, frozen);
}

client::Result<void> Guest::freeze(Deadline deadline) {
  if (!qemu_) return client::Error{"", "The guest '" + options_.name + "' does not run.", ESRCH};
  if (auto begun = state_->begin(to_text(description_)); !begun) return begun;
  // What has changed since Prepare is looked for while the guest still runs.
  if (auto unchanged = check_unchanged(deadline); !unchanged) return unchanged;
  auto state = state_to_carry(qemu_->peer(), deadline);
  if (!state) return state.error();
  stood_as_ = *state;
  const bool ran = stood_as_ == "running";

  stopped_at_ = read_counter();
  motion_ = Motion::stopped;  // also if no answer comes: QEMU may obey it later
  if (ran) {
    if (auto stopped = stop_guest(qemu_->peer(), deadline); !stopped) return stopped;
  }
  resumed_ = false;
  if (auto saved = save_state(qemu_->peer(), *state_, deadline); !saved) {
    cancel_saving(qemu_->peer(), now_usec() + config_.limits.command);
    return saved;
  }
  state_->complete(stopped_at_, ran);
  motion_ = Motion::frozen;
  tell("frozen");
  return {};
}

void Guest::on_thaw(client::Call call) {
  auto thawed = thaw();
  if (!thawed) say(SD_ERR, "The guest does not go on: " + thawed.error().message);
  answer(call, thawed);
  if (preservation_.in_doubt()) preservation_.attempt_soon();
  if (!thawed && !qemu_ && motion_ == Motion::running) leave(own_failure);
}

/// In this kernel: the same QEMU, or if it has ended a new one.
client::Result<void> Guest::thaw() {
  orphan_timer_.stop();
  if (motion_ == Motion::running) return {};
  if (!qemu_) {
    say(SD_NOTICE, "QEMU has ended while the guest was frozen: a new one takes it over.");
    return take_over();
  }
  if (stood_as_ != "running") return stand_as_before();
  auto continued = continue_guest(qemu_->peer(), now_usec() + config_.limits.command);
  if (!continued) return not_thawed(continued.error());
  put_back();
  const auto header = state_->header();
  runs_again({false, usec_since(stopped_at_), header ? header.value().state_bytes : 0});
  return {};
}

client::Result<void> Guest::not_thawed(const client::Error& why) {
  if (why.code == ETIMEDOUT) {
    // One that hangs was told nevertheless, and goes on as soon as it hears it.
    motion_ = Motion::running;
  } else if (why.code == EREMOTEIO) {
    stand();
  } else if (motion_ == Motion::frozen && !resumed_) {
    say(SD_NOTICE, "QEMU has ended while nobody looked: a new one takes the guest over.");
    return take_over();
  }
  return why;
}

/// QEMU refuses, since somebody else uses an image, say. The guest is whole, and whoever froze it
/// need not ask a second time.
void Guest::stand() {
  stands_ = true;
  again_timer_.start(start_again_usec);
}

client::Result<void> Guest::thaw_if_left_standing() {
  if (!stands_) return {};
  stands_ = false;
  auto on = thaw();
  if (on) return on;
  const auto became = what_became(on.error()).message;
  if (became != missing_) say(SD_ERR, became);
  missing_ = became;
  return on;
}

/// A guest that did not go on, for that reason.
client::Error Guest::what_became(const client::Error& why) const {
  const std::string guest = "The guest '" + options_.name + "' ";
  if (!qemu_) return {"", guest + "has ended: no QEMU has it any more: " + why.message, why.code};
  const auto process = "QEMU, process " + std::to_string(qemu_->pid());
  const std::string what =
      stands_
          ? "stands still in " + process + ", which is told to go on each second until it does: "
          : "was told to go on in " + process + "; restart it if it does not: ";
  return {"", guest + what + why.message, why.code};
}

/// A guest that did not run. QEMU knows no way back from a state that is written to a guest that is
/// paused or off; a new one that reads the state does.
client::Result<void> Guest::stand_as_before() {
  const Deadline deadline = now_usec() + config_.limits.command;
  auto now = run_state(qemu_->peer(), deadline);
  if (!now) return now.error();
  if (*now != stood_as_ && motion_ == Motion::frozen) return take_over();
  if (*now != stood_as_ && stood_as_ == "paused") {
    say(SD_WARNING, "The guest was paused, and runs for an instant: QEMU failed half-way.");
    if (auto continued = continue_guest(qemu_->peer(), deadline); !continued) return continued;
    if (auto stopped = stop_guest(qemu_->peer(), deadline); !stopped) return stopped;
  } else if (*now != stood_as_) {
    say(SD_ERR, "QEMU failed half-way: the guest was '" + stood_as_ + "', and is '" + *now + "'.");
  }
  put_back();
  const auto header = state_->header();
  runs_again({false, usec_since(stopped_at_), header ? header.value().state_bytes : 0});
  return {};
}

/// In this kernel: a new QEMU goes on with the state.
client::Result<void> Guest::take_over() {
  const Deadline deadline = now_usec() + config_.limits.restore;
  auto header = read_description();
  client::Result<void> outcome;
  if (!header) outcome = header.error();
  drop_qemu();
  if (outcome) outcome = start_qemu(Qemu::Begin::incoming);
  if (outcome) outcome = read_in(*header, deadline);
  const bool read = static_cast<bool>(outcome);
  if (outcome) outcome = go_on(*header, Place::same_kernel, deadline);
  if (outcome || (read && outcome.error().code == ETIMEDOUT)) return outcome;
  if (read && outcome.error().code == EREMOTEIO) {
    stand();
    return outcome;
  }
  // There is nothing left to thaw.
  motion_ = Motion::running;
  drop_qemu();
  return outcome;
}

void Guest::put_back() {
  auto put = put_settings_back(qemu_->peer(), now_usec() + config_.limits.command);
  if (!put) say(SD_NOTICE, put.error().message);
}

void Guest::runs_again(const Carried& carried) {
  motion_ = Motion::running;
  stands_ = false;
  carried_ = carried;
  missing_.clear();
  if (!inventory_) {
    auto looked = look_around(now_usec() + config_.limits.command);
    if (!looked) say(SD_WARNING, looked.error().message);
  }
  const bool ran = stood_as_ == "running";
  say(SD_INFO, (ran ? "The guest goes on " : "The guest is '" + stood_as_ + "' as before ") +
                   (carried.restored ? "in the new kernel" : "without an update") +
                   ": stopped for " + std::to_string(carried.stopped_usec / 1000) + " ms, state " +
                   std::to_string(carried.state_bytes) + " bytes, memory " +
                   std::to_string(description_.memory) + " bytes, not copied.");
  tell("running");
  if (ran && !config_.guest_agent.empty()) clock_.set(config_.guest_agent);
}

void Guest::on_restore(client::Call call) {
  awaits_restore_ = true;
  start_deadline_ = deadline_of(call, config_.limits.restore);
  restore_call_.emplace(std::move(call));
  preservation_.lost();
  if (auto retrieved = retrieve(); !retrieved) {
    restored(retrieved);
    return;
  }
  // The daemon died after the guest had gone on, and asks once more (docs/dbus.md, Restore).
  if (qemu_ && motion_ == Motion::running) {
    restored({});
    return;
  }
  try_to_restore();
}

/// A new QEMU with the RAM that is there and the state that was written. Also where the old one is
/// still there (the emulated backend): an update is then tried from end to end.
///
/// In a new kernel we are called before file systems are mounted, devices are found and links are
/// made, so that much may not be there yet.
void Guest::try_to_restore() {
  auto header = read_description();
  if (!header) {
    restored(header.error());
    return;
  }
  if (const auto missing = common::what_is_missing(description_.wait_for); !missing.empty()) {
    if (now_usec() >= start_deadline_) {
      restored(client::Error{"", missing, ENOENT});
    } else {
      wait_for(missing);
    }
    return;
  }
  drop_qemu();
  if (auto started = start_qemu(Qemu::Begin::incoming); !started) {
    drop_qemu();
    if (now_usec() + start_again_usec >= start_deadline_) {
      restored(started);
      return;
    }
    if (started.error().message != missing_) say(SD_WARNING, started.error().message);
    missing_ = started.error().message;
    again_timer_.start(start_again_usec);
    return;
  }
  auto loaded = load(*header, Place::next_kernel, start_deadline_);
  restored(loaded ? renew_state_room() : loaded);
}

void Guest::restored(const client::Result<void>& outcome) {
  auto call = std::move(*restore_call_);
  restore_call_.reset();
  if (!outcome) {
    say(SD_ERR, "The guest '" + options_.name + "' did not come back: " + outcome.error().message);
    call.fail(outcome.error().message);
    // A new guest in place of the old one would be a silent loss: the next start is a fresh one.
    leave(own_failure);
    return;
  }
  awaits_restore_ = false;
  call.done();
  // For the next update. The daemon finishes the incoming session of this name upon the answer.
  preservation_.begin_again(items());
}

client::Result<void> Guest::retrieve() {
  auto session = connection_.get_session(options_.name);
  if (!session) return session.error();
  // What came already before the daemon died is here.
  auto ram = session->retrieve(ram_token);
  if (!ram && !(ram_ && ram.error().is("AlreadyRetrieved"))) return ram.error();
  if (ram) ram_ = std::move(*ram);
  auto fd = session->retrieve(state_token);
  if (!fd && !(state_ && fd.error().is("AlreadyRetrieved"))) return fd.error();
  if (!fd) return {};
  auto state = StateMemory::open(std::move(*fd));
  if (!state) return state.error();
  state_.emplace(std::move(*state));
  return {};
}

client::Result<StateHeader> Guest::read_description() {
  auto header = state_->header();
  if (!header) return header;
  auto description = parse_description(state_->description(*header));
  if (!description) return description.error();
  if (!description->run_as) description->run_as = description_.run_as;
  if (!is_same_guest(*description, description_)) {
    say(SD_NOTICE, options_.config + " has changed: it counts when the guest is started afresh.");
  }
  description_ = *description;
  return header;
}

/// The guest does not ask again what its processor can do.
client::Result<void> Guest::check_cpu(Deadline deadline) {
  auto now = look_at_cpu(qemu_->peer(), deadline);
  if (!now) return now.error();
  for (const auto& difference : differs(description_.cpu, *now)) {
    say(SD_WARNING, "The guest's processor is another one: its " + difference + ".");
  }
  const auto missing = lacks(description_.cpu, *now);
  if (missing.empty()) return {};
  std::string all;
  for (const auto& one : missing) all += (all.empty() ? "" : ", ") + one;
  return client::Error{"",
                       "The processor that QEMU has for the guest here lacks what the guest knows "
                       "of it: " +
                           all + ".",
                       ENOTSUP};
}

/// Into the QEMU that waits for it.
client::Result<void> Guest::load(const StateHeader& header, Place place, Deadline deadline) {
  if (auto read = read_in(header, deadline); !read) return read;
  return go_on(header, place, deadline);
}

/// The guest stands still behind it, and another QEMU may have it still.
client::Result<void> Guest::read_in(const StateHeader& header, Deadline deadline) {
  if (auto good = check_cpu(deadline); !good) return good;
  return load_state(qemu_->peer(), *state_, header, deadline);
}

client::Result<void> Guest::go_on(const StateHeader& header, Place place, Deadline deadline) {
  if (auto goes = set_going(header, deadline); !goes) return goes;
  return note_going(header, place, deadline);
}

/// If it may run from here on, that was what it was frozen for: also where no answer came.
client::Result<void> Guest::set_going(const StateHeader& header, Deadline deadline) {
  client::Result<void> goes;
  if (header.ran) goes = continue_guest(qemu_->peer(), deadline);
  if (goes || resumed_ || goes.error().code == ETIMEDOUT) motion_ = Motion::running;
  return goes;
}

client::Result<void> Guest::note_going(const StateHeader& header, Place place, Deadline deadline) {
  const auto stopped = usec_since(header.stopped_at);
  auto state = run_state(qemu_->peer(), deadline);
  if (!state) return state.error();
  stood_as_ = *state;
  put_back();
  runs_again({place == Place::next_kernel, stopped, header.state_bytes});
  return {};
}

/// The configuration may ask for more room than the earlier kernel had.
client::Result<void> Guest::renew_state_room() {
  if (state_->size() == config_.state) return {};
  auto state = StateMemory::make(options_.name + "-state", config_.state);
  if (!state) return state.error();
  *state_ = std::move(*state);
  return {};
}

void Guest::on_registered(client::Client::State state) {
  if (state != HANDOVER_CLIENT_NEW) return;  // Restore or Thaw comes; both see to everything
  if (awaits_restore_ && !qemu_) {
    say(SD_ERR, "The guest '" + options_.name + "' did not come back: handoverd has lost it.");
    leave(own_failure);
    return;
  }
  // The daemon is another one, and not in an update of ours.
  if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  preservation_.attempt();
}

void Guest::on_disconnected(const client::Error& error) {
  say(SD_NOTICE, error.message);
  restore_call_.reset();  // asked again by whoever comes
  again_timer_.stop();
  if (stands_ || (!qemu_ && !awaits_restore_)) again_timer_.start(look_again_usec);
  preservation_.doubt();
  if (motion_ != Motion::running) orphan_timer_.start(orphan_usec);
}

void Guest::on_event(const Event& event) {
  // Said before any of its processors runs (QEMU's vm_prepare_start()).
  if (event.name == "RESUME") resumed_ = true;
  for (const char* told : {"GUEST_PANICKED", "BLOCK_IO_ERROR", "MEMORY_FAILURE", "RESET"}) {
    if (event.name == told) say(SD_NOTICE, "QEMU says " + event.name + " " + event.data.dump());
  }
}

void Guest::on_monitor_readable() {
  auto drained = qemu_->monitor().drain();
  if (drained) return;
  // QEMU's end is told by its own event; a monitor that talks nonsense only costs the next update.
  monitor_source_.reset();
  say(SD_WARNING, drained.error().message);
}

void Guest::on_signal() {
  if (!qemu_) {
    leave(0);
    return;
  }
  if (motion_ == Motion::running) {
    shut_down_harder();
    return;
  }
  // The orderly way into the next kernel: the memory is the kernel's already, and the guest must
  // not touch it again.
  drop_qemu();
  leave(0);
}

/// As a person would: the power button, then the plug, then the axe.
void Guest::shut_down_harder() {
  if (!qemu_) return;
  ++shutdown_step_;
  if (shutdown_step_ == 1) {
    auto asked =
        qemu_->peer().call("system_powerdown", nullptr, now_usec() + config_.limits.command);
    shutdown_timer_.start(asked ? config_.limits.shutdown : 0);
    return;
  }
  kill(qemu_->pid(), shutdown_step_ == 2 ? SIGTERM : SIGKILL);
  shutdown_timer_.start(kill_usec);
}

void Guest::on_qemu_ended(const siginfo_t& info) {
  qemu_->has_ended();
  monitor_source_.reset();
  qemu_.reset();
  helpers_.clear();
  if (motion_ == Motion::frozen) {
    say(SD_WARNING, "QEMU has ended, but the guest's state is complete.");
    tell("frozen");
    if (stands_) again_timer_.start(0);  // to be taken over
    return;
  }
  const bool exited = info.si_code == CLD_EXITED;
  say(exited && info.si_status == 0 ? SD_INFO : SD_ERR,
      exited ? "QEMU has ended with exit code " + std::to_string(info.si_status) + "."
             : "QEMU was ended by signal " + std::to_string(info.si_status) + ".");
  common::leave_handoverd(connection_, preservation_, client_);
  if (shutdown_step_ > 0) {
    leave(0);
    return;
  }
  leave(exited ? info.si_status : 128 + info.si_status);
}

void Guest::leave(int exit_code) {
  tell("ended");
  sd_notify(0, "STOPPING=1");
  sd_event_exit(event_, exit_code);
}

void Guest::tell(const char* state) {
  Status status;
  status.name = options_.name;
  status.state = state;
  status.pid = qemu_ ? qemu_->pid() : 0;
  status.program = getpid();
  status.program_start = start_of(status.program);
  if (qemu_) status.version = qemu_->version();
  status.ram_bytes = description_.memory;
  status.state_room = state_ ? state_->size() : config_.state;
  status.carried = carried_;
  if (auto written = write_status(options_.directory, status); !written) {
    say(SD_WARNING, written.error().message);
  }
  if (status.state == "running") {
    sd_notifyf(0, "READY=1\nSTATUS=%s runs in QEMU, process %d", options_.name.c_str(),
               static_cast<int>(status.pid));
  }
}

}  // namespace handover::vmm
