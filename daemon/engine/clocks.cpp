// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine/clocks.h"

#include <algorithm>
#include <utility>

namespace handover::engine {

void Clocks::Work::end() {
  const auto clock = std::exchange(clock_, {}).lock();
  if (clock && --clock->works == 0) clocks_.start(*clock);
}

Clocks::Clock& Clocks::clock_of(const std::string& connection) {
  auto& clock = clocks_[connection];
  if (!clock) {
    clock = std::make_shared<Clock>();
    clock->connection = connection;
  }
  return *clock;
}

std::shared_ptr<Clocks::Work> Clocks::begin_work(const std::string& connection) {
  auto& clock = clock_of(connection);
  if (++clock.works == 1) stop(clock);
  return std::make_shared<Work>(*this, clocks_.at(connection));
}

void Clocks::call_sent(const std::string& connection, std::uint64_t limit_usec) {
  auto& clock = clock_of(connection);
  start(clock);
  clock.left_usec = most_limits * limit_usec;
  if (clock.works > 0) stop(clock);
}

void Clocks::connection_gone(const std::string& connection) {
  const auto it = clocks_.find(connection);
  if (it == clocks_.end()) return;
  start(*it->second);
  clocks_.erase(it);
}

void Clocks::stop(Clock& clock) {
  if (clock.stopped || clock.left_usec == 0U) return;
  clock.stopped = true;
  clock.since = host_.now();
  outside_.stop_clock(clock.connection);
  if (!clock.left_usec) return;
  clock.alarm = host_.after(*clock.left_usec, [this, connection = clock.connection] {
    const auto it = clocks_.find(connection);
    if (it == clocks_.end()) return;
    const auto over = it->second;
    over->left_usec = 0;
    start(*over);
  });
}

void Clocks::start(Clock& clock) {
  if (!clock.stopped) return;
  clock.stopped = false;
  clock.alarm.reset();
  const auto stood = ticks_to_usec(host_.now() - clock.since, host_.ticks_per_second());
  if (clock.left_usec) *clock.left_usec -= std::min(*clock.left_usec, stood);
  outside_.start_clock(clock.connection);
}

}  // namespace handover::engine
