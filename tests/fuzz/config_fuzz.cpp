// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever an administrator writes: parse_config() and parse_duration() must refuse it with a
// sentence or give values within their bounds.
#include <cstdint>
#include <string_view>

#include "core/config.h"
#include "require.h"
#include "support/utf8.h"

namespace {

using namespace handover;

void check_error(const Error& error) {
  require(error.code == ErrorCode::invalid_argument, "the error has its own code");
  require(!error.message.empty(), "the error says something");
  require(test::is_utf8(error.message), "the error can be sent over D-Bus");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto duration = parse_duration(text); !duration) check_error(duration.error());
  const auto config = parse_config(text);
  if (!config) {
    check_error(config.error());
    return 0;
  }
  require(config->freeze_timeout_usec >= 1'000, "no time limit is shorter than 1 ms");
  require(config->mode == Mode::immediate || config->mode == Mode::orderly,
          "the mode is a known one");
  require(config->boot_gate_usec <= 60'000'000, "PID 1 waits no longer than 90 s");
  require(config->kernel.empty() || config->kernel.front() == '/', "the kernel is a path");
  require(config->history_entries >= 1, "at least one record is kept");
  return 0;
}
