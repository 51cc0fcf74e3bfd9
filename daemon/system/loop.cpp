// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system/loop.h"

#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <system_error>
#include <utility>

#include "system/log.h"
#include "system/notify.h"
#include "system/trampoline.h"

namespace handover::system {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr milliseconds late_turn(20);
/// A turn under a flood of events does not end: this long, at_turn_end() and late timers wait.
constexpr milliseconds turn_end_patience(10);
constexpr std::chrono::seconds late_timer_patience(1);
/// What was posted, or timers that are due, take the loop this long at once; then other events have
/// their chance.
constexpr milliseconds slice(5);
constexpr std::uint64_t timer_accuracy_usec = 1000;
/// Beyond it a time would go round.
constexpr std::uint64_t longest_timer_usec = UINT64_C(100) * 365 * 86'400 * 1'000'000;
constexpr std::chrono::seconds late_told_every(10);
/// How soon the service manager is told again what it had no room for.
constexpr std::uint64_t notify_again_usec = 50'000;
/// Below it, a late turn is a line for those who look for it.
constexpr milliseconds very_late_turn(500);

void check(int result, const char* what) {
  if (result < 0) throw std::system_error(-result, std::generic_category(), what);
}

template <typename Duration>
std::uint64_t usec(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<microseconds>(duration).count());
}

}  // namespace

struct Timer::State : std::enable_shared_from_this<State> {
  State(Loop& of, Priority when, std::function<void()> then)
      : loop(of), priority(when), callback(std::move(then)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { take_out(); }
  void take_out() {
    if (std::exchange(waits, false)) loop.timers_.erase(at);
  }

  Loop& loop;
  Priority priority;
  std::function<void()> callback;
  bool waits = false;  ///< it is not due yet: `at` is its place
  std::multimap<Loop::Clock::time_point, State*>::iterator at;
};

Loop::Loop() {
  check(sd_event_default(&event_), "sd_event_default");
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  check(wake_ ? 0 : -errno, "eventfd");
  check(sd_event_add_io(event_, nullptr, wake_.get(), EPOLLIN, trampoline<&Loop::on_posted>, this),
        "sd_event_add_io");
  sd_event_source* time = nullptr;
  check(sd_event_add_time(event_, &time, CLOCK_MONOTONIC, UINT64_MAX, timer_accuracy_usec,
                          trampoline<&Loop::on_time>, this),
        "sd_event_add_time");
  time_.reset(time);
}

Result<void> Loop::feed_watchdog() {
  std::uint64_t limit_usec = 0;
  const int asked_for = sd_watchdog_enabled(0, &limit_usec);
  if (asked_for < 0) {
    return fail_errno("cannot tell how often the service manager's watchdog is to be fed",
                      -asked_for);
  }
  if (asked_for == 0) return {};
  notify_watchdog();
  watchdog_ = after(limit_usec / 3, [this] {
    if (auto fed = feed_watchdog(); !fed) log::error(fed.error().message);
  });
  return {};
}

Loop::~Loop() {
  watchdog_.cancel();
  // Whoever holds one still may let it go later.
  for (const auto& [due, state] : timers_) state->waits = false;
  time_.reset();
  sd_event_unref(event_);
}

int Loop::run() {
  turn_began_ = turn_end_ran_ = Clock::now();
  while (sd_event_get_state(event_) != SD_EVENT_FINISHED) {
    if (const int result = step(); result < 0) return result;
  }
  end_turn_callbacks();
  count_turn(Clock::now());
  int code = 0;
  const int result = sd_event_get_exit_code(event_, &code);
  return result < 0 ? result : code;
}

void Loop::exit(int code) { sd_event_exit(event_, code); }

int Loop::step() {
  int result = sd_event_prepare(event_);
  if (result == 0) result = sd_event_wait(event_, 0);
  if (result < 0) return result;
  if (result > 0) return dispatch();
  if (run_late_timer()) return 0;
  // Nothing else has come: what the end of this turn leads to is the next one's.
  if (end_turn_callbacks() && (!turn_end_.empty() || !late_.empty())) return 0;
  return sleep();
}

int Loop::sleep() {
  count_turn(Clock::now());
  const std::uint64_t limit_usec = notify_again() ? UINT64_MAX : notify_again_usec;
  int result = sd_event_prepare(event_);
  if (result == 0) result = sd_event_wait(event_, limit_usec);
  turn_began_ = turn_end_ran_ = Clock::now();
  return result > 0 ? dispatch() : result;
}

int Loop::dispatch() {
  const auto began = Clock::now();
  const int result = sd_event_dispatch(event_);
  const auto now = Clock::now();
  longest_call_usec_ = std::max(longest_call_usec_, usec(now - began));
  if (!turn_end_.empty() && now - turn_end_ran_ > turn_end_patience) end_turn_callbacks();
  if (!late_.empty() && now - late_since_ > late_timer_patience) run_late_timer();
  return result;
}

void Loop::count_turn(Clock::time_point now) {
  const auto took = now - turn_began_;
  ++turns_;
  longest_turn_usec_ = std::max(longest_turn_usec_, usec(took));
  if (took <= late_turn) return;
  ++late_turns_;
  if (late_turns_ > 1 && now - late_told_ < late_told_every) return;
  late_told_ = now;
  log::event(log::Id::loop_late, took > very_late_turn ? log::Level::warning : log::Level::debug,
             {{log::Field::usec, usec(took)}, {log::Field::count, late_turns_}},
             "The event loop was busy for ", usec(took) / 1000,
             " ms; late turns so far: ", late_turns_, ".");
}

Timer Loop::after(std::uint64_t usec, std::function<void()> callback, Priority priority) {
  Timer timer;
  timer.state_ = std::make_shared<Timer::State>(*this, priority, std::move(callback));
  const auto due = Clock::now() + microseconds(std::min(usec, longest_timer_usec));
  timer.state_->at = timers_.emplace(due, timer.state_.get());
  timer.state_->waits = true;
  if (due < armed_for_) arm();
  return timer;
}

/// For the first timer. One that is cancelled leaves it as it is: then the loop wakes up in vain.
void Loop::arm() {
  if (timers_.empty()) return;
  armed_for_ = timers_.begin()->first;
  check(sd_event_source_set_time(time_.get(), usec(armed_for_.time_since_epoch()) + 1),
        "sd_event_source_set_time");
  check(sd_event_source_set_enabled(time_.get(), SD_EVENT_ONESHOT), "sd_event_source_set_enabled");
}

int Loop::on_time(sd_event_source*, std::uint64_t, void* userdata) {
  auto& loop = *static_cast<Loop*>(userdata);
  loop.armed_for_ = Clock::time_point::max();
  loop.run_due_timers();
  loop.arm();
  return 0;
}

void Loop::run_due_timers() {
  const auto began = Clock::now();
  // No more than are due now: one that sets itself again would never end.
  while (!timers_.empty() && timers_.begin()->first <= began) {
    const auto state = timers_.begin()->second->shared_from_this();
    state->take_out();
    if (state->priority == Priority::late) {
      if (late_.empty()) late_since_ = began;
      late_.push_back(state);
      continue;
    }
    // Moved out first: the callback may destroy the timer that holds it.
    const auto callback = std::move(state->callback);
    call_guarded(callback);
    if (Clock::now() - began > slice) return;
  }
}

bool Loop::run_late_timer() {
  while (!late_.empty()) {
    const auto state = late_.front().lock();  // nothing: it was cancelled
    late_.pop_front();
    if (!state) continue;
    call_guarded(state->callback);
    return true;
  }
  return false;
}

void Loop::at_turn_end(std::function<void()> callback) { turn_end_.push_back(std::move(callback)); }

bool Loop::end_turn_callbacks() {
  if (turn_end_.empty()) return false;
  for (const auto& callback : std::exchange(turn_end_, {})) call_guarded(callback);
  turn_end_ran_ = Clock::now();
  return true;
}

void Loop::wake() {
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, so the loop wakes up anyway.
  [[maybe_unused]] const auto written = write(wake_.get(), &one, sizeof one);
}

void Loop::post(std::function<void()> callback) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(callback));
  }
  // Otherwise the loop has been woken already, or is at work on them and wakes itself up.
  if (first) wake();
}

