// SPDX-License-Identifier: LGPL-2.1-or-later
// The daemon's counters in words.
#pragma once

#include <array>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "bus.h"

namespace handover::ctl {

struct Statistic {
  std::string_view name;     ///< as the property Statistics has it
  std::string_view meaning;  ///< for a person
  bool counts = false;       ///< grows as long as the process of the daemon lives
};

/// Those that this program knows, in the order in which they are shown; docs/dbus.md has the same
/// list.
inline constexpr std::array known_statistics = {
    Statistic{"connections", "connections to the private socket"},
    Statistic{"subscribers", "programs that want all signals"},
    Statistic{"client-calls", "calls to clients", true},
    Statistic{"calls-queued", "calls to clients that wait to be sent"},
    Statistic{"calls-unanswered", "calls to clients that are not answered yet"},
    Statistic{"client-late-answers", "answers of clients that came after their time limit", true},
    Statistic{"thaws-owed", "clients that have not answered Thaw or Cancel yet"},
    Statistic{"thaws-repeated", "times that Thaw or Cancel was called again", true},
    Statistic{"calls-held", "calls that handoverd has not answered yet"},
    Statistic{"calls-of-strangers", "calls that wait until the bus has said who sent them"},
    Statistic{"calls-refused", "calls refused, since too many waited", true},
    Statistic{"questions-open", "questions to polkit that are not answered yet"},
    Statistic{"questions-refused", "calls refused, since too many waited for polkit", true},
    Statistic{"charged-clients", "clients"},
    Statistic{"charged-needs", "clients that clients need"},
    Statistic{"charged-sessions", "sessions"},
    Statistic{"charged-descriptors", "descriptors preserved"},
    Statistic{"charged-bytes", "memory preserved"},
    Statistic{"accounts", "users and services that hold some of these"},
    Statistic{"owners-not-charged", "descriptors whose memory is charged to handoverd", true},
    Statistic{"sessions-unreached", "sessions that cannot be reached yet"},
    Statistic{"sessions-degraded", "sessions that the kernel does not hold as a whole"},
    Statistic{"events", "events that the state machine took", true},
    Statistic{"losses", "losses since the start", true},
    Statistic{"fd-store-used", "descriptors in systemd's store"},
    Statistic{"fd-store-limit", "descriptors that fit into it"},
    Statistic{"manifest-bytes", "size of the manifest"},
    Statistic{"manifest-changes", "changes of the manifest", true},
    Statistic{"manifest-writes", "times that changes were written", true},
    Statistic{"manifest-write-usec", "time that took in all", true},
    Statistic{"manifest-longest-write-usec", "time that the longest of them took"},
    Statistic{"manifest-compactions", "times that the whole manifest was written", true},
    Statistic{"loop-turns", "turns of the main loop", true},
    Statistic{"loop-late-turns", "turns of the main loop that took more than 20 ms", true},
    Statistic{"loop-longest-turn-usec", "time that the longest turn took"},
    Statistic{"pool-busy", "threads that work"},
    Statistic{"jobs-waiting", "jobs that wait for a thread"},
    Statistic{"log-waiting", "log lines that wait"},
    Statistic{"log-dropped", "log lines dropped, since the journal did not take them", true},
};

/// One line each: the value, and what it counts. Those that this program does not know come last,
/// by the daemon's own name.
std::string statistics_text(const Properties& statistics, std::size_t width);
nlohmann::json statistics_json(const Properties& statistics);

}  // namespace handover::ctl
