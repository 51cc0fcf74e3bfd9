// SPDX-License-Identifier: LGPL-2.1-or-later
// Part of <handover/handover.hpp>: a connection to the daemon.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "handover/session.hpp"

namespace handover::client {

/// A connection to the daemon; see handover_connect().
class Connection {
 public:
  struct Options {
    unsigned flags = 0;
    std::uint64_t timeout_usec = 0;
    sd_event* event = nullptr;
  };
  static Result<Connection> open(const Options& options) {
    detail::ErrorSlot error;
    handover_connection* connection = nullptr;
    const int r = handover_connect(options.flags, options.timeout_usec, options.event, &connection,
                                   error.get());
    if (r < 0) return error.take(r);
    return Connection(connection);
  }
  /// Without waiting: `done` runs from the loop. See handover_connect_async().
  static Result<Connection> open_async(const Options& options,
                                       std::function<void(Result<void>)> done) {
    auto pending = std::make_shared<detail::Pending<void>>();
    pending->done = std::move(done);
    detail::ErrorSlot error;
    handover_connection* connection = nullptr;
    const int r = handover_connect_async(options.flags, options.timeout_usec, options.event,
                                         detail::on_done, pending.get(), &connection, error.get());
    if (r < 0) return error.take(r);
    pending->self = pending;
    return Connection(connection);
  }

  [[nodiscard]] handover_connection* get() const { return connection_.get(); }
  [[nodiscard]] sd_bus* bus() const { return handover_get_bus(get()); }
  [[nodiscard]] const char* destination() const { return handover_get_destination(get()); }
  [[nodiscard]] bool connected() const { return handover_is_connected(get()) > 0; }
  [[nodiscard]] int fd() const { return handover_get_fd(get()); }
  int process() { return handover_process(get()); }
  int wait(std::uint64_t timeout_usec) { return handover_wait(get(), timeout_usec); }
  int set_call_timeout(std::uint64_t usec) { return handover_set_call_timeout(get(), usec); }

  Result<Session> create_session(const std::string& name, const std::string& backend = "",
                                 const std::string& client = "") {
    detail::ErrorSlot error;
    handover_session* session = nullptr;
    const int r = handover_session_create(get(), name.c_str(), detail::or_null(backend),
                                          detail::or_null(client), &session, error.get());
    if (r < 0) return error.take(r);
    return Session(session);
  }
  Result<Operation> create_session_async(const std::string& name, const std::string& backend,
                                         const std::string& client,
                                         std::function<void(Result<Session>)> done) {
    constexpr auto on_session = [](int result, handover_session* session,
                                   const handover_error* error, void* userdata) {
      detail::Pending<Session>::finish(userdata,
                                       result < 0 ? Result<Session>(detail::error_of(error, result))
                                                  : Result<Session>(Session(session)));
    };
    return detail::begin<Session>(std::move(done), [&](auto... end) {
      return handover_session_create_async(get(), name.c_str(), detail::or_null(backend),
                                           detail::or_null(client), on_session, end...);
    });
  }
  Result<Session> get_session(const std::string& name) {
    detail::ErrorSlot error;
    handover_session* session = nullptr;
    const int r = handover_session_get(get(), name.c_str(), &session, error.get());
    if (r < 0) return error.take(r);
    return Session(session);
  }

 private:
  explicit Connection(handover_connection* connection) : connection_(connection) {}

  std::unique_ptr<handover_connection, detail::Unreferencer<&handover_unref>> connection_;
};

}  // namespace handover::client