int Loop::on_posted(sd_event_source*, int fd, std::uint32_t, void* userdata) {
  auto& loop = *static_cast<Loop*>(userdata);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd, &count, sizeof count);
  const auto end = Clock::now() + slice;
  std::unique_lock lock(loop.mutex_);
  // No more than there are now: a callback that posts itself again would never end.
  for (std::size_t left = loop.posted_.size(); left > 0; --left) {
    auto callback = std::move(loop.posted_.front());
    loop.posted_.pop_front();
    lock.unlock();
    call_guarded(callback);
    callback = nullptr;  // what it holds is destroyed without the lock
    const bool enough = Clock::now() >= end;
    lock.lock();
    if (enough) break;
  }
  if (!loop.posted_.empty()) loop.wake();
  return 0;
}

void Loop::on_terminate(std::function<void(unsigned nth)> callback) {
  terminate_ = std::move(callback);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  for (const int signal : {SIGTERM, SIGINT}) {
    check(sd_event_add_signal(event_, nullptr, signal, trampoline<&Loop::on_signal>, this),
          "sd_event_add_signal");
  }
}

int Loop::on_signal(sd_event_source*, const struct signalfd_siginfo*, void* userdata) {
  auto& loop = *static_cast<Loop*>(userdata);
  loop.terminate_(++loop.terminations_);
  return 0;
}

}  // namespace handover::system
