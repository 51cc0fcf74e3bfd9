// SPDX-License-Identifier: LGPL-2.1-or-later
// Part of <handover/handover.hpp>: for programs that only look.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "handover/connection.hpp"

namespace handover::client {

/// See handover_watch_new(). It may be destroyed in any of its callbacks.
class Watch {
 public:
  struct Callbacks {
    std::function<void(const std::string& state, std::uint64_t generation)> status;
    std::function<void(const std::string& phase, unsigned percent, const std::string& detail)>
        progress;
    std::function<void(const std::string& outcome, const std::string& reason,
                       std::uint64_t generation)>
        finished;
    std::function<void(const std::string& session, const std::string& client,
                       const std::string& reason)>
        lost;
    std::function<void(const Error&)> disconnected;
  };

  static Result<Watch> make(Connection& connection, Callbacks callbacks) {
    handover_watch_callbacks c_callbacks = {};
    c_callbacks.size = sizeof(c_callbacks);
    c_callbacks.status = [](handover_watch*, const char* state, std::uint64_t generation,
                            void* userdata) {
      tell<&Callbacks::status>(userdata, state, generation);
    };
    c_callbacks.progress = [](handover_watch*, const char* phase, unsigned percent,
                              const char* detail, void* userdata) {
      tell<&Callbacks::progress>(userdata, phase, percent, detail);
    };
    c_callbacks.finished = [](handover_watch*, const char* outcome, const char* reason,
                              std::uint64_t generation, void* userdata) {
      tell<&Callbacks::finished>(userdata, outcome, reason, generation);
    };
    c_callbacks.lost = [](handover_watch*, const char* session, const char* client,
                          const char* reason, void* userdata) {
      tell<&Callbacks::lost>(userdata, session, client, reason);
    };
    c_callbacks.disconnected = [](handover_watch*, const handover_error* error, void* userdata) {
      tell<&Callbacks::disconnected>(userdata, detail::error_of(error, 0));
    };
    auto held = std::make_shared<Held>(std::move(callbacks));
    detail::ErrorSlot error;
    handover_watch* watch = nullptr;
    const int r =
        handover_watch_new(connection.get(), &c_callbacks, held.get(), &watch, error.get());
    if (r < 0) return error.take(r);
    return Watch(std::move(held), watch);
  }

 private:
  /// The C watch's userdata. Whoever calls back holds it meanwhile.
  struct Held : std::enable_shared_from_this<Held> {
    explicit Held(Callbacks given) : callbacks(std::move(given)) {}
    const Callbacks callbacks;
  };

  Watch(std::shared_ptr<Held> held, handover_watch* watch)
      : held_(std::move(held)), watch_(watch) {}

  template <auto Member, typename... Arguments>
  static void tell(void* userdata, const Arguments&... arguments) {
    const auto held = static_cast<Held*>(userdata)->shared_from_this();
    const auto& callback = held->callbacks.*Member;
    if (callback) detail::guard([&] { callback(arguments...); });
  }

  std::shared_ptr<Held> held_;  // outlives watch_, which calls into it
  std::unique_ptr<handover_watch, detail::Unreferencer<&handover_watch_unref>> watch_;
};

}  // namespace handover::client
