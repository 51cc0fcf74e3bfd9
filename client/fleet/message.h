// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes to a lock's server and comes back, as plain values, and what became of a request.
#pragma once

#include <cstdint>
#include <string>

namespace handover::fleet {

struct Request {
  std::string path;         ///< behind the base URL, "/v3/kv/txn"
  std::string body;         ///< JSON
  bool fleet_lock = false;  ///< with the protocol's header
};

struct Reply {
  int status = 0;  ///< of HTTP; 0: none came
  std::string body;
  std::string failure;           ///< why none came, one sentence's end: "cannot connect to …"
  std::int64_t server_time = 0;  ///< its Date header, in seconds since 1970; 0: it has none
  bool sent = true;              ///< false: it is certain that no server has seen the request
};

/// What became of asking for a slot, or of giving it back.
struct LockOutcome {
  enum class Kind {
    held,
    free,       ///< we hold none
    refused,    ///< we hold none, and get none now
    untouched,  ///< no server was reached: nothing has changed there
    uncertain,  ///< the request may have been carried out, or will be
  };
  Kind kind = Kind::untouched;
  std::string message;  ///< unless held or free: one sentence
  int slot = -1;        ///< held in etcd: its number
  std::string since;    ///< held: since when, RFC 3339

  [[nodiscard]] bool held() const { return kind == Kind::held; }
  bool operator==(const LockOutcome&) const = default;
};

}  // namespace handover::fleet
