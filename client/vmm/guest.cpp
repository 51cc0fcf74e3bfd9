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
#include "common/file.h"
#include "common/log.h"
#include "common/memory_file.h"
#include "left_socket.h"
#include "requirements.h"
#include "survey.h"

namespace handover::vmm {

using common::errno_error;
using common::now_usec;
using common::say;

namespace {

// A daemon that is gone for so long can neither finish the update nor thaw anyone.
constexpr std::uint64_t orphan_usec = 60'000'000;
constexpr std::uint64_t kill_usec = 10'000'000;
constexpr std::uint64_t look_again_usec = 100'000;  // for what is missing

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
    if (auto thawed = thaw_or_leave(); !thawed) say(SD_ERR, thawed.error().message);
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

/// Not started yet, for want of something. One that is frozen has a state, also without a QEMU.
bool Guest::is_to_begin() const { return !qemu_ && !awaits_restore_ && motion_ == Motion::running; }

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
    (void)thaw_if_left_standing();  // says what is wrong itself
    return;
  }
  if (!is_to_begin()) return;
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
    auto cleared = remove_left_sockets(sockets_of(description_.arguments, directory));
    if (!cleared) return cleared;
    // QEMU starts without these, which may be those of other services.
    cleared = remove_left_sockets(sockets_of(description_.arguments, directory, Sockets::all));
    if (!cleared) say(SD_NOTICE, cleared.error().message);
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

void Guest::on_registered(client::Client::State state) {
  if (state != HANDOVER_CLIENT_NEW) return;  // Restore or Thaw comes; both see to everything
  if (awaits_restore_ && !qemu_) {
    say(SD_ERR, "The guest '" + options_.name + "' did not come back: handoverd has lost it.");
    leave(own_failure);
    return;
  }
  // The daemon is another one, and not in an update of ours.
  if (auto thawed = thaw_or_leave(); !thawed) say(SD_ERR, thawed.error().message);
  preservation_.attempt();
}

void Guest::on_disconnected(const client::Error& error) {
  say(SD_NOTICE, error.message);
  restore_call_.reset();  // asked again by whoever comes
  again_timer_.stop();
  if (stands_ || is_to_begin()) again_timer_.start(look_again_usec);
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
  // No update carries this guest: the next one must not wait for it.
  if (stands_ || is_to_begin()) common::leave_handoverd(connection_, preservation_, client_);
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
  // One that has run since is not what its state says.
  if (motion_ == Motion::frozen && !resumed_) {
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
