// SPDX-License-Identifier: LGPL-2.1-or-later
// The clocks of clients' time limits: one a connection. It stands still while the daemon works for
// whoever is there, so that nobody pays for the daemon's time with his own.
//
// Threads: the loop only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/host.h"
#include "engine/outside.h"

namespace handover::engine {

class Clocks {
  struct Clock;

 public:
  /// For a call with a time limit the clock stands still this many times as long, in all: who asks
  /// for something all the time must not hold an update up for ever.
  static constexpr std::uint64_t most_limits = 10;

  Clocks(Host& host, Outside& outside) : host_(host), outside_(outside) {}
  Clocks(const Clocks&) = delete;
  Clocks& operator=(const Clocks&) = delete;

  /// Something that the daemon does for a connection, until it ends or is destroyed.
  class Work {
   public:
    Work(Clocks& clocks, std::weak_ptr<Clock> clock) : clocks_(clocks), clock_(std::move(clock)) {}
    ~Work() { end(); }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;
    /// The clock runs again if this was the last one. Nothing if it has ended before, or the
    /// connection is gone.
    void end();

   private:
    Clocks& clocks_;
    std::weak_ptr<Clock> clock_;
  };
  [[nodiscard]] std::shared_ptr<Work> begin_work(const std::string& connection);

  /// A call with this time limit goes to the connection.
  void call_sent(const std::string& connection, std::uint64_t limit_usec);
  void connection_gone(const std::string& connection);

 private:
  struct Clock {
    std::string connection;
    std::uint64_t works = 0;
    bool stopped = false;
    Ticks since = 0;                         ///< it has been stopped
    std::optional<std::uint64_t> left_usec;  ///< of standing still; empty: no call was sent yet
    Host::Alarm alarm;
  };

  Clock& clock_of(const std::string& connection);
  void stop(Clock& clock);
  void start(Clock& clock);

  Host& host_;
  Outside& outside_;
  std::map<std::string, std::shared_ptr<Clock>> clocks_;
};

}  // namespace handover::engine
