// SPDX-License-Identifier: LGPL-2.1-or-later
// Part of <handover/handover.hpp>: a registered client, and the calls of the daemon's to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "handover/connection.hpp"

namespace handover::client {
namespace detail {

/// Where a Call that is dropped while its callback runs is kept until it is known why.
struct Dropped {
  handover_call* call = nullptr;
};

}  // namespace detail

/// A call of the daemon's that waits for its answer. Dropped unanswered, it is answered by an
/// error.
class Call {
 public:
  explicit Call(handover_call* call, std::weak_ptr<detail::Dropped> dropped = {})
      : call_(call), dropped_(std::move(dropped)) {}
  Call(Call&& other) noexcept
      : call_(std::exchange(other.call_, nullptr)), dropped_(std::move(other.dropped_)) {}
  Call& operator=(Call&& other) noexcept {
    if (this == &other) return *this;
    drop();
    call_ = std::exchange(other.call_, nullptr);
    dropped_ = std::move(other.dropped_);
    return *this;
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { drop(); }

  [[nodiscard]] std::uint64_t generation() const { return handover_call_generation(call_); }
  [[nodiscard]] std::uint64_t timeout_usec() const { return handover_call_timeout_usec(call_); }
  [[nodiscard]] std::string kernel_release() const { return handover_call_kernel_release(call_); }
  [[nodiscard]] std::string reason() const { return handover_call_reason(call_); }
  /// Restore: false if the update went on without this client's answer to Freeze.
  [[nodiscard]] bool quiesced() const { return handover_call_quiesced(call_) != 0; }

  /// Prepare, Freeze: what comes is undone before the kernel is left.
  [[nodiscard]] bool rehearsal() const { return handover_call_rehearsal(call_) != 0; }
  /// Thaw: it was a rehearsal; Freeze may follow without another Prepare.
  [[nodiscard]] bool stays_prepared() const { return handover_call_stays_prepared(call_) != 0; }

  /// -EINVAL if it is answered already.
  int done() { return handover_call_done(std::exchange(call_, nullptr)); }
  int fail(const std::string& message) {
    return handover_call_fail(std::exchange(call_, nullptr), message.c_str());
  }

 private:
  void drop() {
    if (!call_) return;
    if (const auto dropped = dropped_.lock()) {
      dropped->call = std::exchange(call_, nullptr);
    } else {
      fail("The client gave no answer.");
    }
  }

  handover_call* call_;
  std::weak_ptr<detail::Dropped> dropped_;
};

/// A registered client. The callbacks run until it is destroyed, which may happen in any of them.
/// A callback that throws fails its Call with what the exception says, if that is not answered and
/// not kept; see exception_handler for all others.
class Client {
 public:
  using State = handover_client_state;

  struct Callbacks {
    std::function<void(Call)> prepare;
    std::function<void(Call)> cancel;
    std::function<void(Call)> freeze;
    std::function<void(Call)> thaw;
    std::function<void(Call)> restore;
    std::function<void(State)> registered;
    std::function<void(const Error&)> disconnected;
    std::function<void(const std::string&)> session_lost;
  };
  struct Options {
    std::vector<std::string> needs;
    bool optional = false;
    bool gate = false;
    std::uint64_t prepare_timeout_usec = 0;
    std::uint64_t freeze_timeout_usec = 0;
    std::uint64_t restore_timeout_usec = 0;
  };

  static Result<Client> register_client(Connection& connection, const std::string& name,
                                        const Options& options, Callbacks callbacks) {
    return make<&handover_client_register>(connection, name, options, std::move(callbacks));
  }
  /// Without waiting: `registered` or `disconnected` tells what came of it.
  static Result<Client> register_async(Connection& connection, const std::string& name,
                                       const Options& options, Callbacks callbacks) {
    return make<&handover_client_register_async>(connection, name, options, std::move(callbacks));
  }

