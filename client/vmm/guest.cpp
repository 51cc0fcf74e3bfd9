// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest.h"

#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "common/file.h"
#include "common/log.h"
#include "counter.h"

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

/// A tenth is left for the answer to arrive in time.
Deadline deadline_of(const client::Call& call, std::uint64_t limit_usec) {
  const std::uint64_t limit = call.timeout_usec() ? call.timeout_usec() : limit_usec;
  return now_usec() + limit / 10 * 9;
}

unsigned hugepage_flags(std::uint64_t bytes) {
  if (bytes == 0) return 0;
  return MFD_HUGETLB | static_cast<unsigned>(__builtin_ctzll(bytes)) << MFD_HUGE_SHIFT;
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

  tell("waiting");
  if (client_->state() == HANDOVER_CLIENT_RESTORING) return {};  // on_restore() goes on
  if (auto made = make_memory(); !made) return made;
  auto started = start_qemu(description_, Qemu::Begin::fresh);
  if (!started) common::leave_handoverd(connection_, preservation_, client_);
  return started;
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
  ram_.reset(memfd_create((options_.name + "-ram").c_str(),
                          MFD_CLOEXEC | hugepage_flags(config_.hugepages)));
  if (!ram_) return errno_error("Cannot make the guest's memory");
  if (ftruncate(ram_.get(), static_cast<off_t>(config_.memory)) < 0) {
    return errno_error("Cannot give the guest " + std::to_string(config_.memory >> 20) +
                       " MiB of memory");
  }
  auto state = StateMemory::make(options_.name + "-state", config_.state);
  if (!state) return state.error();
  state_.emplace(std::move(*state));
  return preservation_.begin(items());
}

std::vector<common::Preservation::Item> Guest::items() const {
  return {{ram_token, ram_.get()}, {state_token, state_->fd()}};
}

client::Result<void> Guest::start_qemu(const Description& description, Qemu::Begin begin) {
  auto qemu = Qemu::start(description, ram_.get(), begin, config_.limits);
  if (!qemu) return qemu.error();
  qemu_.emplace(std::move(*qemu));
  qemu_->monitor().on_event([this](const Event& event) { on_event(event); });
  if (auto watched = watch_qemu(); !watched) return watched;
  if (begin == Qemu::Begin::fresh) {
    motion_ = Motion::running;
    tell("running");
  }
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
}

void Guest::on_prepare(client::Call call) {
  answer(call, check(deadline_of(call, config_.limits.prepare)));
}

client::Result<void> Guest::check(Deadline deadline) {
  if (!qemu_) return client::Error{"", "The guest '" + options_.name + "' does not run.", ESRCH};
  preservation_.attempt();
  if (!preservation_.complete()) {
    return client::Error{"",
                         "The memory of the guest '" + options_.name +
                             "' is not preserved: " + preservation_.reason(),
                         EBUSY};
  }
  auto portable = check_portable(qemu_->peer(), deadline);
  if (portable) return {};
  return client::Error{
      "", "The guest '" + options_.name + "' cannot be carried: " + portable.error().message,
      portable.error().code};
}

void Guest::on_freeze(client::Call call) {
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
  auto state = run_state(qemu_->peer(), deadline);
  if (!state) return state.error();
  ran_ = *state == "running";

  stopped_at_ = read_counter();
  motion_ = Motion::stopped;  // also if no answer comes: QEMU may obey it later
  if (auto stopped = stop_guest(qemu_->peer(), deadline); !stopped) return stopped;
  if (auto saved = save_state(qemu_->peer(), *state_, deadline); !saved) {
    cancel_saving(qemu_->peer(), now_usec() + config_.limits.command);
    return saved;
  }
  state_->complete(stopped_at_, ran_);
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
    auto resumed = resume_from_state(Place::same_kernel, now_usec() + config_.limits.restore);
    if (!resumed) {
      // There is nothing left to thaw.
      motion_ = Motion::running;
      drop_qemu();
    }
    return resumed;
  }
  if (ran_) {
    auto continued = continue_guest(qemu_->peer(), now_usec() + config_.limits.command);
    // One that hangs was told nevertheless, and goes on as soon as it hears it.
    if (!continued && continued.error().code == ETIMEDOUT) motion_ = Motion::running;
    if (!continued) return continued;
  }
  const auto header = state_->header();
  runs_again({false, usec_since(stopped_at_), header ? header.value().state_bytes : 0});
  return {};
}

void Guest::runs_again(const Carried& carried) {
  motion_ = Motion::running;
  carried_ = carried;
  say(SD_INFO, std::string("The guest goes on ") +
                   (carried.restored ? "in the new kernel" : "without an update") +
                   ": stopped for " + std::to_string(carried.stopped_usec / 1000) + " ms, state " +
                   std::to_string(carried.state_bytes) + " bytes, memory " +
                   std::to_string(description_.memory) + " bytes, not copied.");
  tell("running");
}

void Guest::on_restore(client::Call call) {
  auto restored = restore(deadline_of(call, config_.limits.restore));
  if (!restored) {
    say(SD_ERR, "The guest '" + options_.name + "' did not come back: " + restored.error().message);
    call.fail(restored.error().message);
    // A new guest in place of the old one would be a silent loss: the next start is a fresh one.
    leave(own_failure);
    return;
  }
  call.done();
  // For the next update. The daemon finishes the incoming session of this name upon the answer.
  preservation_.begin_again(items());
}

client::Result<void> Guest::restore(Deadline deadline) {
  preservation_.lost();
  if (auto retrieved = retrieve(); !retrieved) return retrieved;
  // The daemon died after the guest had gone on, and asks once more (docs/dbus.md, Restore).
  if (qemu_ && motion_ == Motion::running) return {};
  if (auto resumed = resume_from_state(Place::next_kernel, deadline); !resumed) return resumed;
  return renew_state_room();
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

/// A new QEMU with the RAM that is there and the state that was written. Also where the old one is
/// still there (the emulated backend): an update is then tried from end to end.
client::Result<void> Guest::resume_from_state(Place place, Deadline deadline) {
  auto header = state_->header();
  if (!header) return header.error();
  auto description = parse_description(state_->description(*header));
  if (!description) return description.error();
  if (!(*description == description_of(config_))) {
    say(SD_NOTICE, options_.config + " has changed: it counts when the guest is started afresh.");
  }
  description_ = *description;
  drop_qemu();
  if (auto started = start_qemu(description_, Qemu::Begin::incoming); !started) return started;
  if (auto loaded = load_state(qemu_->peer(), *state_, *header, deadline); !loaded) return loaded;
  if (header->ran) {
    if (auto runs = continue_guest(qemu_->peer(), deadline); !runs) return runs;
  }
  runs_again({place == Place::next_kernel, usec_since(header->stopped_at), header->state_bytes});
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
  // The daemon is another one, and not in an update of ours.
  if (auto thawed = thaw(); !thawed) say(SD_ERR, thawed.error().message);
  preservation_.attempt();
}

void Guest::on_disconnected(const client::Error& error) {
  say(SD_NOTICE, error.message);
  preservation_.doubt();
  if (motion_ != Motion::running) orphan_timer_.start(orphan_usec);
}

void Guest::on_event(const Event& event) {
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
  if (motion_ == Motion::frozen) {
    say(SD_WARNING, "QEMU has ended, but the guest's state is complete.");
    tell("frozen");
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
