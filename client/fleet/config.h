// SPDX-License-Identifier: LGPL-2.1-or-later
// The configuration of the gate (/etc/handover/fleet.json) as plain values.
#pragma once

#include <cstdint>
#include <handover/handover.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace handover::fleet {

/// When an update may begin.
struct Window {
  std::string calendar;           ///< systemd.time(7), its time zone behind it
  std::uint64_t length_usec = 0;  ///< from each time that it elapses
};

struct Windows {
  std::vector<Window> list;         ///< {}: always
  bool must_end_within = false;     ///< an update that would end later is refused
  std::uint64_t expected_usec = 0;  ///< how long one takes as long as no record says it
};

/// How a server is reached, and who we are to it.
struct Access {
  std::string ca;           ///< file of certificates; "": the system's
  std::string certificate;  ///< file; "": none
  std::string key;
  std::string token_file;        ///< "": no bearer token
  std::string token_credential;  ///< name of a systemd credential, in place of token_file
  std::string proxy;             ///< "": by the environment (curl(1)); "none": none
  std::uint64_t timeout_usec = 10'000'000;  ///< of each request
};

enum class LockKind { none, fleetlock, etcd };
const char* to_string(LockKind kind);

/// Where a lock's slots are: what a slot is given back to.
struct LockPlace {
  LockKind kind = LockKind::none;
  std::vector<std::string> urls;
  std::string group, prefix;
  bool operator==(const LockPlace&) const = default;
};
/// "etcd at https://e1:2379, https://e2:2379, group web below /handover/fleet"
std::string describe(const LockPlace& place);

struct Lock {
  LockKind kind = LockKind::none;
  std::vector<std::string>
      urls;  ///< fleetlock: the one base URL; etcd: endpoints, without '/' behind
  std::string group = "default";
  std::string prefix = "/handover/fleet";  ///< of etcd's keys, without '/' behind
  std::uint64_t slots = 1;                 ///< that the group has in etcd
  std::string id;                          ///< what we are called there; "": by the machine's id
  std::uint64_t wait_usec = 0;             ///< how long Prepare waits for a slot; 0: one look
  Access access;

  [[nodiscard]] LockPlace place() const { return {kind, urls, group, prefix}; }
  /// The same, elsewhere.
  [[nodiscard]] Lock at(const LockPlace& place) const;
};

/// A command, or a systemd unit, that says whether the host is well.
struct Check {
  std::vector<std::string> command;  ///< {}: the unit
  std::string unit;
  std::uint64_t timeout_usec = 30'000'000;  ///< of one try
  std::uint64_t retries = 0;                ///< after the first try
  std::uint64_t retry_usec = 5'000'000;     ///< between two tries
  [[nodiscard]] std::string what() const;   ///< "command /usr/bin/x", "unit x.service"
};

struct Health {
  std::vector<Check> before, after;
};

/// What those get who are logged in.
struct People {
  std::string message;           ///< by wall(1); "": none
  std::uint64_t delay_usec = 0;  ///< how long the update waits for them
  bool inhibitors = true;        ///< who inhibits a shutdown at logind, inhibits the update
};

struct Config {
  Windows windows;
  Lock lock;
  Health health;
  People people;
};

/// The error is one line that says where (file, and line or field) and what is allowed. Looks at no
/// other file, and does not know calendars: see check_config().
client::Result<Config> parse_config(std::string_view text, const std::string& file);
client::Result<Config> read_config(const std::string& file);

/// How long all of that may take at most, but for requests to the lock's server.
std::uint64_t longest_usec(const std::vector<Check>& checks);

}  // namespace handover::fleet
