// SPDX-License-Identifier: LGPL-2.1-or-later
// A roll-out to ten thousand hosts as numbers, without a network: how long it takes with so many
// slots, how often the lock's server is asked, and which number of slots fits. docs/ansible.md
// quotes it.
//
//   fleet-simulation [--hosts N] [--seed N] [--within HOURS] [--window HOURS] [--failures PERCENT]
//
// Each host has a maintenance window a day, in its time zone. When it is open, its gate asks for a
// slot as handover-fleet does: again after 0.25 s, doubled up to 10 s. With a slot it is updated; a
// host that is not well behind it keeps its slot until a person lets go.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <queue>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr double second = 1;
constexpr double minute = 60;
constexpr double hour = 3600;
constexpr double day = 24 * hour;

struct Setup {
  unsigned hosts = 10'000;
  unsigned long seed = 1;
  double within = 24 * hour;    ///< the roll-out is to be over by then
  double window = 6 * hour;     ///< how long each host's window is open, once a day
  double failures = 0.5;        ///< of 100 hosts are not well behind the update
  double let_go = 45 * minute;  ///< until somebody has looked at such a host
};

/// client/fleet/lock.cpp
constexpr double first_pause = 0.25 * second;
constexpr double longest_pause = 10 * second;

struct Host {
  double opens = 0;  ///< of the day
  double pause = first_pause;
};

struct Event {
  double at = 0;
  enum class Kind { ask, release } kind = Kind::ask;
  unsigned host = 0;
  bool operator<(const Event& other) const { return at > other.at; }  // the soonest on top
};

struct Result {
  double last = 0;    ///< when the last host was updated
  double nearly = 0;  ///< when 99 of 100 were
  std::uint64_t requests = 0;
  double most_per_second = 0;  ///< in the busiest minute
  unsigned most_at_once = 0;   ///< hosts in their update, or kept
  double slots_busy = 0;       ///< share of the time until the last host
  unsigned failed = 0;
};

class Fleet {
 public:
  Fleet(const Setup& setup, unsigned slots)
      : setup_(setup), free_(slots), slots_(slots), random_(setup.seed) {
    // Three regions; in each the windows open within an hour.
    constexpr std::array<double, 3> regions = {0, 8 * hour, 16 * hour};
    for (unsigned i = 0; i < setup.hosts; ++i) {
      hosts_.push_back({regions[i % regions.size()] + uniform(0, hour), first_pause});
      ask_in_window(0, i);
    }
  }

  Result run() {
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      if (event.kind == Event::Kind::release) {
        ++free_;
        count_request(event.at);
      } else {
        ask(event);
      }
    }
    std::sort(done_.begin(), done_.end());
    result_.last = done_.back();
    result_.nearly = done_[done_.size() * 99 / 100];
    for (const auto count : per_minute_) {
      result_.most_per_second =
          std::max(result_.most_per_second, static_cast<double>(count) / minute);
    }
    result_.slots_busy = held_ / (static_cast<double>(slots_) * result_.last);
    return result_;
  }

 private:
  double uniform(double from, double to) {
    return std::uniform_real_distribution<double>(from, to)(random_);
  }
  bool chance(double percent) { return uniform(0, 100) < percent; }

  /// Until the host has its slot back to give: preparation, kexec, health. Half of all take less
  /// than two minutes, a few much longer.
  double update_time() {
    return std::min(std::lognormal_distribution<double>(std::log(2 * minute), 0.6)(random_), hour);
  }

  void count_request(double at) {
    ++result_.requests;
    const auto index = static_cast<std::size_t>(at / minute);
    if (per_minute_.size() <= index) per_minute_.resize(index + 1);
    ++per_minute_[index];
  }

  /// The host's next event: now if its window is open, or when it opens.
  void ask_in_window(double now, unsigned index) {
    const double today = std::floor((now - hosts_[index].opens) / day) * day + hosts_[index].opens;
    const bool open = now >= today && now < today + setup_.window;
    if (!open) hosts_[index].pause = first_pause;
    events_.push({open ? now : today + (now < today ? 0 : day), Event::Kind::ask, index});
  }

  void ask(const Event& event) {
    auto& host = hosts_[event.host];
    count_request(event.at);
    if (free_ == 0) {
      // Gates that were refused together must not come back together.
      const double pause = host.pause * uniform(0.9, 1.1);
      host.pause = std::min(host.pause * 2, longest_pause);
      ask_in_window(event.at + pause, event.host);
      return;
    }
    --free_;
    result_.most_at_once = std::max(result_.most_at_once, slots_ - free_);
    double held = update_time();
    done_.push_back(event.at + held);
    if (chance(setup_.failures)) {
      ++result_.failed;
      held += setup_.let_go * uniform(0.5, 2);
    }
    held_ += held;
    events_.push({event.at + held, Event::Kind::release, event.host});
  }

  const Setup& setup_;
  unsigned free_, slots_;
  std::mt19937_64 random_;
  std::vector<Host> hosts_;
  std::priority_queue<Event> events_;
  std::vector<double> done_;
  std::vector<std::uint64_t> per_minute_;
  double held_ = 0;
  Result result_;
};

/// "--hosts 500" and the like. False if it is not understood.
bool take(Setup* setup, std::string_view option, const char* text) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  if (*text == '\0' || *end != '\0' || !(value > 0) || value > 1e6) return false;
  if (option == "--hosts") {
    setup->hosts = static_cast<unsigned>(value);
  } else if (option == "--seed") {
    setup->seed = static_cast<unsigned long>(value);
  } else if (option == "--within") {
    setup->within = value * hour;
  } else if (option == "--window") {
    setup->window = value * hour;
  } else if (option == "--failures") {
    setup->failures = value;
  } else {
    return false;
  }
  return setup->hosts >= 1 && setup->window <= day && setup->failures <= 100;
}

void print(unsigned slots, const Result& result) {
  std::printf("%6u %8.1f h %8.1f h %12llu %9.1f %9u %7.0f %% %7u\n", slots, result.nearly / hour,
              result.last / hour, static_cast<unsigned long long>(result.requests),
              result.most_per_second, result.most_at_once, result.slots_busy * 100, result.failed);
}

}  // namespace

int main(int argc, char** argv) {
  Setup setup;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 < argc && take(&setup, argv[i], argv[i + 1])) continue;
    std::fprintf(
        stderr,
        "fleet-simulation: '%s' is not understood: --hosts, --seed, --within HOURS, --window "
        "HOURS (at most 24), --failures PERCENT, each with a number above 0\n",
        argv[i]);
    return 2;
  }
  std::printf(
      "%u hosts, seed %lu, windows of %.1f h a day in three time zones, %.1f %% not well\n\n",
      setup.hosts, setup.seed, setup.window / hour, setup.failures);
  std::printf("%6s %10s %10s %12s %9s %9s %9s %7s\n", "slots", "99 %", "all", "requests", "most /s",
              "at once", "busy", "failed");
  std::optional<unsigned> fits;
  for (const unsigned slots : {5U, 10U, 20U, 30U, 40U, 50U, 75U, 100U, 150U, 200U, 400U}) {
    const auto result = Fleet(setup, slots).run();
    print(slots, result);
    if (!fits && result.last <= setup.within) fits = slots;
  }
  if (fits) {
    std::printf("\n%u slots are the fewest of these that are through within %.0f h.\n", *fits,
                setup.within / hour);
  } else {
    std::printf("\nNone of these is through within %.0f h.\n", setup.within / hour);
  }
  return 0;
}
