// SPDX-License-Identifier: LGPL-2.1-or-later
// handoverctl as a person and a script run it, against the daemon of a Host.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "child_process.h"
#include "host.h"

namespace handover::test {

/// How a handoverctl ended, and what it said.
struct CtlEnd {
  int code = -1;  ///< exit code; -1: it was killed, or did not end
  std::string out, err;

  [[nodiscard]] nlohmann::json out_json() const;
  [[nodiscard]] nlohmann::json err_json() const;
};

/// Runs it to its end. `in_child` may open descriptors for it; standard input is empty unless
/// it is opened there. `meanwhile` is called once, when it runs.
/// `bus_address`: of another bus than the host's.
CtlEnd run_ctl(Host& host, const std::vector<std::string>& arguments,
               const std::function<void()>& in_child = {},
               const std::function<void(const ChildProcess&)>& meanwhile = {},
               const std::string& bus_address = "");

}  // namespace handover::test