  [[nodiscard]] State state() const { return handover_client_get_state(client_.get()); }
  Result<void> unregister() {
    detail::ErrorSlot error;
    return error.result(handover_client_unregister(client_.get(), error.get()));
  }
  Result<Operation> unregister_async(std::function<void(Result<void>)> done) {
    return detail::begin<void>(std::move(done), [&](auto... end) {
      return handover_client_unregister_async(client_.get(), detail::on_done, end...);
    });
  }

 private:
  /// The C client's userdata. Whoever calls back holds it meanwhile: a callback may destroy the
  /// Client.
  struct Held : std::enable_shared_from_this<Held> {
    explicit Held(Callbacks given) : callbacks(std::move(given)) {}
    const Callbacks callbacks;
  };

  Client(std::shared_ptr<Held> held, handover_client* client)
      : held_(std::move(held)), client_(client) {}

  template <auto Register>
  static Result<Client> make(Connection& connection, const std::string& name,
                             const Options& options, Callbacks callbacks) {
    std::vector<const char*> needs;
    needs.reserve(options.needs.size() + 1);
    for (const auto& need : options.needs) needs.push_back(need.c_str());
    needs.push_back(nullptr);
    handover_client_options c_options = {};
    c_options.size = sizeof(c_options);
    c_options.needs = needs.data();
    c_options.optional = options.optional ? 1 : 0;
    c_options.gate = options.gate ? 1 : 0;
    c_options.prepare_timeout_usec = options.prepare_timeout_usec;
    c_options.freeze_timeout_usec = options.freeze_timeout_usec;
    c_options.restore_timeout_usec = options.restore_timeout_usec;
    const auto c_callbacks = make_callbacks();
    auto held = std::make_shared<Held>(std::move(callbacks));
    detail::ErrorSlot error;
    handover_client* client = nullptr;
    const int r = Register(connection.get(), name.c_str(), &c_options, &c_callbacks, held.get(),
                           &client, error.get());
    if (r < 0) return error.take(r);
    return Client(std::move(held), client);
  }

  static handover_client_callbacks make_callbacks() {
    handover_client_callbacks made = {};
    made.size = sizeof(made);
    made.prepare = forward<&Callbacks::prepare>;
    made.cancel = forward<&Callbacks::cancel>;
    made.freeze = forward<&Callbacks::freeze>;
    made.thaw = forward<&Callbacks::thaw>;
    made.restore = forward<&Callbacks::restore>;
    made.registered = [](handover_client*, State state, void* userdata) {
      tell<&Callbacks::registered>(userdata, state);
    };
    made.disconnected = [](handover_client*, const handover_error* error, void* userdata) {
      tell<&Callbacks::disconnected>(userdata, detail::error_of(error, 0));
    };
    made.session_lost = [](handover_client*, const char* session, void* userdata) {
      tell<&Callbacks::session_lost>(userdata, std::string(session));
    };
    return made;
  }

  template <auto Member, typename Argument>
  static void tell(void* userdata, const Argument& argument) {
    const auto held = static_cast<Held*>(userdata)->shared_from_this();
    const auto& callback = held->callbacks.*Member;
    if (callback) detail::guard([&] { callback(argument); });
  }

  template <auto Member>
  static void forward(handover_client*, handover_call* call, void* userdata) {
    const auto held = static_cast<Held*>(userdata)->shared_from_this();
    const auto& callback = held->callbacks.*Member;
    if (!callback) {
      handover_call_done(call);
      return;
    }
    auto dropped = std::make_shared<detail::Dropped>();
    const auto thrown = detail::guard([&] { callback(Call(call, dropped)); });
    if (dropped->call) {
      const auto why = thrown ? "The client's callback failed: " + detail::what(thrown)
                              : std::string("The client gave no answer.");
      handover_call_fail(dropped->call, why.c_str());
    }
  }

  std::shared_ptr<Held> held_;  // outlives client_, which calls into it
  std::unique_ptr<handover_client, detail::Unreferencer<&handover_client_unref>> client_;
};

}  // namespace handover::client
