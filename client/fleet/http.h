// SPDX-License-Identifier: LGPL-2.1-or-later
// The lock's server over HTTP, by libcurl: the one place that does it.
//
// Threads: an object by one thread at a time. It blocks; see worker.h.
#pragma once

#include <atomic>
#include <handover/handover.hpp>
#include <memory>
#include <string>

#include "config.h"
#include "message.h"

namespace handover::fleet {

/// Somebody who answers requests: a server, or a test.
class Server {
 public:
  Server() = default;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  virtual ~Server() = default;

  /// Sends it to that base URL, and waits for the answer, up to the limit of a request.
  virtual Reply exchange(const std::string& url, const Request& request) = 0;
};

/// `given_up`: when it becomes true, a request ends soon, without an answer. The token is read anew
/// for each request, so that it may be renewed.
std::unique_ptr<Server> make_http_server(const Access& access, const std::atomic<bool>& given_up);

/// The bearer token of a file or a credential; "" if none is configured.
client::Result<std::string> read_token(const Access& access);

/// Where systemd has put the credential of that name ($CREDENTIALS_DIRECTORY).
std::string credential_path(const std::string& name);

}  // namespace handover::fleet
