// SPDX-License-Identifier: LGPL-2.1-or-later
#include "clock.h"

#include <algorithm>

namespace handover::engine::test {

Clock::Alarm Clock::after(std::uint64_t usec, std::function<void()> callback) {
  auto entry = std::make_shared<Entry>(Entry{std::move(callback)});
  alarms_.emplace(Key{now_usec_ + usec, calls_++}, entry);
  return entry;
}

void Clock::later(std::uint64_t usec, std::function<void()> callback) {
  const Key key{now_usec_ + usec, calls_};
  kept_.emplace(key, std::static_pointer_cast<Entry>(after(usec, std::move(callback))));
}

void Clock::drop_cancelled() {
  while (!alarms_.empty() && alarms_.begin()->second.expired()) alarms_.erase(alarms_.begin());
}

bool Clock::anything_due(std::uint64_t limit_usec) {
  drop_cancelled();
  return !alarms_.empty() && alarms_.begin()->first.first <= limit_usec;
}

bool Clock::run_next(std::uint64_t limit_usec) {
  if (!anything_due(limit_usec)) return false;
  const auto next = alarms_.begin();
  const auto key = next->first;
  const auto entry = next->second.lock();
  alarms_.erase(next);
  kept_.erase(key);
  now_usec_ = std::max(now_usec_, key.first);
  // It may destroy its own alarm.
  const auto callback = std::move(entry->callback);
  callback();
  return true;
}

}  // namespace handover::engine::test
